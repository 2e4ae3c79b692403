import { ServableError } from "../../errors.ts";
import { parseMediaType } from "./media-type.ts";

/** One part of a multipart body. */
export interface Part {
  /** The field's name. */
  readonly name: string;
  /** The file's name, which may be empty; undefined for a field that is no file. */
  readonly fileName: string | undefined;
  /** What the part says it is; without it `text/plain` for a field, `application/octet-stream` for a file. */
  readonly mediaType: string;
  /** The content, a view on the body. */
  readonly data: Uint8Array;
}

const maxHeaderBytes = 8192;
const maxHeaders = 20;
const dash = 0x2d;
const carriageReturn = 0x0d;
const lineFeed = 0x0a;
const headerEnd = Uint8Array.of(carriageReturn, lineFeed, carriageReturn, lineFeed);
const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * Takes a `multipart/form-data` body apart (RFC 7578). The platform's own `formData()` would do it, too, but only tells *that* a body is
 * wrong, not what; it has no limits; and it copies each file twice.
 *
 * @throws ServableError `invalid_request` that says what is wrong, and with which part
 */
export function parseMultipart(contentType: string | undefined, body: Uint8Array, maxParts: number): readonly Part[] {
  const boundary = boundaryOf(contentType);
  if (body.length === 0) throw invalid("The body is empty; send a multipart form.");
  const delimiter = new TextEncoder().encode(`\r\n--${boundary}`);
  let position = startOf(body, delimiter);
  if (position === -1) {
    throw invalid("The boundary that the content type names is not in the body; let the client set the content type of a form by itself.");
  }
  const parts: Part[] = [];
  for (;;) {
    // Here `position` is right after a delimiter: either `--`, which closes the form, or the rest of the line, then a part.
    if (body[position] === dash && body[position + 1] === dash) return parts;
    while (body[position] === 0x20 || body[position] === 0x09) position++;
    if (position >= body.length - 1) throw truncated();
    if (body[position] !== carriageReturn || body[position + 1] !== lineFeed) {
      throw invalid(`The multipart body is malformed at byte ${position}: a boundary must be followed by a line break.`);
    }
    if (parts.length >= maxParts) throw invalid(`The form has more than ${maxParts} parts; send fewer.`);
    // The line break before a part without headers is also the start of the empty line after them.
    const end = indexOf(body, delimiter, position);
    if (end === -1) throw truncated();
    parts.push(parsePart(body.subarray(position, end), parts.length + 1));
    position = end + delimiter.length;
  }
}

function invalid(message: string, cause?: unknown): ServableError {
  return new ServableError("invalid_request", message, { cause });
}

function truncated(): ServableError {
  return invalid("The multipart body is truncated: its closing boundary is missing.");
}

function boundaryOf(contentType: string | undefined): string {
  const mediaType = contentType === undefined ? undefined : parseMediaType(contentType);
  if (mediaType?.essence !== "multipart/form-data") {
    throw invalid("The body must be multipart/form-data, with a content type that names its boundary.");
  }
  const boundary = mediaType.parameters.get("boundary");
  // RFC 2046 section 5.1.1: 1 to 70 characters, the last of them no space.
  if (boundary === undefined || !/^[\x20-\x7e]{0,69}[\x21-\x7e]$/.test(boundary)) {
    throw invalid("The content type multipart/form-data names no usable boundary; let the client set it by itself.");
  }
  return boundary;
}

/** The place after the first delimiter, which may stand at the very start, or after text that is to be ignored. */
function startOf(body: Uint8Array, delimiter: Uint8Array): number {
  const first = delimiter.subarray(2);
  if (startsWith(body, first, 0)) return first.length;
  const index = indexOf(body, delimiter, 0);
  return index === -1 ? -1 : index + delimiter.length;
}

function startsWith(body: Uint8Array, pattern: Uint8Array, at: number): boolean {
  if (at + pattern.length > body.length) return false;
  for (let index = 0; index < pattern.length; index++) {
    if (body[at + index] !== pattern[index]) return false;
  }
  return true;
}

