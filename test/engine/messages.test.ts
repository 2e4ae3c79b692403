import { describe, expect, test } from "vitest";
import { packBytes } from "../../src/engine/placement/pack-bytes.ts";
import { RemoteStream } from "../../src/engine/placement/remote-stream.ts";
import { ServableError } from "../../src/errors.ts";

describe("bytes that cross", () => {
  test.each([
    ["the engine's own, large", new Uint8Array(16_384), true, true],
    ["the engine's own, small", new Uint8Array(16_383), true, false],
    ["a user's whole array", new Uint8Array(100_000), false, false],
    ["a user's view, which is cut out", new Uint8Array(200_000).subarray(5, 100_005), false, true],
    ["a user's small view", new Uint8Array(200).subarray(5, 10), false, false],
    ["a part of Node's pool", Buffer.from("a small text"), true, false],
    ["shared memory", new Uint8Array(new SharedArrayBuffer(100_000)), true, false],
  ])("%s", (_name, bytes, owned, transferred) => {
    bytes.fill(7);
    const packed = packBytes(bytes, owned);
    expect(new Uint8Array(packed.bytes)).toEqual(new Uint8Array(bytes));
    expect(packed.transfer.length > 0).toBe(transferred);
    if (packed.bytes.byteLength !== packed.bytes.buffer.byteLength) throw new Error("the whole buffer would cross");
    structuredClone(packed.bytes, { transfer: packed.transfer });
    // Only what the engine owned whole is gone now.
    expect(bytes.byteLength === 0).toBe(owned && transferred);
  });
});

describe("a stream from a worker", () => {
  const create = (): { stream: RemoteStream; calls: string[] } => {
    const calls: string[] = [];
    return {
      calls,
      stream: new RemoteStream(
        () => calls.push("ask"),
        () => calls.push("cancel"),
      ),
    };
  };

  test("asks for each item when it is wanted", async () => {
    const { stream, calls } = create();
    expect(calls).toEqual([]);
    const first = stream.next();
    stream.push("a");
    expect(await first).toEqual({ done: false, value: "a" });
    expect(calls).toEqual(["ask"]);
    const second = stream.next();
    stream.end();
    expect(await second).toEqual({ done: true, value: undefined });
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    await stream.return();
    expect(calls).toEqual(["ask", "ask"]);
  });

  test("keeps its failure, and tells it to who asks later", async () => {
    const { stream, calls } = create();
    const error = new ServableError("worker_crashed", "Gone.");
    stream.fail(error);
    await expect(stream.next()).rejects.toBe(error);
    await stream.return();
    expect(calls).toEqual([]);
  });

  test.each(["end", "fail"] as const)("waits for the worker when it is left (%s)", async (how) => {
    const { stream, calls } = create();
    let left = false;
    const leaving = stream.return().then(() => (left = true));
    await Promise.resolve();
    expect([left, calls]).toEqual([false, ["cancel"]]);
    if (how === "end") stream.end();
    else stream.fail(new ServableError("worker_crashed", "Gone."));
    await leaving;
    expect(left).toBe(true);
  });
});
