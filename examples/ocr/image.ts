import type { DecodedImage } from "servable";
import sharp from "sharp";
import type { Rectangle } from "./rectangle.ts";

/** Scales to `width` × `height`, then fills up to the right and below with the colours of the edge. */
export async function resize(image: DecodedImage, width: number, height: number, fill = { right: 0, below: 0 }): Promise<DecodedImage> {
  const scaled = sharp(image.data, { raw: { width: image.width, height: image.height, channels: 3 } }).resize(width, height, {
    fit: "fill",
  });
  // sharp extends after it has resized, whatever the order of the calls.
  const filled = scaled.extend({ right: fill.right, bottom: fill.below, extendWith: "copy" });
  const { data, info } = await filled.raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, channels: 3, data };
}

/** Cuts out a rectangle that may lean and sets it upright, at the picture's own scale. Beyond the edge, the edge goes on. */
export function cutOut(image: DecodedImage, { centre, width, height, angle }: Rectangle): DecodedImage {
  const columns = Math.max(1, Math.round(width));
  const rows = Math.max(1, Math.round(height));
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const cut = { width: columns, height: rows, channels: 3, data: new Uint8Array(columns * rows * 3) } as const;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const along = column + 0.5 - columns / 2;
      const across = row + 0.5 - rows / 2;
      const x = centre[0] + along * cos - across * sin - 0.5;
      const y = centre[1] + along * sin + across * cos - 0.5;
      // An upright cut copies pixels as they are: blending them would only blur.
      if (angle === 0) blend(image, Math.round(x), Math.round(y), cut.data, (row * columns + column) * 3);
      else blend(image, x, y, cut.data, (row * columns + column) * 3);
    }
  }
  return cut;
}

/** Writes the colour at a place between four pixels. */
function blend({ width, height, data }: DecodedImage, x: number, y: number, target: Uint8Array, offset: number): void {
  const left = Math.floor(x);
  const top = Math.floor(y);
  const column = [clamp(left, width), clamp(left + 1, width)] as const;
  const row = [clamp(top, height), clamp(top + 1, height)] as const;
  for (let channel = 0; channel < 3; channel++) {
    const at = (rowIndex: number, columnIndex: number): number => data[(rowIndex * width + columnIndex) * 3 + channel] ?? 0;
    const above = at(row[0], column[0]) + (at(row[0], column[1]) - at(row[0], column[0])) * (x - left);
    const below = at(row[1], column[0]) + (at(row[1], column[1]) - at(row[1], column[0])) * (x - left);
    target[offset + channel] = Math.round(above + (below - above) * (y - top));
  }
}

function clamp(index: number, length: number): number {
  return Math.max(0, Math.min(length - 1, index));
}

/** What a model expects of a colour that is given from 0 to 1: `(colour - mean) / deviation`, per channel. */
export interface Normalisation {
  readonly mean: readonly [number, number, number];
  readonly deviation: readonly [number, number, number];
}

/**
 * Writes a picture into a tensor of [3, height, width], row by row, where a row of the tensor may be longer than one of the picture.
 * The models were trained on pictures read by OpenCV, so their first channel is blue.
 */
export function writeChannels(
  image: DecodedImage,
  { mean, deviation }: Normalisation,
  target: Float32Array,
  rowLength = image.width,
): void {
  const { width, height, data } = image;
  for (let channel = 0; channel < 3; channel++) {
    const factor = 1 / (255 * (deviation[channel] ?? 1));
    const shift = (mean[channel] ?? 0) / (deviation[channel] ?? 1);
    for (let y = 0; y < height; y++) {
      let from = y * width * 3 + 2 - channel;
      let to = (channel * height + y) * rowLength;
      for (let x = 0; x < width; x++, from += 3) target[to++] = (data[from] ?? 0) * factor - shift;
    }
  }
}
