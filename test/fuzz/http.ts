import { request } from "node:http";
import { gunzipSync, inflateSync } from "node:zlib";
import { parseLenientJson } from "../../src/protocol/http/lenient-json.ts";
import type { FuzzServer } from "./server.ts";
import { checkText, shown, within, Wrong, type Target } from "./target.ts";

/** A request that is HTTP, whatever else it is. */
export interface HttpSpec {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Each is written by itself. */
  readonly parts?: readonly Uint8Array[];
}

/** What came back. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

const statuses: ReadonlySet<number> = new Set([200, 400, 404, 405, 408, 500, 501, 503]);

/** Sends a request; fails where no whole answer comes. */
export function send({ server, agent }: Target, { method, path, headers = {}, parts = [] }: HttpSpec): Promise<HttpAnswer> {
  const size = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const length = parts.length > 0 && headers["transfer-encoding"] === undefined ? { "content-length": String(size) } : {};
  const answer = new Promise<HttpAnswer>((resolve, reject) => {
    const outgoing = request(
      { host: "127.0.0.1", port: server.httpPort, method, path, headers: { ...length, ...headers }, agent },
      (incoming) => {
        const pieces: Buffer[] = [];
        incoming.on("data", (piece: Buffer) => pieces.push(piece));
        incoming.on("error", reject);
        incoming.on("end", () => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(pieces) }));
      },
    );
    outgoing.on("error", reject);
    writeParts(outgoing, parts);
  });
  return within(answer, `${method} ${path}`);
}

/** With a turn of the loop between, so that they arrive as pieces mostly. */
function writeParts(outgoing: ReturnType<typeof request>, [part, ...rest]: readonly Uint8Array[]): void {
  if (part === undefined || rest.length === 0) {
    outgoing.end(part);
    return;
  }
  outgoing.write(part, () => setImmediate(writeParts, outgoing, rest));
}

/** Sends a request and sees that the answer is one that may be. */
export async function ask(target: Target, spec: HttpSpec): Promise<HttpAnswer> {
  try {
    const answer = await send(target, spec);
    checkAnswer(answer, target.server, spec.method);
    return answer;
  } catch (thrown) {
    const head = `${spec.method} ${spec.path.slice(0, 300)} ${JSON.stringify(spec.headers ?? {}).slice(0, 500)}`;
    const { message } = thrown as Error;
    throw new Wrong(`${message}\n  asked: ${head}\n  body: ${shown(Buffer.concat(spec.parts ?? []))}`, { cause: thrown });
  }
}

/** @throws Wrong where an answer is none that the contract has */
export function checkAnswer({ status, headers, body }: HttpAnswer, server: FuzzServer, method: string): void {
  if (!statuses.has(status)) throw new Wrong(`status ${status}, which is not in the contract: ${shown(body)}`);
  if (method === "HEAD") return;
  const plain = unpacked(body, headers["content-encoding"]);
  const isStream = String(headers["content-type"] ?? "").startsWith("text/event-stream");
  if (status !== 200) {
    // Health says all with its status.
    if (plain.length > 0 || status !== 400) checkError(isStream ? Buffer.from(plain.toString().replace(/^data: /, "")) : plain, server);
    return;
  }
  if (isStream) {
    for (const event of plain
      .toString()
      .split("\n\n")
      .filter((text) => text !== ""))
      checkJson(event.replace(/^data: /, ""), server);
    return;
  }
  const length = headers["inference-header-content-length"];
  const json = length === undefined ? plain : plain.subarray(0, Number(length));
  if (length !== undefined && !(Number(length) > 0 && Number(length) <= plain.length))
    throw new Wrong(`the header length is ${String(length)}`);
  if (json.length > 0) checkJson(json.toString(), server);
}

function unpacked(body: Buffer, encoding: string | readonly string[] | undefined): Buffer {
  if (encoding === "gzip") return gunzipSync(body);
  if (encoding === "deflate") return inflateSync(body);
  if (encoding !== undefined) throw new Wrong(`the answer has the encoding ${String(encoding)}`);
  return body;
}

function checkError(body: Buffer, server: FuzzServer): void {
  let value: unknown;
  try {
    value = JSON.parse(body.toString());
  } catch {
    throw new Wrong(`an error that is not JSON: ${shown(body)}`);
  }
  if (typeof value !== "object" || value === null || Object.keys(value).join() !== "error") throw new Wrong(`not an error: ${shown(body)}`);
  const { error } = value as { readonly error: unknown };
  if (typeof error !== "string" || error === "") throw new Wrong(`an error with no text: ${shown(body)}`);
  checkText(error, server);
}

/** Triton's JSON has NaN and Infinity. */
function checkJson(text: string, server: FuzzServer): void {
  try {
    parseLenientJson(text);
  } catch {
    throw new Wrong(`an answer that is not JSON: ${text.slice(0, 500)}`);
  }
  checkText(text, server);
}
