import { messageOf, ServableError } from "../../errors.ts";
import { ownBytes } from "./bytes.ts";

/** A picture as pixels. */
export interface DecodedImage {
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  /** Red, green, blue. */
  readonly channels: 3;
  /** `height` rows of `width` pixels of three bytes each, from the top left. */
  readonly data: Uint8Array;
}

/** How large a picture may be. */
export interface ImageLimits {
  readonly maxPixels: number;
  readonly maxSidePixels: number;
}

type Sharp = typeof import("sharp");
type SharpFunction = Sharp["default"];

let loading: Promise<SharpFunction> | undefined;

/** The only place that imports sharp, an optional peer dependency. */
function loadSharp(): Promise<SharpFunction> {
  loading ??= import("sharp").then(
    (loaded) => loaded.default,
    (error: unknown) => {
      loading = undefined;
      const missing = error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND";
      const message = missing
        ? "Reading and writing pictures needs the package sharp: npm install sharp"
        : "The package sharp is installed but can't be loaded here: npm install sharp, once more, on this machine.";
      throw new ServableError("missing_dependency", message, { cause: error });
    },
  );
  return loading;
}

/** What sharp calls each format that is taken. SVG, PDF and others that can refer to files are not among them. */
const sharpFormats = { png: "png", jpeg: "jpeg", webp: "webp", gif: "gif", tiff: "tiff", avif: "heif" } as const;
type Format = keyof typeof sharpFormats;

/**
 * Decodes a picture to RGB: the first frame of an animation, turned upright as its EXIF data says, transparency laid on white.
 *
 * @throws ServableError `invalid_request` for what is no picture, is truncated, or is larger than the limits, which is told from its
 * header before any of it is decoded; `missing_dependency` without sharp
 */
export async function decodeImage(bytes: Uint8Array, limits: ImageLimits): Promise<DecodedImage> {
  if (bytes.length === 0) throw new ServableError("invalid_request", "The picture is empty; send one.");
  // By hand, so that no other of sharp's many readers ever sees a stranger's bytes.
  const format = sniffFormat(bytes);
  if (format === undefined) {
    throw new ServableError("invalid_request", "This is not a picture that can be read; send PNG, JPEG, WebP, GIF, TIFF or AVIF.");
  }
  const sharp = await loadSharp();
  const name = format === "jpeg" ? "JPEG" : format === "webp" ? "WebP" : format.toUpperCase();
  const broken = (error: unknown): ServableError =>
    new ServableError("invalid_request", `The picture starts like ${name}, but it is truncated or damaged.`, { cause: error });

  // failOn "error" catches every truncated file, and lets pass what cameras get slightly wrong.
  const metadata = await sharp(bytes, { failOn: "error", limitInputPixels: false })
    .metadata()
    .catch((error: unknown) => {
      throw broken(error);
    });
  const { width, height } = metadata;
  if (metadata.format !== sharpFormats[format]) throw broken(new Error(`sharp reads it as ${metadata.format}`));
  checkSize(width, height, limits);

  const { data, info } = await sharp(bytes, { failOn: "error", limitInputPixels: limits.maxPixels })
    .autoOrient()
    .flatten({ background: "#ffffff" })
    .toColourspace("srgb")
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true })
    .catch((error: unknown) => {
      throw broken(error);
    });
  return { width: info.width, height: info.height, channels: 3, data: ownBytes(data) };
}

function checkSize(width: number, height: number, { maxPixels, maxSidePixels }: ImageLimits): void {
  if (width <= maxSidePixels && height <= maxSidePixels && width * height <= maxPixels) return;
  throw new ServableError(
    "invalid_request",
    `The picture is ${width} × ${height} pixels; at most ${maxSidePixels} on a side and ${maxPixels} in all are taken.`,
    { details: { width, height, maxSidePixels, maxPixels } },
  );
}

function sniffFormat(bytes: Uint8Array): Format | undefined {
  const latin = String.fromCharCode(...bytes.subarray(0, 12));
  if (latin.startsWith("\x89PNG\r\n\x1a\n")) return "png";
  if (latin.startsWith("\xff\xd8\xff")) return "jpeg";
  if (/^GIF8[79]a/.test(latin)) return "gif";
  if (latin.startsWith("RIFF") && latin.endsWith("WEBP")) return "webp";
  if (/^(?:II[*+]\0|MM\0[*+])/.test(latin)) return "tiff";
  if (/^ftypavi[fs]$/.test(latin.slice(4))) return "avif";
  return undefined;
}

/** A format that pictures are written in. */
export type WrittenFormat = "png" | "jpeg" | "webp";

/**
 * Encodes RGB pixels.
 *
 * @throws ServableError `serialization_failed` where the pixels don't fit the size; `missing_dependency` without sharp
 */
export async function encodeImage(image: DecodedImage, format: WrittenFormat): Promise<Uint8Array> {
  const { width, height, channels, data } = image;
  if (!Number.isSafeInteger(width * height) || width < 1 || height < 1 || data.length !== width * height * 3) {
    const message = `A picture of ${width} × ${height} pixels needs ${width * height * 3} bytes of RGB; the service gave ${data.length}.`;
    throw new ServableError("serialization_failed", message);
  }
  const sharp = await loadSharp();
  try {
    const file = await sharp(data, { raw: { width, height, channels }, limitInputPixels: false }).toFormat(format).toBuffer();
    return ownBytes(file);
  } catch (error) {
    throw new ServableError("serialization_failed", `The picture can't be written as ${format}: ${messageOf(error)}.`, { cause: error });
  }
}
