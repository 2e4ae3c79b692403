import { ServableError } from "../../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import type { Payload, RequestHandler, ResponseHandler } from "./handler.ts";
import { parseMediaType } from "./media-type.ts";

/** What can be set of a {@link TextHandler}. */
export interface TextHandlerOptions {
  /** What it reads and writes; patterns such as `text/*` are only read. @default ["text/plain"] */
  readonly mediaTypes?: readonly string[] | undefined;
}

const keys = { mediaTypes: true } satisfies KeysOf<TextHandlerOptions>;

/**
 * Texts: UTF-8, or what the content type's `charset` says; written as UTF-8. An empty body is the empty text.
 *
 * A typed client sends `new Blob([text], { type: "text/plain" })`, since a bare text is sent as JSON.
 */
export class TextHandler implements RequestHandler<string, Blob>, ResponseHandler<string, string> {
  readonly mediaTypes: readonly string[];
  declare readonly "~clientInput"?: Blob;
  declare readonly "~clientOutput"?: string;
  readonly #utf8 = new TextDecoder("utf-8", { fatal: true });

  /** @throws ServableError `invalid_config` */
  constructor(options: TextHandlerOptions = {}) {
    refuseUnknownKeys(options, keys, "TextHandler");
    this.mediaTypes = options.mediaTypes ?? ["text/plain"];
  }

  /**
   * Reads a text; a byte order mark is left out.
   *
   * @throws ServableError `invalid_request` for bytes that are not of the charset, `unsupported_media_type` for an unknown one
   */
  deserialize({ contentType, body }: Payload): string {
    const charset = contentType === undefined ? undefined : parseMediaType(contentType)?.parameters.get("charset");
    const decoder = charset === undefined ? this.#utf8 : this.#decoderFor(charset);
    try {
      return decoder.decode(body);
    } catch (error) {
      const message =
        charset === undefined
          ? "The text is not valid UTF-8; name its charset in the content type."
          : `The text is not valid ${decoder.encoding}.`;
      throw new ServableError("invalid_request", message, { cause: error });
    }
  }

  /**
   * Gives the text.
   *
   * @throws ServableError `serialization_failed` for anything but a string
   */
  serialize(value: string): string {
    if (typeof value === "string") return value;
    throw new ServableError("serialization_failed", `The service must give a string to be written as text; it gave a ${typeof value}.`);
  }

  #decoderFor(charset: string): InstanceType<typeof TextDecoder> {
    if (/^utf-?8$/i.test(charset)) return this.#utf8;
    try {
      return new TextDecoder(charset, { fatal: true });
    } catch (error) {
      const main = this.mediaTypes[0] ?? "text/plain";
      throw new ServableError("unsupported_media_type", `The charset '${charset.slice(0, 40)}' is not known here; send UTF-8.`, {
        details: { accepted: [`${main}; charset=utf-8`] },
        cause: error,
      });
    }
  }
}
