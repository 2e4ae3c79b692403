import type { Region } from "./boxes.ts";

/** Lines whose middles are nearer than this part of the lower one's height stand in one row. */
const sameRow = 0.5;

/** Sorts from top to bottom, and within a row from left to right. */
export function inReadingOrder(regions: readonly Region[]): Region[] {
  const angle = medianAngle(regions);
  // In a picture taken at an angle, rows lean together: places are measured along and across them.
  const placed = regions.map((region) => {
    const [x, y] = region.rectangle.centre;
    return { region, along: x * Math.cos(angle) + y * Math.sin(angle), across: y * Math.cos(angle) - x * Math.sin(angle) };
  });
  placed.sort((a, b) => a.across - b.across);
  const rows: (typeof placed)[] = [];
  for (const item of placed) {
    const row = rows.at(-1);
    const above = row?.at(-1);
    if (row !== undefined && above !== undefined && item.across - above.across < sameRow * lowerHeight(above.region, item.region))
      row.push(item);
    else rows.push([item]);
  }
  return rows.flatMap((row) => row.sort((a, b) => a.along - b.along).map(({ region }) => region));
}

function lowerHeight(a: Region, b: Region): number {
  return Math.min(a.rectangle.height, b.rectangle.height);
}

function medianAngle(regions: readonly Region[]): number {
  const angles = regions.map(({ rectangle }) => rectangle.angle).sort((a, b) => a - b);
  return angles[Math.floor(angles.length / 2)] ?? 0;
}
