import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import type { ServiceEntry } from "../engine/service-source.ts";
import { ServableError, type ErrorCode } from "../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../known-keys.ts";
import { defineService } from "../service/define-service.ts";
import type { ContractCase } from "./contract.ts";

/** A request to a runtime, whatever its wire: JSON text to a service by name. */
export interface ContractRequest {
  readonly service: string;
  readonly json: string;
  /** The client leaves when it is aborted. */
  readonly signal?: AbortSignal;
}

/** What came back: JSON texts (one, or one for each item of a stream), or a code; both for a stream that failed. */
export interface ContractReply {
  readonly items: readonly string[];
  readonly code: ErrorCode | undefined;
}

/** A runtime that was started for one case. */
export interface RunningRuntime {
  /** Sends a request and reads the whole reply; a client that left may reject. */
  send(request: ContractRequest): Promise<ContractReply>;
  /** Stops it; called once more when the case ends. */
  stop(): Promise<void>;
}

/** What the contract of runtimes needs to try one. */
export interface RuntimeContractOptions {
  /** Starts a runtime with these services, each inline. */
  start(services: readonly ServiceEntry[]): Promise<RunningRuntime>;
  /** Cases that do not apply, by name, each with the reason. */
  readonly skip?: Readonly<Record<string, string>> | undefined;
}

const keys = { start: "needed", skip: true } satisfies KeysOf<RuntimeContractOptions>;

interface Bench {
  /** Lets every held call go on. */
  release(): void;
  readonly seen: string[];
  readonly entries: readonly ServiceEntry[];
  until(condition: () => boolean): Promise<void>;
}

/**
 * What every runtime must do, as cases for any test runner: answers, tells failures apart, keeps limits and deadlines, passes on that a
 * client has left, and loses nothing that it accepted when it stops.
 */
export function runtimeContract(options: RuntimeContractOptions): readonly ContractCase[] {
  refuseUnknownKeys(options, keys, "runtimeContract");
  const contractCase = (name: string, check: (runtime: RunningRuntime, bench: Bench) => Promise<void>): ContractCase => {
    const skip = options.skip?.[name];
    return {
      name,
      ...(skip === undefined ? {} : { skip }),
      async run() {
        const bench = createBench();
        const runtime = await options.start(bench.entries);
        try {
          await check(runtime, bench);
        } finally {
          bench.release();
          await runtime.stop();
        }
      },
    };
  };
  const expectCode = async (runtime: RunningRuntime, service: string, json: string, code: ErrorCode): Promise<void> => {
    const reply = await runtime.send({ service, json });
    assert.equal(reply.code, code);
    assert.deepEqual(reply.items, []);
  };

  const cases = [
    contractCase("answers a request", async (runtime) => {
      assert.deepEqual(await runtime.send({ service: "echo", json: '{"x":1}' }), { items: ['{"x":1}'], code: undefined });
    }),
    contractCase("answers many at once, each with its own", async (runtime) => {
      const replies = await Promise.all(Array.from({ length: 50 }, (_, x) => runtime.send({ service: "echo", json: `{"x":${x}}` })));
      assert.deepEqual(
        replies.map(({ items }) => items[0]),
        Array.from({ length: 50 }, (_, x) => `{"x":${x}}`),
      );
    }),
    contractCase("streams items in order", async (runtime) => {
      assert.deepEqual(await runtime.send({ service: "count", json: "3" }), { items: ["0", "1", "2"], code: undefined });
    }),
    contractCase("refuses what is not JSON", (runtime) => expectCode(runtime, "echo", "{", "invalid_request")),
    contractCase("refuses a service that does not exist", (runtime) => expectCode(runtime, "nobody", "1", "not_found")),
    contractCase("survives a service that throws", async (runtime) => {
      await expectCode(runtime, "fail", '"error"', "service_failed");
      await expectCode(runtime, "fail", '"text"', "service_failed");
      await expectCode(runtime, "fail", '"undefined"', "service_failed");
      assert.deepEqual((await runtime.send({ service: "echo", json: "1" })).items, ["1"]);
    }),
    contractCase("passes on a code that a service chose", (runtime) => expectCode(runtime, "fail", '"not_found"', "not_found")),
    contractCase("tells of a failure in the middle of a stream", async (runtime) => {
      assert.deepEqual(await runtime.send({ service: "count", json: "-2" }), { items: ["0", "1"], code: "service_failed" });
    }),
    contractCase("ends a call at its deadline and aborts its signal", async (runtime, bench) => {
      await expectCode(runtime, "slow", "0", "deadline_exceeded");
      assert.deepEqual(bench.seen, ["slow", "aborted deadline_exceeded"]);
    }),
    contractCase("refuses what is over its limits, and keeps the slot until the work has stopped", async (runtime, bench) => {
      const held = runtime.send({ service: "hold", json: "1" });
      await bench.until(() => bench.seen.includes("hold"));
      await expectCode(runtime, "hold", "2", "overloaded");
      bench.release();
      assert.equal((await held).code, undefined);
      assert.equal((await runtime.send({ service: "hold", json: "3" })).code, undefined);
    }),
    contractCase("tells a service that its client has left", async (runtime, bench) => {
      const client = new AbortController();
      const reply = runtime.send({ service: "wait", json: "0", signal: client.signal }).catch(() => undefined);
      await bench.until(() => bench.seen.includes("wait"));
      client.abort();
      await bench.until(() => bench.seen.includes("aborted cancelled"));
      await reply;
    }),
    contractCase("loses nothing when it stops", async (runtime, bench) => {
      const held = runtime.send({ service: "hold", json: "7" });
      await bench.until(() => bench.seen.includes("hold"));
      const stopping = runtime.stop();
      await pause(20);
      bench.release();
      assert.deepEqual(await held, { items: ["7"], code: undefined });
      await stopping;
    }),
  ];
  const names = Object.fromEntries(cases.map(({ name }) => [name, true as const]));
  refuseUnknownKeys(options.skip ?? {}, names, "runtimeContract", "skip");
  return cases;
}

