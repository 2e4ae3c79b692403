import { PassThrough } from "node:stream";
import { describe, expect, test } from "vitest";
import { forwardLines } from "../../src/engine/placement/forward-lines.ts";
import { inheritedFlags } from "../../src/engine/placement/process-link.ts";

describe("of the server's flags a worker process", () => {
  test.each([
    [["--max-old-space-size=4096", "--conditions", "dev", "--enable-source-maps"], 4],
    [["--inspect", "--inspect-brk=9229", "--watch", "--import", "tsx", "--require=./x.cjs", "--cpu-prof", "-e", "code"], 0],
    [["--max-old-space-size-percentage=5", "conditions", "--conditionss=a"], 0],
  ])("gets of %j: %i", (flags, count) => {
    expect(inheritedFlags(flags)).toEqual(flags.slice(0, count));
  });
});

describe("lines that are handed on", () => {
  function join(highWaterMark = 1_000_000): { source: PassThrough; target: PassThrough } {
    const target = new PassThrough({ highWaterMark });
    const source = new PassThrough();
    forwardLines(source, target);
    return { source, target };
  }
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const text = (target: PassThrough): string => String(target.read() ?? "");

  test("are whole, and of several writers one after the other", async () => {
    const { source, target } = join();
    source.write("one\ntw");
    await turn();
    expect(text(target)).toBe("one\n");
    target.write("another's\n");
    source.write("o\nthree\n");
    await turn();
    expect(text(target)).toBe("another's\ntwo\nthree\n");
    source.end("four");
    await turn();
    expect([text(target), target.writableEnded]).toEqual(["four\n", false]);
  });

  test("and do not gather without end: neither a long one, nor where nobody reads", async () => {
    const { source, target } = join(100_000);
    source.write("x".repeat(70_000));
    await turn();
    expect(text(target)).toHaveLength(70_000);
    for (let count = 0; count < 5; count += 1) source.write(`${"y".repeat(60_000)}\n`);
    await turn();
    expect(source.isPaused()).toBe(true);
    let length = 0;
    for (let tries = 0; tries < 20; tries += 1) {
      length += text(target).length;
      await turn();
    }
    expect(length).toBe(5 * 60_001);
  });
});
