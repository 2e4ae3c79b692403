import type { z } from "zod";
import { formatPath } from "../errors.ts";
import type { ConfigFile, ConfigPath } from "./config-file.ts";

/** The keys of each object of the file, by its path; `[]` stands for any index. */
export type KnownKeys = Readonly<Record<string, readonly string[]>>;

/** The sentences that say what is wrong, and where: one for each wrong key, or one for a wrong value. */
export function describeIssue(issue: z.core.$ZodIssue, file: ConfigFile, known: KnownKeys): readonly string[] {
  const path = issue.path.map((key) => (typeof key === "number" ? key : String(key)));
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => describeKey(path, key, file, known));
  const isMissing = issue.code === "invalid_type" && isUndefined(file.value, path);
  const position = isMissing ? file.positionOf(path.slice(0, -1)) : file.positionOf(path);
  if (isMissing) return [`${position}: ${formatPath(path)} is missing: ${expectation(issue.message)}.`];
  const name = path.length === 0 ? "the file" : formatPath(path);
  return [`${position}: ${name} is wrong: ${expectation(issue.message)}.`];
}

function describeKey(path: ConfigPath, key: string, file: ConfigFile, known: KnownKeys): string {
  const wrong = formatPath([...path, key]);
  const place = path.map((part) => (typeof part === "number" ? "[]" : `.${part}`)).join("").replace(/^\./, "");
  const here = known[place] ?? [];
  const near = nearestKey(key, here);
  const elsewhere = Object.keys(known).find((other) => known[other]?.includes(key));
  const hint =
    near !== undefined
      ? `did you mean ${formatPath([...path, near])}?`
      : elsewhere !== undefined
        ? `did you mean ${elsewhere === "" ? key : `${elsewhere}.${key}`}?`
        : `known there: ${here.join(", ")}.`;
  return `${file.positionOfKey(path, key)}: there is no key ${wrong}; ${hint}`;
}

/** The key that was probably meant; undefined where none is near. */
export function nearestKey(key: string, candidates: readonly string[]): string | undefined {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[-_ ]/g, "");
  const mostEdits = Math.max(1, Math.floor(key.length / 3));
  const ranked = candidates
    .map((candidate) => ({ candidate, edits: editDistance(plain(key), plain(candidate)) }))
    .filter(({ edits }) => edits <= mostEdits)
    .sort((a, b) => a.edits - b.edits);
  return ranked[0]?.candidate;
}

/** How many letters must change to make one word of the other (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function isUndefined(value: unknown, path: ConfigPath): boolean {
  let inner = value;
  for (const key of path) {
    if (typeof inner !== "object" || inner === null) return true;
    inner = Reflect.get(inner, key);
  }
  return inner === undefined;
}

/** zod's sentence, to stand behind a colon. */
function expectation(message: string): string {
  return message.replace(/^Invalid input: /, "").replace(/^./, (letter) => letter.toLowerCase());
}
