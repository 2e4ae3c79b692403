import { readFile } from "node:fs/promises";
import { Service, Tensor, type DecodedImage, type ServiceContext } from "servable";
import type { Region } from "./boxes.ts";
import { decodeCtc, parseKeys, type Reading } from "./ctc.ts";
import type { Detected } from "./detect.ts";
import { cutOut, resize, writeChannels } from "./image.ts";
import { keysFile, loaded, loadModel, recognitionModel, type ArrayModel } from "./models.ts";
import { cornersOf } from "./rectangle.ts";

/** How lines are read. */
export interface RecognizeOptions {
  /** Lines that go through the model together. @default 4 */
  readonly batchSize?: number | undefined;
  /** Lines that the model is less sure of are dropped. @default 0.5 */
  readonly minScore?: number | undefined;
  /** @default 1 */
  readonly intraOpThreads?: number | undefined;
}

/** A line of text. */
export interface Line {
  readonly text: string;
  /** How sure the model is of its characters, from 0 to 1. */
  readonly score: number;
  /** Its corners, clockwise from the top left one, in pixels of the picture. */
  readonly box: [x: number, y: number][];
}

/** What is written in a picture, in reading order. */
export interface Page {
  readonly lines: Line[];
}

/** The height of every line that the model takes. */
const lineHeight = 48;
/** The model tells one character for each this many pixels; a line needs one at least. */
const minWidth = 8;
const normalisation = { mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] } as const;

/** Second step: cuts out the lines that were found and reads them. */
export class Recognize extends Service<Detected, Page> {
  readonly #batchSize: number;
  readonly #minScore: number;
  readonly #intraOpThreads: number;
  #model: ArrayModel | undefined;
  #classes: readonly string[] = [];

  constructor(options: RecognizeOptions = {}) {
    super();
    this.#batchSize = options.batchSize ?? 4;
    this.#minScore = options.minScore ?? 0.5;
    this.#intraOpThreads = options.intraOpThreads ?? 1;
  }

  override async setup(): Promise<void> {
    this.#classes = parseKeys(await readFile(keysFile, "utf8"));
    this.#model = await loadModel(recognitionModel, this.#intraOpThreads);
  }

  override async call({ image, regions }: Detected, { signal }: ServiceContext): Promise<Page> {
    const strips = await Promise.all(regions.map((region) => toStrip(image, region)));
    const readings: Reading[] = [];
    for (const batch of batchesOfLikeWidth(strips, this.#batchSize)) {
      const found = await this.#read(
        batch.map(({ strip }) => strip),
        signal,
      );
      batch.forEach(({ index }, row) => (readings[index] = found[row] ?? { text: "", score: 0 }));
    }
    const lines = readings.map(({ text, score }, index) => ({ text, score, box: boxOf(image, regions[index]) }));
    return { lines: lines.filter(({ text, score }) => text !== "" && score >= this.#minScore) };
  }

  /** Runs one batch, as wide as its widest line; what is left of the others stays 0, a middle grey. */
  async #read(strips: readonly DecodedImage[], signal: AbortSignal): Promise<Reading[]> {
    const width = Math.max(...strips.map((strip) => strip.width));
    const size = 3 * lineHeight * width;
    const pixels = new Float32Array(strips.length * size);
    strips.forEach((strip, row) => writeChannels(strip, normalisation, pixels.subarray(row * size, (row + 1) * size), width));
    const output = await loaded(this.#model).run(new Tensor("FP32", [strips.length, 3, lineHeight, width], pixels), { signal });
    const probabilities = output.as("FP32").data;
    const share = probabilities.length / strips.length;
    return strips.map((_, row) => decodeCtc(probabilities.subarray(row * share, (row + 1) * share), this.#classes));
  }

  override async close(): Promise<void> {
    await this.#model?.close();
  }
}

async function toStrip(image: DecodedImage, { rectangle }: Region): Promise<DecodedImage> {
  const cut = cutOut(image, rectangle);
  return resize(cut, Math.max(minWidth, Math.round((cut.width * lineHeight) / cut.height)), lineHeight);
}

interface Numbered {
  readonly strip: DecodedImage;
  /** Its place in reading order. */
  readonly index: number;
}

/** Lines of like width together waste little of a batch. */
function batchesOfLikeWidth(strips: readonly DecodedImage[], batchSize: number): Numbered[][] {
  const sorted = strips.map((strip, index) => ({ strip, index })).sort((a, b) => a.strip.width - b.strip.width);
  const batches: Numbered[][] = [];
  for (let start = 0; start < sorted.length; start += batchSize) batches.push(sorted.slice(start, start + batchSize));
  return batches;
}

/** The corners of a region in whole pixels, none of them outside the picture. */
function boxOf({ width, height }: DecodedImage, region: Region | undefined): Line["box"] {
  if (region === undefined) return [];
  return cornersOf(region.rectangle).map(([x, y]) => [
    Math.max(0, Math.min(width, Math.round(x))),
    Math.max(0, Math.min(height, Math.round(y))),
  ]);
}
