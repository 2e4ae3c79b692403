import { describe, expect, test } from "vitest";
import { WorkerPool, type PoolWorker } from "../../src/engine/placement/worker-pool.ts";
import { CallContext } from "../../src/service/call-context.ts";
import { deferred, keepLog, until } from "../support/serving.ts";

/** A worker that is ready at once, and goes when it is told to. */
class Worker implements PoolWorker {
  inFlight = 0;
  finishedARequest = true;
  blocked = false;
  readonly killed = false;
  readonly warmupMs = undefined;
  readonly exit: (reason: string) => void;

  constructor(exit: (reason: string) => void) {
    this.exit = exit;
  }
  ready(): Promise<void> {
    return Promise.resolve();
  }
  stop(): Promise<void> {
    return Promise.resolve();
  }
}

function poolOf(workers: number, prepare?: (worker: Worker) => Promise<void>) {
  const made: Worker[] = [];
  const changes: string[] = [];
  const pool = new WorkerPool<Worker>({
    service: "s",
    kind: "thread",
    workers,
    log: keepLog(),
    onChange: ({ change }) => changes.push(change),
    create: (onExit) => {
      const worker = new Worker(onExit);
      made.push(worker);
      return worker;
    },
    prepare,
  });
  return { pool, made, changes };
}

describe("a pool of workers", () => {
  test("one that hangs is not idle, though nothing runs in it", async () => {
    const { pool, made } = poolOf(2);
    await pool.start();
    expect(pool.idle()).toBe(2);
    made[0]!.blocked = true;
    expect(pool.idle()).toBe(1);
    made[1]!.inFlight = 1;
    expect(pool.idle()).toBe(0);
    expect(pool.leastBusy()).toBe(made[1]);
  });

  test("one that dies while it is warmed up does not count as ready, and is replaced", async () => {
    const preparing = deferred();
    let isFirst = true;
    const { pool, made, changes } = poolOf(1, (worker) => {
      // The first start goes well; its successor dies when it is warmed up.
      if (worker === made[1] && isFirst) {
        isFirst = false;
        worker.exit("died of the warm-up");
        return preparing.promise;
      }
      return Promise.resolve();
    });
    await pool.start();
    made[0]!.exit("crashed");
    await until(() => made.length === 3 && pool.workers().length === 1, "the third one");
    expect(pool.workers()).toEqual([made[2]]);
    preparing.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    expect(pool.workers()).toEqual([made[2]]);
    expect(pool.status()).toMatchObject({ ready: 1, reason: undefined });
    expect(changes).toEqual(["ready", "crashed", "restarting", "crashed", "restarting", "ready"]);
    await pool.stop();
  });

  test("that was stopped does not start any more", async () => {
    const { pool, made } = poolOf(2);
    await pool.stop();
    await expect(pool.start()).rejects.toMatchObject({ code: "not_ready" });
    expect(made).toEqual([]);
    expect(pool.lost).toBe(true);
    await expect(pool.next(new CallContext())).rejects.toMatchObject({ code: "not_ready", retryAfterMs: 1_000 });
  });
});
