import { ServableError } from "../../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import type { JsonSchema } from "../schema.ts";
import { ownBytes } from "./bytes.ts";
import type { Payload, RequestHandler } from "./handler.ts";
import { parseMultipart, type Part } from "./multipart.ts";

/** A file of a form. */
export interface UploadedFile {
  /** Its name as the client gave it, perhaps empty. It is no path: never open a file by it. */
  readonly name: string;
  /** What the client says it is, with parameters, such as `image/png`. Nobody has checked it. */
  readonly mediaType: string;
  /** Its bytes; a service may keep them. */
  readonly data: Uint8Array;
}

/** A form: every field and file by name, each name with all of its values in the order in which they came. */
export interface MultipartForm {
  /** The fields that are no files. */
  readonly fields: ReadonlyMap<string, readonly string[]>;
  /** The files. */
  readonly files: ReadonlyMap<string, readonly UploadedFile[]>;
}

/** What can be set of a {@link MultipartHandler}. */
export interface MultipartHandlerOptions {
  /** Fields and files together. @default 100 */
  readonly maxParts?: number | undefined;
  /** Largest file. @default as large as the service's body may be */
  readonly maxFileBytes?: number | undefined;
}

const keys = { maxParts: true, maxFileBytes: true } satisfies KeysOf<MultipartHandlerOptions>;

/**
 * Forms with files (`multipart/form-data`), as `curl -F` and browsers send them. It only reads.
 *
 * @example
 * ```ts
 * import { defineService, MultipartHandler, requireFile } from "servable";
 *
 * export const size = defineService({
 *   name: "size",
 *   request: new MultipartHandler({ maxFileBytes: 1_000_000 }),
 *   call: (form) => ({ bytes: requireFile(form, "document").data.length }),
 * });
 * ```
 */
export class MultipartHandler implements RequestHandler<MultipartForm, FormData> {
  readonly mediaTypes: readonly string[] = ["multipart/form-data"];
  readonly bodySchema: JsonSchema = {
    type: "object",
    additionalProperties: { type: "string", contentMediaType: "application/octet-stream" },
  };
  declare readonly "~clientInput"?: FormData;
  readonly #maxParts: number;
  readonly #maxFileBytes: number;

  /** @throws ServableError `invalid_config` */
  constructor(options: MultipartHandlerOptions = {}) {
    refuseUnknownKeys(options, keys, "MultipartHandler");
    this.#maxParts = options.maxParts ?? 100;
    this.#maxFileBytes = options.maxFileBytes ?? Infinity;
  }

  /**
   * Reads one form.
   *
   * @throws ServableError `invalid_request` that says what is wrong, and with which part; `payload_too_large` for a file
   */
  deserialize({ contentType, body }: Payload): MultipartForm {
    const fields = new Map<string, string[]>();
    const files = new Map<string, UploadedFile[]>();
    for (const part of parseMultipart(contentType, body, this.#maxParts)) {
      if (part.fileName === undefined) append(fields, part.name, fieldText(part));
      else append(files, part.name, this.#file(part, part.fileName));
    }
    return { fields, files };
  }

  #file({ name: field, mediaType, data }: Part, name: string): UploadedFile {
    if (data.length > this.#maxFileBytes) {
      const message = `The file in the field '${field}' has ${data.length} bytes; at most ${this.#maxFileBytes} are taken.`;
      throw new ServableError("payload_too_large", message, { issues: [{ path: [field], message: "The file is too large." }] });
    }
    return { name, mediaType, data: ownBytes(data) };
  }
}

/**
 * The one file in a field of a form.
 *
 * @throws ServableError `invalid_request`, with the field's path, where there is no file in it, or more than one
 */
export function requireFile(form: MultipartForm, field: string): UploadedFile {
  const files = form.files.get(field) ?? [];
  const [file] = files;
  if (file !== undefined && files.length === 1) return file;
  throw wrongFile(field, files.length, { isText: form.fields.has(field), others: [...form.files.keys()] });
}

/** Says what is wrong with a field that should hold exactly one file. */
export function wrongFile(
  field: string,
  count: number,
  found: { readonly isText: boolean; readonly others: readonly string[] },
): ServableError {
  const others = found.others.slice(0, 5).map((name) => `'${name.slice(0, 40)}'`);
  const message =
    count > 1
      ? `The field '${field}' holds ${count} files; send one.`
      : found.isText
        ? `The field '${field}' holds a text; send a file in it (with curl: -F ${field}=@path).`
        : `The field '${field}' with a file is missing${others.length === 0 ? "" : `; there are files in ${others.join(", ")}`}.`;
  return new ServableError("invalid_request", message, { issues: [{ path: [field], message }] });
}

function fieldText({ name, data }: Part): string {
  try {
    // A byte order mark is part of what somebody typed into a field.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch (error) {
    const message = `The field '${name}' is not valid UTF-8; send bytes as a file, with a file name.`;
    throw new ServableError("invalid_request", message, { issues: [{ path: [name], message }], cause: error });
  }
}

function append<T>(map: Map<string, T[]>, name: string, value: T): void {
  const list = map.get(name);
  if (list === undefined) map.set(name, [value]);
  else list.push(value);
}
