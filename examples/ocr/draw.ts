// Draws the pictures of ./pictures.ts and writes truth.json, which says what is written on each. Run it with
// `npx tsx examples/ocr/draw.ts`. The pictures are committed, since the fonts that are found differ from machine to machine.
import { writeFile } from "node:fs/promises";
import { format } from "prettier";
import sharp from "sharp";
import { pictures, type Picture, type Row } from "./pictures.ts";

const folder = new URL("./", import.meta.url);
const margin = 24;

const truth: Record<string, string[]> = {};
for (const picture of pictures) {
  const svg = toSvg(picture);
  const drawn = await sharp(Buffer.from(svg)).greyscale(isGrey(picture)).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  addGrain(drawn.data, picture.grain ?? 0, drawn.info.channels);
  const { width, height, channels } = drawn.info;
  const png = sharp(drawn.data, { raw: { width, height, channels } }).png({ palette: true, colours: 16, dither: 0, effort: 10 });
  await writeFile(new URL(picture.file, folder), await png.toBuffer());
  truth[picture.file] = picture.rows.map((row) => (row.right === undefined ? row.left : `${row.left} ${row.right}`));
}
await writeFile(new URL("truth.json", folder), await format(JSON.stringify(truth), { parser: "json", printWidth: 140 }));

function toSvg(picture: Picture): string {
  let baseline = margin;
  const texts = picture.rows.map((row, index) => {
    const size = row.size ?? picture.size;
    baseline += size * (index === 0 ? 0.8 : (row.gap ?? 0.5) + 1);
    return toText(picture, row, size, baseline);
  });
  const height = Math.round(baseline + margin);
  const turn = `rotate(${picture.tiltDegrees ?? 0} ${picture.width / 2} ${height / 2})`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${picture.width}" height="${height}">
    <rect width="100%" height="100%" fill="${picture.paper}"/><g fill="${picture.ink}" transform="${turn}">${texts.join("")}</g></svg>`;
}

function toText(picture: Picture, row: Row, size: number, baseline: number): string {
  const weight = (row.bold ?? picture.bold) === true ? "bold" : "normal";
  const slope = (row.italic ?? picture.italic) === true ? "italic" : "normal";
  const font = `font-family="${row.font ?? picture.font}" font-size="${size}" font-weight="${weight}" font-style="${slope}"`;
  const left = `<text x="${margin}" y="${baseline}" ${font}>${escapeXml(row.left)}</text>`;
  if (row.right === undefined) return left;
  return `${left}<text x="${picture.width - margin}" y="${baseline}" text-anchor="end" ${font}>${escapeXml(row.right)}</text>`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

function isGrey({ paper, ink }: Picture): boolean {
  return [paper, ink].every((colour) => colour.slice(1, 3) === colour.slice(3, 5) && colour.slice(3, 5) === colour.slice(5, 7));
}

/** The same noise at every run, alike in all channels of a pixel, like the grain of paper. */
function addGrain(pixels: Buffer, strength: number, channels: number): void {
  if (strength === 0) return;
  let state = 0x2545f491;
  for (let first = 0; first < pixels.length; first += channels) {
    // One step of xorshift32, from which any 32 bits but zero give a long period.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const shift = Math.round(((state >>> 0) / 2 ** 32 - 0.5) * 2 * strength);
    for (let channel = 0; channel < channels; channel++) {
      pixels[first + channel] = Math.max(0, Math.min(255, (pixels[first + channel] ?? 0) + shift));
    }
  }
}
