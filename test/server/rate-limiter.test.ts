/** Rate limiters: whose turn it is, and that models of a server really keep to it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ModelInstanceGroup } from "servable/triton";
import { instancesOf } from "../../src/server/instances.ts";
import { RateLimiter, type RateLimitResource, type VersionPermits } from "../../src/server/rate-limiter.ts";
import { failureOf, openRepository, serveRepository } from "./support.ts";

const needing = (count: number, more: Partial<ModelInstanceGroup> & { readonly priority?: number } = {}): ModelInstanceGroup => {
  const { priority = 1, ...group } = more;
  return { count: 1, kind: "KIND_CPU", rateLimiter: { resources: [{ name: "room", count, global: true }], priority }, ...group };
};

/** Takes a version in. */
function joined(limiter: RateLimiter, ...groups: readonly ModelInstanceGroup[]): VersionPermits {
  const permits = limiter.join(instancesOf({ name: "m", instanceGroup: groups }, [0, 1]));
  if (permits === undefined) throw new Error("it asks for nothing");
  return permits;
}

describe("a rate limiter", () => {
  test("has as much as one instance needs at most, of all versions there are", () => {
    const limiter = new RateLimiter([]);
    const one = joined(limiter, needing(1, { count: 3 }));
    expect(one.isFree).toBe(true);
    const end = one.take();
    expect(one.isFree).toBe(false);
    const two = joined(limiter, needing(2));
    expect([one.isFree, two.isFree]).toEqual([true, false]);
    limiter.leave(two);
    expect(one.isFree).toBe(false);
    end();
    expect(one.isFree).toBe(true);
  });

  test("has what was said, and refuses who needs more", () => {
    const given: readonly RateLimitResource[] = [{ name: "room", count: 3 }];
    const limiter = new RateLimiter(given);
    const one = joined(limiter, needing(1, { count: 8 }));
    const ends = [one.take(), one.take(), one.take()];
    expect(one.isFree).toBe(false);
    ends[0]?.();
    expect(one.isFree).toBe(true);
    expect(() => joined(limiter, needing(4))).toThrow(/"room" is limited to 3 .* the minimum required count is 4/);
  });

  test("counts resources that are not global for each device", () => {
    const limiter = new RateLimiter([
      { name: "room", count: 1 },
      { name: "room", count: 2, device: 1 },
    ]);
    const rateLimiter = { resources: [{ name: "room", count: 1 }], priority: 1 };
    const permits = joined(limiter, { count: 4, kind: "KIND_GPU", gpus: [0, 1], rateLimiter });
    let taken = 0;
    while (permits.isFree) {
      permits.take();
      taken += 1;
    }
    expect(taken).toBe(3);
  });

  test("asks nothing of models that ask for nothing", () => {
    expect(new RateLimiter([]).join(instancesOf({ name: "m", instanceGroup: [{ count: 2 }] }, []))).toBeUndefined();
  });

  test("gives turns by executions times priority", () => {
    const limiter = new RateLimiter([]);
    const runs: string[] = [];
    let end: (() => void) | undefined;
    for (const [name, priority] of [
      ["often", 1],
      ["seldom", 3],
    ] as const) {
      const permits = joined(limiter, needing(1, { priority }));
      // It always has something to run.
      permits.onFreed = () => {
        if (!permits.isFree) return;
        runs.push(name);
        end = permits.take();
      };
    }
    limiter.freed();
    for (let run = 0; run < 16; run += 1) end?.();
    const counts = runs.slice(0, 16).reduce<Record<string, number>>((sum, name) => ({ ...sum, [name]: (sum[name] ?? 0) + 1 }), {});
    expect(counts).toEqual({ often: 12, seldom: 4 });
  });

  test("lets nobody overtake who needs more and has run less", () => {
    const limiter = new RateLimiter([]);
    const large = joined(limiter, needing(2));
    const small = joined(limiter, needing(1, { count: 2 }));
    for (let run = 0; run < 4; run += 1) small.take()();
    const end = small.take();
    expect(large.isFree).toBe(false);
    // There would be room for it.
    expect(small.isFree).toBe(false);
    large.onFreed = () => {
      if (large.isFree) large.take();
    };
    end();
    expect([small.isFree, large.isRunning]).toEqual([false, true]);
  });
});

