import { maxHeaderSize } from "node:http";

/** A request that came as a whole. */
export interface WholeRequest {
  readonly head: RequestHead;
  readonly body: Uint8Array;
}

/** What stands before a body. */
export interface RequestHead {
  /** All of it, up to the body. */
  readonly text: string;
  /** As it came. */
  readonly path: string;
  /** By their names in small letters, `host` and `content-length` among them. */
  readonly headers: Readonly<Record<string, string>>;
  /** Of the body, in bytes. */
  readonly length: number;
}

/** Half of what Node takes, or less where it is told to take less. */
const longestHead = Math.min(8_192, maxHeaderSize);
const headEnd = Buffer.from("\r\n\r\n", "latin1");

/** In this form two readers can't differ: single spaces, whole line ends, no folded lines, nothing but ASCII (RFC 9112, sections 2.2, 3, 5). */
const simpleHead = /^POST (\/[!-~]*) HTTP\/1\.1\r\n((?:[\w!#$%&'*+.^`|~-]+:[\t -~]*\r\n)+)$/;

/** What says more of a message than how long it is, or asks more of its server than an answer. */
const special: ReadonlySet<string> = new Set([
  "transfer-encoding",
  "expect",
  "upgrade",
  "te",
  "trailer",
  "keep-alive",
  "proxy-connection",
  "http2-settings",
]);

/** Reads the requests of one connection, most of which differ in nothing but their bodies. */
export class WholeRequestReader {
  #text = "";
  #head: RequestHead | undefined;

  /**
   * Reads a POST of HTTP/1.1 that is there as a whole, alone, and in its simple form.
   *
   * @returns undefined for everything else, sound or not: what that is, a complete parser has to say
   */
  read(bytes: Buffer): WholeRequest | undefined {
    const end = bytes.indexOf(headEnd);
    if (end < 0 || end > longestHead) return undefined;
    const text = bytes.toString("latin1", 0, end + 2);
    if (text !== this.#text) {
      this.#text = text;
      this.#head = readHead(text);
    }
    const head = this.#head;
    const start = end + headEnd.length;
    return head?.length === bytes.length - start ? { head, body: bytes.subarray(start) } : undefined;
  }
}

function readHead(text: string): RequestHead | undefined {
  const [, path, lines] = simpleHead.exec(text) ?? [];
  if (path === undefined || lines === undefined) return undefined;
  const headers: Record<string, string> = {};
  for (let start = 0; start < lines.length;) {
    const end = lines.indexOf("\r\n", start);
    const colon = lines.indexOf(":", start);
    const name = lines.slice(start, colon).toLowerCase();
    // Twice, or a name that every object has.
    if (special.has(name) || name in headers) return undefined;
    const value = lines.slice(colon + 1, end);
    // Not every parser takes a tab here.
    if (name === "content-length" && !/^ *\d{1,9} *$/.test(value)) return undefined;
    // Only blanks and tabs can stand around it.
    headers[name] = value.trim();
    start = end + 2;
  }
  const { host, connection = "keep-alive", "content-length": length } = headers;
  if (host === undefined || length === undefined || connection.toLowerCase() !== "keep-alive") return undefined;
  return { text: `${text}\r\n`, path, headers, length: Number(length) };
}
