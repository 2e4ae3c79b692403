import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Pace, ProgressDisplay, barText, durationText, progressText } from "../../src/cli/batch-progress.ts";
import type { OfflineProgress } from "../../src/runtime/offline/offline-runtime.ts";

const at = (rows: number, more: Partial<OfflineProgress> = {}): OfflineProgress => ({
  rows,
  failed: 0,
  earlierRows: 0,
  inputBytes: rows * 10,
  totalBytes: 100_000,
  canResume: true,
  ...more,
});

describe("what is told of a run", () => {
  test("is how far it is, how fast it has been lately, and how long it will take", () => {
    const pace = new Pace();
    pace.add(0, at(0));
    expect(progressText(at(0), pace)).toBe("0.0 %  0 rows  0 failed");
    pace.add(1_000, at(100));
    expect(progressText(at(1), pace)).toBe("0.0 %  1 row  100 rows/s  0 failed  1m 40s left");
    // What was long ago does not count: 15 s at 200 rows a second.
    for (let second = 2; second <= 30; second += 1) pace.add(second * 1_000, at(100 + 200 * (second - 1)));
    expect(progressText(at(5_900, { failed: 1_234 }), pace)).toBe("59.0 %  5,900 rows  200 rows/s  1,234 failed  21s left");
    expect(barText(at(5_900), pace)).toMatch(/^\[#{9}-{7}\] {2}59\.0 %/);
  });

  test("is less where the size is not known, or is none", () => {
    const pace = new Pace();
    pace.add(0, at(0));
    pace.add(2_000, at(5));
    for (const totalBytes of [undefined, 0]) expect(barText(at(5, { totalBytes }), pace)).toMatch(/^5 rows {2}2\.5 rows\/s {2}0 failed/);
    const still = new Pace();
    still.add(0, at(5));
    still.add(2_000, at(5));
    expect(progressText(at(5), still)).toBe("0.1 %  5 rows  0 rows/s  0 failed");
  });

  test("has times as people write them", () => {
    expect([0.2, 59.5, 61, 3_599, 3_600, 100_000].map(durationText)).toEqual(["1s", "1m 0s", "1m 1s", "59m 59s", "1h 0m", "27h 46m"]);
  });
});

describe("the display", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  const shown = (isTTY: boolean, isQuiet: boolean, columns = 80): string[] => {
    const texts: string[] = [];
    const display = new ProgressDisplay({ isTTY, columns, write: (text: string) => texts.push(text) }, isQuiet);
    display.start(() => at(1_000));
    vi.advanceTimersByTime(5_000);
    display.write("a line\n");
    display.say("a word");
    display.stop();
    vi.advanceTimersByTime(10_000);
    return texts;
  };

  test("draws one line over itself on a terminal, none longer than that is wide, with other lines above it", () => {
    const texts = shown(true, false, 30);
    const drawn = texts.filter((text) => text.startsWith("["));
    expect(drawn.length).toBeGreaterThan(20);
    for (const text of drawn) expect(text).toHaveLength(29);
    const bar = drawn.at(-1);
    expect(texts.slice(-7)).toEqual(["\r\u001b[K", "a line\n", bar, "\r\u001b[K", "servable: a word\n", bar, "\r\u001b[K"]);
  });

  test("writes a line every few seconds elsewhere, and nothing of its own when it is to be quiet", () => {
    expect(shown(false, false)).toEqual([expect.stringMatching(/^servable: 10\.0 % {2}1,000 rows.*\n$/), "a line\n", "servable: a word\n"]);
    expect(shown(true, true)).toEqual(["a line\n"]);
  });
});
