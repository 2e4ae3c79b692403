/** What `TritonModelServer` and the models that run in it promise, tried with a server that is really there. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { defineInference } from "servable";
import { OpenInferenceClient } from "servable/client";
import { GrpcInferenceClient } from "servable/grpc";
import { HttpRuntime } from "servable/http";
import { modelContract } from "servable/testing";
import {
  localTriton,
  makeTritonConfiguration,
  ServableError,
  SpecsTritonModel,
  Tensor,
  TritonModel,
  TritonModelServer,
  type TritonModelServerOptions,
} from "servable/triton";
import { keepLines, serverOptions, type KeptLine, type ServerName } from "./environment.ts";
import { checkFaults } from "./faults.ts";
import { checkJudgement } from "./judgement.ts";
import { addSub, addSubConfig } from "./models.ts";
import { copies, groupOf, sharedMemory, until, writeModel } from "./processes.ts";
import type { Tally } from "./tally.ts";

const example = { a: Tensor.from("FP32", [[1, 2]]), b: Tensor.from("FP32", [[3, 5]]) };

/**
 * Tries it all, and says on standard output what was tried.
 *
 * @param scratch - a folder that is not there yet
 * @param lines - gets what the servers log
 * @param tally - counts it
 * @throws where something is not as it should be
 */
export async function checkRuntime(server: ServerName, scratch: string, lines: KeptLine[], tally: Tally): Promise<void> {
  const models = path.join(scratch, "models");
  writeModel(models, "add_sub", addSub, addSubConfig.asPbtext());
  const options: TritonModelServerOptions = {
    artifact: models,
    ...serverOptions(server, scratch, models),
    ports: { http: 0, grpc: 0, metrics: 0 },
    startTimeoutMs: 120_000,
    log: keepLines(lines),
  };
  const check: Check = (what, run) => tally.check(what, run);

  const stale = new Set(sharedMemory());
  const download = { folder: path.join(scratch, "cache") };
  const replicated = new TritonModelServer({
    ...options,
    artifact: await published(scratch, models),
    download,
    modelNamesToReplication: { add_sub: 2 },
  });
  try {
    await check("starts an archive of this package's with its replication", async () => {
      await replicated.start();
      assert.equal(replicated.status.server, server === "triton" ? "tritonserver" : "servable");
      const { instance_group } = await new OpenInferenceClient(replicated.url).modelConfig("add_sub");
      assert.ok(Array.isArray(instance_group));
      assert.equal((instance_group[0] as { readonly count?: unknown }).count, 2);
      assert.ok(lines.some(({ level }) => level === "info"));
    });
    for (const url of [replicated.url, replicated.grpcUrl]) await checkModels(url, check);
    await check("is found beside a service", async () => {
      const { client } = await localTriton({ environment: { SERVABLE_TRITON_HTTP: replicated.url }, timeoutMs: 5_000 });
      assert.equal(await client.modelReady("add_sub"), true);
    });
    await check("comes back on the same ports when it was killed", async () => {
      const memory = sharedMemory().filter((name) => !stale.has(name));
      const { url, grpcUrl } = replicated;
      const { pid = 0 } = replicated.status;
      process.kill(pid, "SIGKILL");
      await until(() => replicated.status.restarts === 1 && replicated.status.state === "ready", 60_000);
      assert.notEqual(replicated.status.pid, pid);
      assert.deepEqual([replicated.url, replicated.grpcUrl], [url, grpcUrl]);
      await infers(new OpenInferenceClient(url));
      // As much as there was, and none of the one that died.
      const now = sharedMemory().filter((name) => !stale.has(name));
      assert.equal(now.length, memory.length);
      assert.ok(memory.every((name) => !now.includes(name)));
    });
    await check("ends what is in flight, stops, and leaves nothing", async () => {
      const { pid = 0 } = replicated.status;
      const group = groupOf(pid);
      const client = new OpenInferenceClient(replicated.url);
      // Connections that are there already: one that is still on its way when a server stops listening is nobody's.
      await Promise.all(Array.from({ length: 16 }, () => infers(client)));
      const runs = Promise.allSettled(Array.from({ length: 16 }, () => infers(client)));
      await sleep(5);
      await replicated.stop();
      // Each is answered, and right, or was turned away before it was heard.
      const failures = (await runs).flatMap((end) => (end.status === "rejected" ? [end.reason as unknown] : []));
      for (const thrown of failures)
        assert.ok(ServableError.isInstance(thrown) && /^(unavailable|not_ready)$/.test(thrown.code), String(thrown));
      process.stdout.write(`  of 16 in flight ${16 - failures.length} were answered\n`);
      assert.equal(replicated.status.state, "stopped");
      await until(() => groupOf(pid).length === 0, 5_000);
      assert.ok(group.length > 0);
      assert.deepEqual(copies(), []);
    });
  } finally {
    await replicated.stop();
  }
  await check("heeds rate limiters of a replication", () => rateLimited(options));
  await checkJudgement(server, scratch, options, tally);
  await checkFaults(scratch, options, lines, tally);
}

