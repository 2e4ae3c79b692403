/** The queue of sequences by itself, with a clock that the test holds and a model that answers when it is told to. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ServableError } from "../../src/errors.ts";
import { ModelRequest } from "../../src/server/model-request.ts";
import { sequenceBatchPolicyOf, sequenceLimitsOf } from "../../src/server/sequence/sequence-plan.ts";
import { SequenceQueue } from "../../src/server/sequence/sequence-queue.ts";
import { CallContext } from "../../src/service/call-context.ts";
import type { NamedArrays } from "../../src/tensor/named-arrays.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import type { ModelConfig } from "../../src/triton/model-config.ts";
import { failureOf, requestOf } from "./support.ts";

const config: ModelConfig = {
  name: "m",
  maxBatchSize: 4,
  sequenceBatching: {
    oldest: { maxCandidateSequences: 2 },
    maxSequenceIdleMicroseconds: 1_000_000,
    state: [{ inputName: "before", outputName: "sum", dataType: "TYPE_FP32", dims: [1] }],
  },
};

/** One run that the queue asked for. */
interface Run {
  readonly x: number;
  answer(): Promise<void>;
  fail(): Promise<void>;
}

/** A queue before a model that adds up, with what it was asked for so far. */
class Bench {
  readonly queue: SequenceQueue;
  readonly runs: Run[] = [];
  /** Answers at once. */
  prompt = false;

  private constructor(own: ModelConfig, width: number) {
    this.queue = new SequenceQueue(own, "/nowhere", 1);
    this.queue.open((request, options) => this.#run(request, width, options?.context));
  }

  static async open(own: ModelConfig = config, width = 1): Promise<Bench> {
    const bench = new Bench(own, width);
    await bench.queue.load();
    return bench;
  }

  /** As `GatheredModel` does, it refuses who is given up at once. */
  #run(request: ModelRequest, width: number, context: unknown): Promise<NamedArrays> {
    const { inputs } = request;
    this.queue.left(request);
    const [x = 0] = inputs.x!.as("FP32").data;
    const [before = 0] = inputs.before!.as("FP32").data;
    return new Promise((resolve, reject) => {
      if (context instanceof CallContext) context.watchAbort(reject);
      const answer = (): void => {
        resolve({ sum: new Tensor("FP32", [1, width], new Float32Array(width).fill(before + x)) });
      };
      if (this.prompt) answer();
      this.runs.push({
        x,
        answer: () => settled(answer),
        fail: () =>
          settled(() => {
            reject(new ServableError("worker_crashed", "It died."));
          }),
      });
    });
  }

  send(
    id: number | string,
    x: number,
    flags: { start?: boolean; end?: boolean; timeout?: number } = {},
    context: CallContext = new CallContext(),
  ): Promise<number> {
    const { start = false, end = false, timeout = 0 } = flags;
    const parameters = { sequence_id: id, sequence_start: start, sequence_end: end, timeout };
    const inputs = { x: new Tensor("FP32", [1, 1], Float32Array.of(x)) };
    const sent = async (): Promise<NamedArrays> =>
      this.queue.submit(new ModelRequest(requestOf("m", { parameters }), inputs, 1, ""), context);
    return sent().then((outputs) => outputs.sum!.as("FP32").data[0]!);
  }

  get asked(): readonly number[] {
    return this.runs.map(({ x }) => x);
  }
}

