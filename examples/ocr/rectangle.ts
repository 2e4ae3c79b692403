/** A place in a picture: x to the right, y down, in pixels. */
export type Point = readonly [x: number, y: number];

/** A rectangle that may lean: its sides are `width` along the text and `height` across it. */
export interface Rectangle {
  readonly centre: Point;
  readonly width: number;
  readonly height: number;
  /** How far the text runs downhill, in radians, from -π/4 to π/4. */
  readonly angle: number;
}

/** The corners, clockwise from the top left one. */
export function cornersOf({ centre: [x, y], width, height, angle }: Rectangle): [Point, Point, Point, Point] {
  const along: Point = [(Math.cos(angle) * width) / 2, (Math.sin(angle) * width) / 2];
  const down: Point = [(-Math.sin(angle) * height) / 2, (Math.cos(angle) * height) / 2];
  return [
    [x - along[0] - down[0], y - along[1] - down[1]],
    [x + along[0] - down[0], y + along[1] - down[1]],
    [x + along[0] + down[0], y + along[1] + down[1]],
    [x - along[0] + down[0], y - along[1] + down[1]],
  ];
}

/** Moves every side outwards by `distance`. */
export function grow(rectangle: Rectangle, distance: number): Rectangle {
  return { ...rectangle, width: rectangle.width + 2 * distance, height: rectangle.height + 2 * distance };
}

/** The same rectangle in a picture that is `factor` times as large. */
export function scale({ centre: [x, y], width, height, angle }: Rectangle, factor: number): Rectangle {
  return { centre: [x * factor, y * factor], width: width * factor, height: height * factor, angle };
}

/** The smallest rectangle around some points. One side of it lies on a side of their convex hull, so each is tried. */
export function smallestRectangle(points: readonly Point[]): Rectangle {
  const hull = convexHull(points);
  let best: Rectangle | undefined;
  hull.forEach(([x, y], index) => {
    const [nextX, nextY] = hull[(index + 1) % hull.length] ?? [x, y];
    const candidate = rectangleAlong(hull, towardsLevel(Math.atan2(nextY - y, nextX - x)));
    if (best === undefined || candidate.width * candidate.height < best.width * best.height) best = candidate;
  });
  return best ?? { centre: [0, 0], width: 0, height: 0, angle: 0 };
}

/** Turns an angle by quarter turns, which leave a rectangle the same, until it is nearest to level text. */
function towardsLevel(angle: number): number {
  return angle - Math.round(angle / (Math.PI / 2)) * (Math.PI / 2);
}

/** The smallest rectangle around some points whose text runs at this angle. */
export function rectangleAlong(points: readonly Point[], angle: number): Rectangle {
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const [x, y] of points) {
    const along = x * cos + y * sin;
    const across = y * cos - x * sin;
    left = Math.min(left, along);
    right = Math.max(right, along);
    top = Math.min(top, across);
    bottom = Math.max(bottom, across);
  }
  const along = (left + right) / 2;
  const across = (top + bottom) / 2;
  return { centre: [along * cos - across * sin, along * sin + across * cos], width: right - left, height: bottom - top, angle };
}

/** Andrew's monotone chain: the lower hull from left to right, then the upper one back. */
function convexHull(points: readonly Point[]): Point[] {
  const sorted = points.toSorted(([x1, y1], [x2, y2]) => x1 - x2 || y1 - y2);
  return [...halfHull(sorted), ...halfHull(sorted.toReversed())];
}

function halfHull(sorted: readonly Point[]): Point[] {
  const hull: Point[] = [];
  for (const point of sorted) {
    while (hull.length >= 2 && !turnsLeft(hull.at(-2), hull.at(-1), point)) hull.pop();
    hull.push(point);
  }
  // The last point is the first one of the other half.
  return hull.slice(0, -1);
}

function turnsLeft(from: Point | undefined, through: Point | undefined, to: Point): boolean {
  if (from === undefined || through === undefined) return true;
  return (through[0] - from[0]) * (to[1] - from[1]) > (through[1] - from[1]) * (to[0] - from[0]);
}
