import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { allowBlocking, assertMayBlock, markIoThread, unmarkIoThread } from "../../src/model/io-thread.ts";

afterEach(() => {
  unmarkIoThread();
  unmarkIoThread();
});

const check = (): void => assertMayBlock("Running the model 'ocr'");

test("a thread may block until a runtime marks it, and again when the last one has stopped", () => {
  check();
  markIoThread();
  markIoThread();
  expect(check).toThrow();
  unmarkIoThread();
  expect(check).toThrow();
  unmarkIoThread();
  check();
});

test("taking back more marks than there are does not count", () => {
  unmarkIoThread();
  markIoThread();
  expect(check).toThrow();
});

test("the message says what blocks and what to set", () => {
  markIoThread();
  expect(check).toThrow(
    expect.objectContaining({
      code: "invalid_config",
      message: expect.stringMatching(
        /^Running the model 'ocr' would block .*`model: true`.*`policy: { placement: "thread" }`.*placement: "inline"/,
      ),
    }),
  );
});

test("work that is allowed to may block, also after it has waited, and nobody else meanwhile", async () => {
  markIoThread();
  const allowed = allowBlocking(async () => {
    await sleep(1);
    check();
    return "done";
  });
  expect(check).toThrow();
  expect(await allowed).toBe("done");
  expect(check).toThrow();
});

test("another installed copy of this package sees the same marks", async () => {
  const copy = new URL("../../src/model/io-thread.ts?copy", import.meta.url).href;
  const other = (await import(/* @vite-ignore */ copy)) as typeof import("../../src/model/io-thread.ts");
  expect(other.assertMayBlock).not.toBe(assertMayBlock);
  other.markIoThread();
  expect(check).toThrow();
  other.allowBlocking(check);
});