/** Uint8Array's own indexOf finds single bytes, fast; each one found is then compared by hand. */
function indexOf(body: Uint8Array, pattern: Uint8Array, from: number): number {
  const first = pattern[0] ?? 0;
  for (let at = body.indexOf(first, from); at !== -1; at = body.indexOf(first, at + 1)) {
    if (startsWith(body, pattern, at)) return at;
  }
  return -1;
}

/** @param bytes - from the line break that ends the boundary's line to the end of the content */
function parsePart(bytes: Uint8Array, number: number): Part {
  const which = `Part ${number} of the form`;
  const end = indexOf(bytes.subarray(0, maxHeaderBytes + headerEnd.length), headerEnd, 0);
  if (end === -1) {
    if (bytes.length > maxHeaderBytes) throw invalid(`${which} has headers of more than ${maxHeaderBytes} bytes.`);
    throw invalid(`${which} is malformed: the empty line between its headers and its content is missing.`);
  }
  let text: string;
  try {
    text = utf8.decode(bytes.subarray(0, end));
  } catch (error) {
    throw invalid(`${which} has headers that are not valid UTF-8.`, error);
  }
  const lines = text.split("\r\n").filter((line) => line !== "");
  if (lines.length > maxHeaders) throw invalid(`${which} has more than ${maxHeaders} headers.`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 1) throw invalid(`${which} has a malformed header.`);
    headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  const encoding = headers.get("content-transfer-encoding");
  if (encoding !== undefined && !/^(?:7bit|8bit|binary)$/i.test(encoding)) {
    throw invalid(`${which} has a Content-Transfer-Encoding, which forms do not use (RFC 7578 section 4.7); send the bytes as they are.`);
  }
  const disposition = parseDisposition(headers.get("content-disposition") ?? "");
  if (disposition === undefined) {
    throw invalid(`${which} has no name: it needs the header Content-Disposition: form-data; name="…".`);
  }
  const mediaType = headers.get("content-type") ?? (disposition.fileName === undefined ? "text/plain" : "application/octet-stream");
  return { ...disposition, mediaType, data: bytes.subarray(end + headerEnd.length) };
}

const dispositionParameter = /;[ \t]*([\w!#$%&'*+.^`|~-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^";\s]*))[ \t]*/gsy;

function parseDisposition(text: string): Pick<Part, "name" | "fileName"> | undefined {
  const kind = /^form-data[ \t]*/i.exec(text);
  if (kind === null) return undefined;
  const parameters = new Map<string, string>();
  dispositionParameter.lastIndex = kind[0].length;
  let end = kind[0].length;
  for (let match = dispositionParameter.exec(text); match !== null; match = dispositionParameter.exec(text)) {
    parameters.set(match[1]?.toLowerCase() ?? "", match[2] === undefined ? (match[3] ?? "") : unescapeName(match[2]));
    end = dispositionParameter.lastIndex;
  }
  // A trailing semicolon says nothing; anything else that was not understood may have been the name.
  if (!/^[; \t]*$/.test(text.slice(end))) return undefined;
  const name = parameters.get("name");
  if (name === undefined) return undefined;
  return { name, fileName: parameters.get("filename") ?? decodeExtended(parameters.get("filename*")) };
}

/** Browsers write a quote in a name as %22 (the HTML standard); others put a backslash before it. */
function unescapeName(text: string): string {
  return text
    .replace(/\\(["\\])/g, "$1")
    .replace(/%22/g, '"')
    .replace(/%0D/gi, "\r")
    .replace(/%0A/gi, "\n");
}

/** Some clients write names that are not ASCII as RFC 5987 says, though forms should not. */
function decodeExtended(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const encoded = /^utf-8'[^']*'(.*)$/i.exec(text)?.[1];
  if (encoded === undefined) return text;
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}