const settled = async (work: () => void): Promise<void> => {
  work();
  await vi.advanceTimersByTimeAsync(0);
};

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a sequence", () => {
  test("has one request at a time with the model, in order", async () => {
    const bench = await Bench.open();
    const sums = [bench.send(1, 1, { start: true }), bench.send(1, 2), bench.send(1, 3, { end: true })];
    await settled(() => undefined);
    expect([bench.asked, bench.queue.waiting]).toEqual([[1], 2]);
    for (const count of [1, 2, 3]) {
      expect(bench.runs).toHaveLength(count);
      await bench.runs.at(-1)!.answer();
    }
    expect(await Promise.all(sums)).toEqual([1, 3, 6]);
    expect(bench.queue.underWay).toBe(0);
  });

  test("that is idle for too long is over, and its slot the next one's", async () => {
    const bench = await Bench.open();
    bench.prompt = true;
    await Promise.all([bench.send(1, 1, { start: true }), bench.send(2, 1, { start: true })]);
    const third = bench.send(3, 3, { start: true });
    await vi.advanceTimersByTimeAsync(600);
    expect(await bench.send(1, 1)).toBe(2);
    await vi.advanceTimersByTimeAsync(399);
    expect([bench.queue.underWay, bench.queue.backlog]).toEqual([2, 1]);
    await vi.advanceTimersByTimeAsync(2);
    expect(await third).toBe(3);
    expect((await failureOf(bench.send(2, 1))).message).toBe(
      "inference request for sequence 2 to model 'm' must specify the START flag on the first request of the sequence",
    );
    expect(await bench.send(1, 1)).toBe(3);
    await vi.advanceTimersByTimeAsync(1_001);
    expect(bench.queue.underWay).toBe(0);
  });

  test("is not idle while it waits for an answer", async () => {
    const bench = await Bench.open();
    const first = bench.send(1, 1, { start: true });
    await vi.advanceTimersByTimeAsync(5_000);
    await bench.runs[0]!.answer();
    await first;
    const second = bench.send(1, 1);
    await settled(() => undefined);
    await bench.runs[1]!.answer();
    expect(await second).toBe(2);
  });

  test("keeps its state over a failure and over a request that was given up while it ran", async () => {
    const bench = await Bench.open();
    const start = bench.send(1, 1, { start: true });
    await settled(() => undefined);
    await bench.runs[0]!.answer();
    await start;
    const failed = failureOf(bench.send(1, 10));
    await settled(() => undefined);
    await bench.runs[1]!.fail();
    expect((await failed).status).toBe("worker_crashed");
    const context = new CallContext();
    const gone = failureOf(bench.send(1, 100, {}, context));
    const last = bench.send(1, 1_000, { end: true });
    await settled(() => {
      context.abort(new ServableError("cancelled", "Gone."));
    });
    expect((await gone).status).toBe("cancelled");
    await bench.runs[3]!.answer();
    expect(await last).toBe(1_001);
    expect(bench.queue.underWay).toBe(0);
  });

  test("ends where one of its requests was given up before its turn", async () => {
    const bench = await Bench.open();
    const context = new CallContext();
    const first = bench.send(1, 1, { start: true });
    const rest = [bench.send(1, 2), bench.send(1, 3, {}, context), bench.send(1, 4), bench.send(1, 5, { start: true })];
    const failures = rest.slice(1).map((sum) => failureOf(sum));
    await settled(() => {
      context.abort(new ServableError("cancelled", "Gone."));
    });
    expect((await Promise.all(failures)).map(({ status }) => status)).toEqual(["cancelled", "CANCELLED", "CANCELLED"]);
    // Another one of that id may begin at once, in a slot of its own.
    const again = bench.send(1, 10, { start: true });
    await settled(() => undefined);
    expect([bench.asked, bench.queue.underWay]).toEqual([[1, 10], 2]);
    await bench.runs[0]!.answer();
    await bench.runs[2]!.answer();
    await bench.runs[1]!.answer();
    expect(await Promise.all([first, rest[0], again])).toEqual([1, 3, 10]);
    expect([bench.queue.underWay, bench.queue.waiting]).toEqual([1, 0]);
  });

  test("may begin again behind its end while that still runs", async () => {
    const bench = await Bench.open();
    const sums = [bench.send("a", 1, { start: true, end: true }), bench.send("a", 2, { start: true }), bench.send("a", 4)];
    await settled(() => undefined);
    expect(bench.asked).toEqual([1, 2]);
    await bench.runs[1]!.answer();
    await bench.runs[2]!.answer();
    await bench.runs[0]!.answer();
    expect(await Promise.all(sums)).toEqual([1, 2, 6]);
  });
});

