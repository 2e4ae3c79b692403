import { inspect } from "node:util";
import { ServableError, formatPath, messageOf, type FieldIssue } from "../errors.ts";

const maxShownIssues = 20;

/** The one line that says what went wrong. */
export function errorLine(thrown: unknown): string {
  return `servable: ${oneLine(messageOf(thrown))}\n`;
}

/** The one line that says why a call failed: code, message, each failing field, and the request to look for in the server's log. */
export function callErrorLine(error: ServableError): string {
  const fields = error.issues.slice(0, maxShownIssues).map(fieldText);
  const more = error.issues.length - fields.length;
  const shown = more > 0 ? [...fields, `and ${more} more`] : fields;
  const issues = shown.length > 0 ? ` ${shown.join("; ")}` : "";
  const request = error.requestId === undefined ? "" : ` (request ${error.requestId})`;
  return `servable: ${error.code}: ${oneLine(`${error.message}${issues}${request}`)}\n`;
}

/** An error with its stack and what lies underneath, for those who ask for it. */
export function errorWithStack(thrown: unknown): string {
  return `${inspect(thrown, { depth: 6 })}\n`;
}

/**
 * The status that the process ends with: 2 where the command itself was wrong, else 1.
 */
export function exitCodeOf(thrown: unknown): number {
  return ServableError.isInstance(thrown) && thrown.code === "invalid_argument" ? 2 : 1;
}

/** Writes a line to standard error; resolves when it is out, which on some systems takes a moment. */
export function writeError(text: string): Promise<void> {
  return new Promise((resolve) => {
    process.stderr.write(text, () => {
      resolve();
    });
  });
}

/** Writes a word so that a POSIX shell reads it as it is. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

function fieldText({ path, message }: FieldIssue): string {
  return `${formatPath(path)}: ${message}`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*\n\s*/g, " ").trim();
}
