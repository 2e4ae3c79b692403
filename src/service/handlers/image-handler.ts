import { ServableError } from "../../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import type { JsonSchema } from "../schema.ts";
import type { HandlerContext, Payload, RequestHandler, ResponseHandler } from "./handler.ts";
import { decodeImage, encodeImage, type DecodedImage, type WrittenFormat } from "./image-codec.ts";
import { essenceOf } from "./media-type.ts";
import { wrongFile } from "./multipart-handler.ts";
import { parseMultipart } from "./multipart.ts";

/** What can be set of an {@link ImageHandler}. */
export interface ImageHandlerOptions {
  /**
   * The field of a form that holds the picture. With it, `multipart/form-data` is read, too: `curl -F field=@picture.png`.
   * @default only bare pictures are read
   */
  readonly field?: string | undefined;
  /** Most pixels of a picture, told from its header before it is decoded; each takes three bytes. @default 50 million */
  readonly maxPixels?: number | undefined;
  /** Longest side of a picture, in pixels. @default 16384 */
  readonly maxSidePixels?: number | undefined;
}

const keys = { field: true, maxPixels: true, maxSidePixels: true } satisfies KeysOf<ImageHandlerOptions>;

const maxParts = 100;

/**
 * Pictures, as RGB pixels. Reads PNG, JPEG, WebP, GIF, TIFF and AVIF, whatever the content type says of the format; writes PNG,
 * JPEG or WebP. Needs the package `sharp`.
 *
 * @example
 * ```ts
 * import { defineService, ImageHandler } from "servable";
 *
 * export const brightness = defineService({
 *   name: "brightness",
 *   request: new ImageHandler({ field: "image" }),
 *   call: ({ data }) => ({ mean: data.reduce((sum, value) => sum + value, 0) / data.length }),
 * });
 * ```
 */
export class ImageHandler implements RequestHandler<DecodedImage, Blob | Uint8Array | FormData>, ResponseHandler<DecodedImage, Blob> {
  readonly mediaTypes: readonly string[];
  readonly bodySchemas: Readonly<Record<string, JsonSchema>>;
  declare readonly "~clientInput"?: Blob | Uint8Array | FormData;
  declare readonly "~clientOutput"?: Blob;
  readonly #field: string | undefined;
  readonly #maxPixels: number;
  readonly #maxSidePixels: number;

  /** @throws ServableError `invalid_config` */
  constructor(options: ImageHandlerOptions = {}) {
    refuseUnknownKeys(options, keys, "ImageHandler");
    this.#field = options.field;
    this.#maxPixels = options.maxPixels ?? 50_000_000;
    this.#maxSidePixels = options.maxSidePixels ?? 16_384;
    const form = options.field === undefined ? [] : ["multipart/form-data"];
    // Octet-stream: what clients say of bytes, and of files whose kind they don't know.
    this.mediaTypes = ["image/png", "image/jpeg", "image/webp", "image/*", ...form, "application/octet-stream"];
    this.bodySchemas = options.field === undefined ? {} : { "multipart/form-data": formSchema(options.field) };
  }

  /**
   * Decodes one picture.
   *
   * @throws ServableError `invalid_request` for what is no picture, is truncated, is too large, or is missing in its form;
   * `missing_dependency` without sharp
   */
  deserialize({ contentType, body }: Payload): Promise<DecodedImage> {
    return decodeImage(this.#pictureIn(contentType, body), { maxPixels: this.#maxPixels, maxSidePixels: this.#maxSidePixels });
  }

  /**
   * Encodes one picture, as JPEG or WebP where that is asked for, else as PNG.
   *
   * @throws ServableError `serialization_failed` where the pixels don't fit the size; `missing_dependency` without sharp
   */
  serialize(value: DecodedImage, { mediaType }: HandlerContext): Promise<Uint8Array> {
    const formats: Readonly<Record<string, WrittenFormat>> = { "image/jpeg": "jpeg", "image/webp": "webp" };
    return encodeImage(value, formats[mediaType] ?? "png");
  }

  #pictureIn(contentType: string | undefined, body: Uint8Array): Uint8Array {
    if (contentType === undefined || essenceOf(contentType) !== "multipart/form-data") return body;
    const field = this.#field;
    if (field === undefined) throw new ServableError("unsupported_media_type", "Send the picture itself as the body, not a form.");
    const parts = parseMultipart(contentType, body, maxParts);
    const files = parts.filter(({ fileName }) => fileName !== undefined);
    const pictures = files.filter(({ name }) => name === field);
    const [picture] = pictures;
    if (picture !== undefined && pictures.length === 1) return picture.data;
    throw wrongFile(field, pictures.length, {
      isText: parts.some(({ name, fileName }) => name === field && fileName === undefined),
      others: files.map(({ name }) => name),
    });
  }
}

function formSchema(field: string): JsonSchema {
  return {
    type: "object",
    required: [field],
    properties: { [field]: { type: "string", contentMediaType: "image/*" } },
  };
}