/** Tells how many executions of both it has seen at once, and waits a while until these are as many as wanted. */
const seeing = (folder: string, wanted: number, patienceMs: number): string => `
  import { randomUUID } from "node:crypto";
  import { readdirSync, rmSync, writeFileSync } from "node:fs";
  import { setTimeout as pause } from "node:timers/promises";
  import { defineModel } from "servable/server";
  export default defineModel({
    inputs: { x: { dataType: "INT32", dims: [1] } },
    outputs: { seen: { dataType: "INT32", dims: [1] } },
    run: async ({ x }) => {
      if (x.data[0] === 13) throw new Error("unlucky");
      const mine = ${JSON.stringify(folder)} + "/" + randomUUID();
      writeFileSync(mine, "");
      let seen = 0;
      const end = performance.now() + ${patienceMs};
      while (seen < ${wanted} && performance.now() < end) {
        seen = Math.max(seen, readdirSync(${JSON.stringify(folder)}).length);
        await pause(2);
      }
      rmSync(mine);
      return { seen: { dataType: "INT32", shape: [1], data: Int32Array.of(seen) } };
    },
  });
`;
const limitedTo = (count: number): string =>
  `backend: "typescript" default_model_filename: "model.mjs" instance_group { count: 2 kind: KIND_CPU rate_limiter { resources { name: "room" global: true count: ${count} } } }`;

describe("a model server", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "servable-running-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const files = (wanted: number, needs: readonly [number, number] = [1, 1], patienceMs = 250): Record<string, string> => ({
    "a/1/model.mjs": seeing(folder, wanted, patienceMs),
    "a/config.pbtxt": limitedTo(needs[0]),
    "b/1/model.mjs": seeing(folder, wanted, patienceMs),
    "b/config.pbtxt": limitedTo(needs[1]),
  });
  type Served = Awaited<ReturnType<typeof serveRepository>>;
  const ask = (served: Served, model: string, x: number): Promise<number> =>
    served
      .infer(model, { inputs: [{ name: "x", dataType: "INT32", shape: [1], data: Int32Array.of(x) }] })
      .then(({ outputs }) => Number(outputs[0]?.data[0]));
  const mostAtOnce = async (served: Served, models: readonly string[] = ["a", "b"]): Promise<number> =>
    Math.max(...(await Promise.all(Array.from({ length: 4 }, (_, index) => ask(served, models[index % models.length] ?? "", index)))));

  test("passes over rate limiters, unless it is told otherwise", async () => {
    await using served = await serveRepository(files(4, [1, 1], 10_000));
    expect(await mostAtOnce(served)).toBe(4);
  });

  test("runs one at a time of those that share what is there once", async () => {
    await using served = await serveRepository(files(2), { rateLimit: "execution_count" });
    expect(await mostAtOnce(served)).toBe(1);
  });

  test("runs as many as what is there allows, and goes on after failures and unloads", async () => {
    await using served = await serveRepository(files(2, [1, 2]), { rateLimit: "execution_count", control: "explicit", loadModels: ["*"] });
    await expect(Promise.all(Array.from({ length: 4 }, () => ask(served, "a", 13)))).rejects.toThrow();
    expect(await mostAtOnce(served, ["a"])).toBe(2);
    expect(await mostAtOnce(served, ["b"])).toBe(1);
    await served.server.unload("", "b", false);
    // With it the need for two is gone, once its last request is.
    await expect.poll(async () => (await served.server.index("", false)).find(({ name }) => name === "b")?.reason).toBe("unloaded");
    expect(await mostAtOnce(served, ["a"])).toBe(1);
  });

  test("does not load a model that needs more than there is", async () => {
    await using served = await openRepository(files(2, [1, 5]), {
      rateLimit: "execution_count",
      rateLimitResources: [{ name: "room", count: 3 }],
    });
    const { message } = await failureOf(served.server.start());
    expect(message).toMatch(/'b'.*limited to 3 .* the minimum required count is 5/s);
  });
});
