import { grow, rectangleAlong, smallestRectangle, type Point, type Rectangle } from "./rectangle.ts";

/** What the detection model gives: for each pixel how likely it is to lie in the core of a line of text, row by row. */
export interface ProbabilityMap {
  readonly width: number;
  readonly height: number;
  readonly data: Float32Array;
}

/** A line of text that was found and not read yet. */
export interface Region {
  readonly rectangle: Rectangle;
  /** The mean probability of its pixels. */
  readonly score: number;
}

/** A pixel over this belongs to some line. */
const pixelThreshold = 0.3;
/** A line under this is dropped. */
const regionThreshold = 0.6;
/** The model marks a line shrunken, by a distance that depends on its shape; this is how much of it is given back. */
const unclipRatio = 1.5;
/** Cores thinner than this, in pixels of the map, are specks. */
const minThickness = 3;
/** A lean that lifts the text by less than this part of its height is nothing but the raggedness of the core. */
const neglectedLean = 0.2;

/**
 * The post-processing of "Real-time Scene Text Detection with Differentiable Binarization" (Liao et al., 2019): groups of connected
 * pixels become the rectangles of whole lines, in pixels of the map.
 */
export function findRegions(map: ProbabilityMap): Region[] {
  return findCores(map).flatMap(({ outline, score }) => {
    const core = level(smallestRectangle(outline), outline);
    if (Math.min(core.width, core.height) < minThickness || score < regionThreshold) return [];
    const distance = (core.width * core.height * unclipRatio) / (2 * (core.width + core.height));
    return [{ rectangle: grow(core, distance), score }];
  });
}

function level(rectangle: Rectangle, outline: readonly Point[]): Rectangle {
  const rise = Math.abs(Math.sin(rectangle.angle)) * rectangle.width;
  return rise < neglectedLean * rectangle.height ? rectangleAlong(outline, 0) : rectangle;
}

/** A group of connected pixels. */
interface Core {
  /** The corners of the first and the last pixel of each row: enough for the convex hull. */
  readonly outline: Point[];
  readonly score: number;
}

function findCores(map: ProbabilityMap): Core[] {
  const seen = new Uint8Array(map.data.length);
  const cores: Core[] = [];
  for (let pixel = 0; pixel < map.data.length; pixel++) {
    if (claim(map, seen, pixel)) cores.push(floodFill(map, seen, pixel));
  }
  return cores;
}

/** Collects the pixels over the threshold that touch one another, also at a corner. */
function floodFill(map: ProbabilityMap, seen: Uint8Array, start: number): Core {
  const { width, height, data } = map;
  const rows = new Map<number, [first: number, last: number]>();
  let sum = 0;
  let count = 0;
  const waiting = [start];
  for (let pixel = waiting.pop(); pixel !== undefined; pixel = waiting.pop()) {
    const x = pixel % width;
    const y = (pixel - x) / width;
    sum += data[pixel] ?? 0;
    count++;
    const [first, last] = rows.get(y) ?? [x, x];
    rows.set(y, [Math.min(first, x), Math.max(last, x)]);
    for (let nextY = Math.max(0, y - 1); nextY <= Math.min(height - 1, y + 1); nextY++) {
      for (let nextX = Math.max(0, x - 1); nextX <= Math.min(width - 1, x + 1); nextX++) {
        const next = nextY * width + nextX;
        if (claim(map, seen, next)) waiting.push(next);
      }
    }
  }
  return { outline: [...rows].flatMap(([y, [first, last]]) => cornersOfRow(y, first, last + 1)), score: sum / count };
}

/** Whether a pixel belongs to a line and nobody has had it before. */
function claim({ data }: ProbabilityMap, seen: Uint8Array, pixel: number): boolean {
  if (seen[pixel] === 1 || (data[pixel] ?? 0) <= pixelThreshold) return false;
  seen[pixel] = 1;
  return true;
}

function cornersOfRow(y: number, left: number, right: number): Point[] {
  return [
    [left, y],
    [right, y],
    [left, y + 1],
    [right, y + 1],
  ];
}