describe("the backlog", () => {
  test("is served in the order of the starts", async () => {
    const bench = await Bench.open();
    const all = [1, 2, 3, 4, 5].map((id) => [bench.send(id, id, { start: true }), bench.send(id, 10 * id, { end: true })]).flat();
    await settled(() => undefined);
    expect([bench.asked, bench.queue.underWay, bench.queue.backlog, bench.queue.waiting]).toEqual([[1, 2], 2, 3, 8]);
    // Each answer brings the next run.
    for (const run of bench.runs) await run.answer();
    expect(bench.asked).toEqual([1, 2, 10, 20, 3, 4, 30, 40, 5, 50]);
    expect(await Promise.all(all)).toEqual([1, 11, 2, 22, 3, 33, 4, 44, 5, 55]);
    expect([bench.queue.underWay, bench.queue.waiting]).toEqual([0, 0]);
  });

  test("loses a sequence of which a request was given up, or has no time any more", async () => {
    const bench = await Bench.open();
    const [first, second] = [bench.send(1, 1, { start: true }), bench.send(2, 1, { start: true })];
    const context = new CallContext();
    const gone = [failureOf(bench.send(3, 3, { start: true })), failureOf(bench.send(3, 3, {}, context))];
    const late = [failureOf(bench.send(4, 4, { start: true, timeout: 900_000 })), failureOf(bench.send(4, 4, { timeout: 50_000 }))];
    const patient = bench.send(5, 5, { start: true, timeout: 3_000_000, end: true });
    await settled(() => {
      context.abort(new ServableError("cancelled", "Gone."));
    });
    expect((await Promise.all(gone)).map(({ status }) => status)).toEqual(["CANCELLED", "cancelled"]);
    expect(bench.queue.backlog).toBe(2);
    await vi.advanceTimersByTimeAsync(51);
    const text = "timeout of the corresponding sequence has been expired";
    expect(await Promise.all(late)).toEqual([1, 2].map(() => ({ status: "UNAVAILABLE", message: text })));
    await bench.runs[0]!.answer();
    await bench.runs[1]!.answer();
    await Promise.all([first, second]);
    expect((await failureOf(bench.send(3, 3))).message).toContain("START");
    expect(await settled(() => undefined).then(() => bench.asked)).toEqual([1, 1]);
    // Idle ones make room.
    await vi.advanceTimersByTimeAsync(1_001);
    expect(bench.asked).toEqual([1, 1, 5]);
    await bench.runs[2]!.answer();
    expect(await patient).toBe(5);
  });

  test("needs no idle time when nothing more will come", async () => {
    const bench = await Bench.open();
    bench.prompt = true;
    await Promise.all([bench.send(1, 1, { start: true }), bench.send(2, 2, { start: true })]);
    const waiting = [
      bench.send(3, 3, { start: true }),
      bench.send(3, 3),
      bench.send(4, 4, { start: true }),
      bench.send(5, 5, { start: true }),
    ];
    await settled(() => {
      bench.queue.drain();
    });
    expect(await Promise.all(waiting)).toEqual([3, 6, 4, 5]);
    bench.queue.close();
    expect((await failureOf(bench.send(3, 3))).message).toContain("START");
  });
});

