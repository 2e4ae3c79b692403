import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { InvalidArgumentError, Option, type Command } from "commander";
import { createClient } from "../client/create-client.ts";
import { ServableError, messageOf } from "../errors.ts";
import type { ServiceDefinition } from "../service/definition.ts";
import { readInput, type InputFlags } from "./call-input.ts";
import { longestTimerMs, wholeNumber } from "./flags.ts";

interface CallFlags extends InputFlags {
  readonly url?: string;
  readonly token?: string;
  readonly timeoutMs?: number;
  readonly header?: Readonly<Record<string, string>>;
  readonly output?: string;
  readonly pretty?: true;
}

/** A service of which nothing is known but its name. */
type AnyService = ServiceDefinition;

const defaultUrl = "http://127.0.0.1:3000";
const examples = `
Examples:
  servable call double '{"x":1}'
  servable call double @input.json --pretty
  echo '{"x":1}' | servable call double -
  servable call ocr --file receipt.png
  servable call speak '{"text":"hello"}' --output hello.wav
`;

/** `servable call`: calls a service and prints what it gives. */
export function addCall(program: Command): void {
  program
    .command("call")
    .description("call a service and print what it gives; of a stream, a line an item")
    .argument("<name>", "the service")
    .argument("[json]", "the input: JSON, @file, or - for standard input (default: null)")
    .option("--url <url>", `where it runs (default: $SERVABLE_URL, else ${defaultUrl})`)
    .option("--file <path>", "send a file as it is, with the media type of its extension")
    .option("--content-type <type>", "the media type of what is sent")
    .option("--token <token>", "a bearer token (default: $SERVABLE_TOKEN)")
    .addOption(new Option("--header <name=value>", "a header to send (repeatable)").argParser(collectHeaders))
    .addOption(new Option("--timeout-ms <number>", "time to wait (default: 30000)").argParser(wholeNumber(1, longestTimerMs)))
    .option("--output <file>", "write the answer to a file instead of standard output")
    .option("--pretty", "indent the JSON")
    .addHelpText("after", examples)
    .action(call);
}

async function call(name: string, json: string | undefined, flags: CallFlags): Promise<void> {
  const input = await readInput(json, flags);
  const url = flags.url ?? process.env.SERVABLE_URL ?? defaultUrl;
  let mediaType = "";
  const client = createClient<AnyService>(url, {
    token: flags.token ?? process.env.SERVABLE_TOKEN,
    // A Blob would write its type in lower case, and spoil the boundary of a form.
    headers: { ...(flags.contentType !== undefined && { "content-type": flags.contentType }), ...flags.header },
    timeoutMs: flags.timeoutMs,
    // Text and JSON that is a text look alike in the client's answer.
    fetch: async (url, init) => {
      const response = await fetch(url, init);
      mediaType = response.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
      return response;
    },
  });
  const method = client[name];
  if (method === undefined) {
    throw new ServableError(
      "invalid_argument",
      `'${name}' can't be a service: names are letters, digits, - and _, and start with a letter.`,
    );
  }
  const output = new Output(flags.output);
  try {
    for await (const item of method(input)) await output.write(await encode(item, mediaType, flags.pretty === true), isBinary(item));
  } catch (thrown) {
    throw withHint(thrown, flags);
  } finally {
    await output.close();
  }
}

/** Where nobody listens, what to do about it. */
function withHint(thrown: unknown, flags: CallFlags): unknown {
  if (!ServableError.isInstance(thrown) || thrown.code !== "unavailable" || !thrown.message.includes("ECONNREFUSED")) return thrown;
  const other = flags.url === undefined ? "or say with --url where it runs" : "or give another --url";
  const message = `${thrown.message} To serve there: servable serve ./service.ts; ${other}.`;
  return new ServableError(thrown.code, message, { cause: thrown, requestId: thrown.requestId });
}

/** Collects an answer in a file, or hands it on to standard output as it comes. */
class Output {
  readonly #file: string | undefined;
  readonly #parts: (string | Uint8Array)[] = [];

  constructor(file: string | undefined) {
    this.#file = file;
    // Whoever reads our output may have had enough of it (`| head -1`); leaving cuts the call off, too.
    process.stdout.on("error", () => {
      process.exit(0);
    });
  }

  async write(part: string | Uint8Array, isBytes: boolean): Promise<void> {
    if (this.#file !== undefined) {
      this.#parts.push(part);
      return;
    }
    if (isBytes && process.stdout.isTTY) {
      throw new ServableError("invalid_argument", `The answer is binary (${part.length} bytes): write it to a file with --output.`);
    }
    if (!process.stdout.write(part)) await once(process.stdout, "drain");
  }

  async close(): Promise<void> {
    const file = this.#file;
    if (file === undefined || this.#parts.length === 0) return;
    try {
      await writeFile(file, Buffer.concat(this.#parts.map((part) => Buffer.from(part))));
    } catch (thrown) {
      throw new ServableError("invalid_argument", `The answer can't be written to ${file}: ${messageOf(thrown)}`, { cause: thrown });
    }
  }
}

function isBinary(item: unknown): boolean {
  return item instanceof Blob || item instanceof Uint8Array;
}

async function encode(item: unknown, mediaType: string, isPretty: boolean): Promise<string | Uint8Array> {
  if (item instanceof Blob) return new Uint8Array(await item.arrayBuffer());
  if (item instanceof Uint8Array) return item;
  if (item === undefined) return "";
  if (typeof item === "string" && mediaType === "text/plain") return item.endsWith("\n") ? item : `${item}\n`;
  return `${JSON.stringify(item, undefined, isPretty ? 2 : undefined)}\n`;
}

function collectHeaders(header: string, before: Readonly<Record<string, string>> | undefined): Readonly<Record<string, string>> {
  const [, name, value] = /^([\w!#$%&'*+.^`|~-]+)\s*[=:]\s*(.*)$/s.exec(header) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError("It must be like x-name=value.");
  return { ...before, [name]: value };
}