function createBench(): Bench {
  const seen: string[] = [];
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const untilAborted = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => {
        seen.push(`aborted ${ServableError.isInstance(signal.reason) ? signal.reason.code : "?"}`);
        reject(signal.reason as Error);
      });
    });
  const inline = { placement: "inline" } as const;
  const services = {
    echo: defineService({ name: "echo", call: (value) => value }),
    count: defineService({
      name: "count",
      async *call(n) {
        for (let i = 0; i < Math.abs(Number(n)); i += 1) yield await Promise.resolve(i);
        if (Number(n) < 0) throw new Error("in the middle");
      },
    }),
    fail: defineService({
      name: "fail",
      call(kind): never {
        if (kind === "not_found") throw new ServableError("not_found", "No such thing.");
        if (kind === "error") throw new Error("a secret path /etc/secret");
        // eslint-disable-next-line @typescript-eslint/only-throw-error -- services can throw anything, and this is what is tried
        throw kind === "undefined" ? undefined : "a text";
      },
    }),
    slow: defineService({
      name: "slow",
      policy: { deadlineMs: 50 },
      call(_, { signal }) {
        seen.push("slow");
        return untilAborted(signal);
      },
    }),
    wait: defineService({
      name: "wait",
      call(_, { signal }) {
        seen.push("wait");
        return untilAborted(signal);
      },
    }),
    hold: defineService({
      name: "hold",
      policy: { concurrency: 1, queue: 0 },
      async call(value) {
        seen.push("hold");
        await released;
        return value;
      },
    }),
  };
  return {
    release,
    seen,
    entries: Object.values(services).map((service) => ({ service, policy: inline })),
    async until(condition) {
      for (let tries = 0; tries < 500; tries += 1) {
        if (condition()) return;
        await pause(10);
      }
      assert.fail(`waited 5 s in vain; seen so far: ${seen.join(", ")}`);
    },
  };
}
