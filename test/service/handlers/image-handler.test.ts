import { execFile } from "node:child_process";
import { promisify } from "node:util";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { ImageHandler } from "../../../src/service/handlers/image-handler.ts";
import type { DecodedImage } from "../../../src/service/handlers/image-codec.ts";
import { corners, pngHeader, toSharp } from "./pictures.ts";
import { contextFor, failureOf, payloadOf } from "./support.ts";

const handler = new ImageHandler({ field: "image" });
const read = async (body: Uint8Array, contentType = "image/png"): Promise<DecodedImage> =>
  handler.deserialize(payloadOf(body, contentType));
const picture = corners();
const png = new Uint8Array(await toSharp(picture).png().toBuffer());

/** The colour at a place. */
function pixel({ data, width }: DecodedImage, x: number, y: number): number[] {
  return [...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
}

function formOf(parts: Record<string, Uint8Array | string>): { contentType: string; body: Uint8Array } {
  const chunks: Uint8Array[] = [];
  for (const [name, content] of Object.entries(parts)) {
    const file = typeof content === "string" ? "" : '; filename="a.png"';
    chunks.push(
      Buffer.from(`--B\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n`),
      Buffer.from(content),
      Buffer.from("\r\n"),
    );
  }
  return { contentType: "multipart/form-data; boundary=B", body: Buffer.concat([...chunks, Buffer.from("--B--")]) };
}

describe("reading", () => {
  test.each(["png", "jpeg", "webp", "gif", "tiff", "avif"] as const)("reads %s, whatever it is called", async (format) => {
    const large = corners(64, 32);
    const body = new Uint8Array(await toSharp(large).toFormat(format).toBuffer());
    const image = await read(body, "application/octet-stream");
    expect([image.width, image.height, image.channels, image.data.length]).toEqual([64, 32, 3, 64 * 32 * 3]);
    for (const [x, y] of [
      [4, 4],
      [60, 4],
      [4, 28],
      [60, 28],
    ] as const) {
      pixel(image, x, y).forEach((value, channel) => expect(Math.abs(value - (pixel(large, x, y)[channel] ?? 0))).toBeLessThan(12));
    }
  });

  test("gives the exact pixels of a PNG", async () => {
    expect(await read(png)).toEqual(picture);
  });

  test("lays transparency on white", async () => {
    const clear = await sharp({ create: { width: 2, height: 1, channels: 4, background: { r: 255, g: 0, b: 0, alpha: 0 } } })
      .png()
      .toBuffer();
    expect((await read(clear)).data).toEqual(new Uint8Array(6).fill(255));
    const grey = await sharp(clear).greyscale().png().toBuffer();
    expect((await read(grey)).data).toEqual(new Uint8Array(6).fill(255));
  });

  test("gives three channels of bytes for grey, 16-bit, CMYK and palette pictures", async () => {
    const base = sharp({ create: { width: 4, height: 2, channels: 3, background: "#804020" } });
    const pictures = [
      base.clone().greyscale().png(),
      base.clone().toColourspace("rgb16").png(),
      base.clone().toColourspace("grey16").png(),
      base.clone().toColourspace("cmyk").jpeg(),
      base.clone().png({ palette: true, colours: 2 }),
    ];
    for (const source of pictures) {
      const image = await read(await source.toBuffer());
      expect([image.width, image.height, image.data.length]).toEqual([4, 2, 24]);
    }
    const exact = await read(await base.clone().toColourspace("rgb16").png().toBuffer());
    expect(pixel(exact, 0, 0)).toEqual([0x80, 0x40, 0x20]);
  });

  test("turns a picture upright, as its EXIF data says", async () => {
    const turned = await toSharp(picture).png().withMetadata({ orientation: 6 }).toBuffer();
    const image = await read(turned);
    expect([image.width, image.height]).toEqual([4, 8]);
    // 6: its top is on the right, so the top left corner goes to the top right.
    expect(pixel(image, 3, 0)).toEqual(pixel(picture, 0, 0));
    expect(pixel(image, 0, 7)).toEqual(pixel(picture, 7, 3));
  });

  test("gives the first frame of an animation", async () => {
    const frames = Buffer.concat([new Uint8Array(12).fill(255), new Uint8Array(12).fill(0)]);
    const animation = await sharp(frames, { raw: { width: 2, height: 4, channels: 3, pageHeight: 2 } })
      .gif({ delay: [100, 100] })
      .toBuffer();
    expect((await sharp(animation, { animated: true }).metadata()).pages).toBe(2);
    const image = await read(animation);
    expect([image.width, image.height]).toEqual([2, 2]);
    expect(image.data).toEqual(new Uint8Array(12).fill(255));
  });

  test("reads the field of a form", async () => {
    const { contentType, body } = formOf({ note: "hello", image: png, other: new Uint8Array(3) });
    expect(await read(body, contentType)).toEqual(picture);
  });
});

describe("refusing", () => {
  const big = pngHeader(20_000, 20_000);
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><image href="file:///etc/passwd" width="9" height="9"/></svg>';

  test("a huge picture, by its header alone, and both numbers are named", async () => {
    const error = await failureOf(() => read(big), "invalid_request");
    expect(error.message).toBe("The picture is 20000 × 20000 pixels; at most 16384 on a side and 50000000 in all are taken.");
    const small = new ImageHandler({ maxPixels: 31 });
    const tooLarge = [
      () => read(pngHeader(10_000, 10_000)),
      () => read(pngHeader(16_385, 1)),
      () => small.deserialize(payloadOf(png)),
      () => new ImageHandler({ maxSidePixels: 7 }).deserialize(payloadOf(png)),
    ];
    for (const work of tooLarge) expect((await failureOf(work, "invalid_request")).message).toContain("pixels; at most");
    await new ImageHandler({ maxPixels: 32, maxSidePixels: 8 }).deserialize(payloadOf(png));
  });

  test.each([
    ["nothing", "", "empty"],
    ["a text", "hello", "not a picture"],
    ["JSON", '{"image":"data:image/png;base64,AAAA"}', "not a picture"],
    ["SVG", svg, "not a picture"],
    ["SVG after a declaration", `<?xml version="1.0"?>${svg}`, "not a picture"],
    ["PDF", "%PDF-1.7", "not a picture"],
    ["only a PNG signature", "\x89PNG\r\n\x1a\n", "starts like PNG, but it is truncated or damaged"],
    ["SVG that starts like JPEG", `\xff\xd8\xff${svg}`, "starts like JPEG"],
    ["only a RIFF header", "RIFF\x00\x00\x00\x00WEBP", "starts like WebP"],
    ["only an AVIF header", "\x00\x00\x00\x0cftypavif", "starts like AVIF"],
    ["HEIC", "\x00\x00\x00\x0cftypheic", "not a picture"],
    ["TIFF that points nowhere", "II*\x00\xff\xff\xff\x7f", "starts like TIFF"],
  ])("%s", async (_name, content, message) => {
    const error = await failureOf(() => read(Buffer.from(content, "latin1")), "invalid_request");
    expect(error.message).toContain(message);
  });

  test("a header of 0 × 0", async () => {
    await failureOf(() => read(pngHeader(0, 0)), "invalid_request");
  });

  test.each(["png", "jpeg", "webp", "gif", "tiff", "avif"] as const)("a truncated %s", async (format) => {
    const noise = Buffer.from(Uint8Array.from({ length: 60 * 40 * 3 }, (_, index) => (index * 2_654_435_761) >>> 13));
    const whole = await sharp(noise, { raw: { width: 60, height: 40, channels: 3 } })
      .toFormat(format)
      .toBuffer();
    for (const part of [0.2, 0.5, 0.9]) {
      const error = await failureOf(() => read(whole.subarray(0, Math.floor(whole.length * part))), "invalid_request");
      expect(error.message).not.toMatch(/vips|buffer/i);
    }
  });

  test("a form without the picture", async () => {
    const missing = formOf({ photo: png });
    const error = await failureOf(() => read(missing.body, missing.contentType), "invalid_request");
    expect(error.message).toContain("The field 'image' with a file is missing; there are files in 'photo'");
    expect(error.issues[0]?.path).toEqual(["image"]);
    const text = formOf({ image: "x.png" });
    expect((await failureOf(() => read(text.body, text.contentType), "invalid_request")).message).toContain("-F image=@path");
    const cut = formOf({ image: png });
    expect((await failureOf(() => read(cut.body.subarray(0, -3), cut.contentType), "invalid_request")).message).toContain("truncated");
  });

  test("a form where only bare pictures are read", async () => {
    const bare = new ImageHandler();
    expect(bare.mediaTypes).not.toContain("multipart/form-data");
    const { contentType, body } = formOf({ image: png });
    await failureOf(() => bare.deserialize(payloadOf(body, contentType)), "unsupported_media_type");
  });
});

describe("writing", () => {
  test.each([
    ["image/png", "png"],
    ["image/jpeg", "jpeg"],
    ["image/webp", "webp"],
    ["application/octet-stream", "png"],
  ])("%s", async (mediaType, format) => {
    const body = await handler.serialize(picture, contextFor(mediaType));
    const metadata = await sharp(body).metadata();
    expect([metadata.format, metadata.width, metadata.height]).toEqual([format, 8, 4]);
  });

  test("refuses pixels that don't fit the size", async () => {
    const error = await failureOf(() => handler.serialize({ ...picture, width: 9 }, contextFor("image/png")), "serialization_failed");
    expect(error.message).toContain("9 × 4 pixels needs 108 bytes of RGB; the service gave 96");
    await failureOf(() => handler.serialize({ ...picture, width: -8, height: -4 }, contextFor("image/png")), "serialization_failed");
    const wide: DecodedImage = { width: 20_000, height: 1, channels: 3, data: new Uint8Array(60_000) };
    await failureOf(() => handler.serialize(wide, contextFor("image/webp")), "serialization_failed");
  });
});

test("says what to install where sharp is missing", async () => {
  // A process of its own, whose loader does not find sharp.
  const resolve = `export async function resolve(name, context, next) {
    if (name === "sharp") throw Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" });
    return next(name, context);
  }`;
  const script = `
    import { register } from "node:module";
    register("data:text/javascript," + encodeURIComponent(${JSON.stringify(resolve)}));
    const { ImageHandler } = await import(${JSON.stringify(new URL("../../../src/service/handlers/image-handler.ts", import.meta.url).href)});
    const body = Buffer.from(${JSON.stringify(Buffer.from(png).toString("base64"))}, "base64");
    await new ImageHandler().deserialize({ body }).catch((error) => console.log(error.code, error.message));
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", script]);
  expect(stdout.trim()).toBe("missing_dependency Reading and writing pictures needs the package sharp: npm install sharp");
});
