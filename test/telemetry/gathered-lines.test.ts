import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { gatherLines } from "../../src/telemetry/gathered-lines.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "servable-lines-"));
  file = join(folder, "log");
  writeFileSync(file, "");
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});
const written = (): string => readFileSync(file, "utf8");

describe("gathered lines", () => {
  test("are written after a moment, or when they are many", async () => {
    const lines = gatherLines(pino.destination({ dest: file, sync: false }));
    lines.write("one\n");
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(written()).toBe("");
    await expect.poll(written, { timeout: 2_000 }).toBe("one\n");
    const long = `${"x".repeat(20_000)}\n`;
    lines.write(long);
    await expect.poll(written, { timeout: 2_000 }).toBe(`one\n${long}`);
    lines.write("two\n");
    lines.flushSync();
    expect(written()).toBe(`one\n${long}two\n`);
    lines.end();
  });

  test.each(["process.exit(3)", "process.exitCode = 3"])("are all there when the process ends: %s", async (end) => {
    const script = `import { createLogger } from "servable/http";
      const log = await createLogger({ format: "json" });
      for (let n = 0; n < 500; n += 1) log.info({ n }, "line");
      ${end};`;
    const failure = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]).catch((thrown: unknown) => thrown);
    const { code, stdout } = failure as { readonly code: number; readonly stdout: string };
    expect(code).toBe(3);
    const numbers = stdout
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { readonly n: number }).n);
    // A block that the destination is just writing when the process exits may come out after those that follow it.
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 500 }, (_, n) => n));
  });

  test("lines that are made as bytes keep their place among the others, however many they are", async () => {
    const lines = gatherLines(pino.destination({ dest: file, sync: false }));
    const put = (line: string): void => {
      const at = lines.beginLine(100);
      const bytes = Buffer.from(`${line}\n`);
      lines.bytes.set(bytes, at);
      lines.endLine(at + bytes.length);
    };
    put("one");
    put("two");
    lines.write("three\n");
    put("four");
    expect(written()).toBe("");
    await expect.poll(written, { timeout: 2_000 }).toBe("one\ntwo\nthree\nfour\n");
    const many = Array.from({ length: 1_000 }, (_, n) => `line ${n} ${"x".repeat(50)}`);
    many.forEach(put);
    lines.flushSync();
    expect(written()).toBe(`one\ntwo\nthree\nfour\n${many.map((line) => `${line}\n`).join("")}`);
    lines.end();
  });

  test("requests are logged with the time at which they ended, in order with other lines, to the last one", async () => {
    const script = `import { createLogger } from "servable/http";
      import { requestLog } from "${new URL("../../dist/telemetry/logs.js", import.meta.url).href}";
      const log = await createLogger({ format: "json" });
      const observer = requestLog(log);
      const event = (n) => ({ service: "s", requestId: String(n), outcome: "ok", error: undefined, stages: [], totalMs: 1, items: undefined });
      for (let n = 0; n < 100; n += 1) observer.requestFinished(event(n));
      await new Promise((resolve) => setTimeout(resolve, 30));
      log.info("between");
      for (let n = 100; n < 150; n += 1) observer.requestFinished(event(n));
      process.exit(0);`;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { readonly requestId?: string; readonly msg: string; readonly time: string });
    expect(lines.map(({ requestId, msg }) => requestId ?? msg)).toEqual([
      ...Array.from({ length: 100 }, (_, n) => String(n)),
      "between",
      ...Array.from({ length: 50 }, (_, n) => String(n + 100)),
    ]);
    const at = (index: number): number => Date.parse(lines[index]?.time ?? "");
    // What waited to be written has not the time at which it was.
    expect(at(100) - at(99)).toBeGreaterThanOrEqual(25);
  });
});