async function published(scratch: string, models: string): Promise<string> {
  const { modelArtifactUri } = await makeTritonConfiguration({ repository: models, storage: path.join(scratch, "store") });
  return modelArtifactUri;
}

type Check = (what: string, run: () => Promise<void>) => Promise<void>;

async function checkModels(url: string, check: Check): Promise<void> {
  await check(`infers over ${url.split(":")[0] ?? ""}`, async () => {
    const client = url.startsWith("grpc") ? new GrpcInferenceClient(url) : new OpenInferenceClient(url);
    await infers(client);
    if (client instanceof GrpcInferenceClient) client.close();
  });
  const makers = {
    TritonModel: () => TritonModel.connect(url, "add_sub"),
    "SpecsTritonModel by the server": () => SpecsTritonModel.connect(url, "add_sub"),
    "SpecsTritonModel by a configuration": () => new SpecsTritonModel(url, addSubConfig),
  };
  for (const [name, create] of Object.entries(makers)) {
    await check(`${name} keeps the contract of models`, async () => {
      for (const { name: title, run, skip } of modelContract({ create, example, batches: true })) {
        if (skip !== undefined) continue;
        await run().catch((thrown: unknown) => {
          throw new Error(`${title}: ${String(thrown)}`, { cause: thrown });
        });
      }
    });
  }
  await check("a service runs it as its model", () => inService(url));
  await check("tells shapes", async () => {
    const model = await SpecsTritonModel.connect(url, "add_sub");
    assert.deepEqual(model.inputShapes, { a: [-1, 2], b: [-1, 2] });
    assert.deepEqual(model.outputShapes, { sum: [-1, 2], difference: [-1, 2] });
    assert.equal(model.maxBatchSize, 8);
    await model.close();
  });
}

async function infers(client: Pick<OpenInferenceClient, "infer">): Promise<void> {
  const { outputs } = await client.infer("add_sub", example);
  assert.deepEqual(outputs.sum?.toNested(), [[4, 7]]);
  assert.deepEqual(outputs.difference?.toNested(), [[-2, -3]]);
}

/** The whole way: a request to a service over HTTP, whose model's run is a request to the server. */
async function inService(url: string): Promise<void> {
  const service = defineInference({
    name: "sums",
    model: () => TritonModel.connect(url, "add_sub"),
    preprocess: ([a, b]: readonly [readonly number[], readonly number[]]) => ({ a: Tensor.from("FP32", [a]), b: Tensor.from("FP32", [b]) }),
    postprocess: ({ sum }) => sum?.toNested(),
    policy: { placement: "inline" },
  });
  const runtime = new HttpRuntime({ services: [service], port: 0, log: keepLines([]) });
  await runtime.start();
  try {
    const ask = async (n: number): Promise<unknown> => {
      const body = JSON.stringify([
        [n, 2],
        [3, 4],
      ]);
      return (await fetch(`${runtime.url}/sums`, { method: "POST", headers: { "content-type": "application/json" }, body })).json();
    };
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => ask(n)));
    assert.deepEqual(
      answers,
      Array.from({ length: 20 }, (_, n) => [[n + 3, 6]]),
    );
  } finally {
    await runtime.stop();
  }
}

/** Only one of two instances may run at a time, and the real server is told to see to it. */
async function rateLimited(options: TritonModelServerOptions): Promise<void> {
  const resources = [{ name: "one", count: 1 }];
  const group = { count: 2, kind: "KIND_CPU", rateLimiter: { resources, priority: 1 } } as const;
  const server = new TritonModelServer({ ...options, modelNamesToReplication: { add_sub: [group] } });
  try {
    await server.start();
    const client = new OpenInferenceClient(server.url);
    const { instance_group } = await client.modelConfig("add_sub");
    assert.ok(Array.isArray(instance_group));
    const { count, rate_limiter } = instance_group[0] as Readonly<Record<string, unknown>>;
    assert.deepEqual([count, (rate_limiter as { readonly resources: unknown }).resources], [2, [{ name: "one", count: 1, global: false }]]);
    await Promise.all(Array.from({ length: 8 }, () => infers(client)));
    const flags = readFileSync(`/proc/${server.status.pid ?? 0}/cmdline`, "utf8").split("\0");
    assert.equal(flags.includes("--rate-limit=execution_count"), server.status.server === "tritonserver");
  } finally {
    await server.stop();
  }
}