describe("ten thousand sequences", () => {
  const realTimeout = setTimeout;
  /** Bytes in arrays that are still held. What was collected is freed a little later, by other threads. */
  const held = async (): Promise<number> => {
    setFlagsFromString("--expose-gc");
    (runInNewContext("gc") as () => void)();
    await new Promise((resolve) => realTimeout(resolve, 50));
    return process.memoryUsage().arrayBuffers;
  };

  test("leave nothing behind, ended or left alone, and have one timer", async () => {
    const width = 16_384;
    const slots = 1_000;
    const wide: ModelConfig = { ...config, sequenceBatching: { ...config.sequenceBatching, oldest: { maxCandidateSequences: slots } } };
    const bench = await Bench.open(wide, width);
    bench.prompt = true;
    const before = await held();
    const answers: Promise<number>[] = [];
    for (let id = 1; id <= 10_000; id += 1) {
      answers.push(bench.send(id, id, { start: true, end: id % 2 === 0 }));
      if (id % 1_000 === 0) {
        await vi.advanceTimersByTimeAsync(1);
        expect(bench.queue.underWay).toBeLessThanOrEqual(slots);
        expect(vi.getTimerCount()).toBeLessThanOrEqual(1);
      }
    }
    for (let round = 0; bench.queue.backlog > 0; round += 1) {
      expect(round).toBeLessThan(10);
      await vi.advanceTimersByTimeAsync(1_001);
      bench.runs.length = 0;
      // What is kept is what the slots have, 64 KiB each, of the 640 MB that are given in all.
      expect((await held()) - before).toBeLessThan(1.2 * slots * width * 4);
    }
    expect(await Promise.all(answers)).toEqual(Array.from({ length: 10_000 }, (_, index) => index + 1));
    await vi.advanceTimersByTimeAsync(1_001);
    expect([bench.queue.underWay, bench.queue.backlog, bench.queue.waiting]).toEqual([0, 0, 0]);
    bench.runs.length = 0;
    expect((await held()) - before).toBeLessThan(4_000_000);
  });

  test("that are given up while they wait leave nothing either", async () => {
    const bench = await Bench.open();
    void bench.send(1, 1, { start: true });
    void bench.send(2, 1, { start: true });
    for (let id = 3; id <= 10_002; id += 1) {
      const context = new CallContext();
      const gone = failureOf(bench.send(id, 1, { start: true }, context));
      context.abort(new ServableError("cancelled", "Gone."));
      expect((await gone).status).toBe("cancelled");
    }
    expect([bench.queue.backlog, bench.queue.waiting, bench.queue.underWay]).toEqual([0, 0, 2]);
  });
});

test("slots and batches are what the configuration says", () => {
  const slots = (own: ModelConfig, instances: number): number => sequenceLimitsOf(own, instances).slots;
  expect(slots(config, 3)).toBe(6);
  expect(slots({ maxBatchSize: 8, sequenceBatching: { oldest: {} } }, 2)).toBe(16);
  expect(slots({ maxBatchSize: 8, sequenceBatching: { direct: {} } }, 2)).toBe(16);
  expect(slots({ sequenceBatching: {} }, 2)).toBe(2);
  const policy = (maxBatchSize: number, sequenceBatching: NonNullable<ModelConfig["sequenceBatching"]>): unknown =>
    sequenceBatchPolicyOf({ maxBatchSize }, sequenceBatching);
  expect(policy(0, {})).toEqual({ maxRows: 1 });
  expect(policy(8, {})).toEqual({ maxRows: 8, maxDelayMs: 0, waitAlone: false, preferredRows: [] });
  expect(policy(8, { direct: { maxQueueDelayMicroseconds: 5_000 } })).toMatchObject({ maxDelayMs: 0 });
  expect(policy(8, { direct: { maxQueueDelayMicroseconds: 5_000, minimumSlotUtilization: 0.7 } })).toEqual({
    maxRows: 8,
    maxDelayMs: 5,
    waitAlone: true,
    preferredRows: [6, 7],
  });
  expect(policy(8, { oldest: { maxQueueDelayMicroseconds: 5_000, preferredBatchSize: [4] } })).toEqual({
    maxRows: 8,
    maxDelayMs: 5,
    waitAlone: true,
    preferredRows: [4],
  });
});
