import { deflateSync, crc32 as zlibCrc32 } from "node:zlib";
import sharp, { type Sharp } from "sharp";
import type { DecodedImage } from "../../../src/service/handlers/image-codec.ts";

/** A picture with a different colour in each corner, so that turning it shows. */
export function corners(width = 8, height = 4): DecodedImage {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) data.set([x < width / 2 ? 255 : 0, y < height / 2 ? 255 : 0, 128], (y * width + x) * 3);
  }
  return { width, height, channels: 3, data };
}

export function toSharp({ width, height, channels, data }: DecodedImage): Sharp {
  return sharp(data, { raw: { width, height, channels } });
}

/** A valid PNG header of any size, with hardly any pixels behind it. */
export function pngHeader(width: number, height: number): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const signature = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", deflateSync(Buffer.alloc(64))), chunk("IEND", Buffer.alloc(0))]);
}

function chunk(type: string, data: Buffer): Buffer {
  const typed = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const framed = Buffer.alloc(typed.length + 8);
  framed.writeUInt32BE(data.length, 0);
  framed.set(typed, 4);
  framed.writeUInt32BE(zlibCrc32(typed), typed.length + 4);
  return framed;
}
