/** What `TritonModelServer` and the models that run in it promise, tried with a server that is really there. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
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
  SpecsTritonModel,
  Tensor,
  TritonModel,
  TritonModelServer,
  type TritonModelServerOptions,
} from "servable/triton";
import { keepLines, serverOptions, type KeptLine, type ServerName } from "./environment.ts";
import { checkFaults } from "./faults.ts";
import { checkJudgement } from "./judgement.ts";
import { addSub, addSubAnswer, addSubConfig, addSubExample, addSubModels, askForSums, sums } from "../support/add-sub.ts";
import { checkRateLimits } from "./rate-limits.ts";
import { copies, groupOf, sharedMemory, until, writeModel } from "./processes.ts";
import type { Tally } from "./tally.ts";

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
      const statuses = await answeredAtTheEnd(replicated, pid);
      const answered = statuses.filter((status) => status === "200").length;
      process.stdout.write(`  of ${statuses.length} requests that it had not seen when it was asked to end ${answered} were answered\n`);
      if (server === "servable") assert.equal(answered, statuses.length, statuses.join());
      assert.equal(replicated.status.state, "stopped");
      await until(() => groupOf(pid).length === 0, 5_000);
      assert.ok(group.length > 0);
      assert.deepEqual(copies(), []);
    });
  } finally {
    await replicated.stop();
  }
  await checkRateLimits(server, scratch, options, tally);
  await checkJudgement(server, scratch, options, tally);
  await checkFaults(scratch, options, lines, tally);
}

/**
 * Stops a server while requests lie in the system's hands, which it sees together with the request to end.
 *
 * @returns the status of each; empty of one that was cut off
 */
async function answeredAtTheEnd(server: TritonModelServer, pid: number): Promise<readonly string[]> {
  const [values, { hostname, port }] = [(data: readonly number[]) => ({ datatype: "FP32", shape: [1, 2], data }), new URL(server.url)];
  const body = JSON.stringify({
    inputs: [
      { name: "a", ...values([1, 2]) },
      { name: "b", ...values([3, 5]) },
    ],
  });
  const request = `POST /v2/models/add_sub/infer HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  process.kill(pid, "SIGSTOP");
  const answers = await Promise.all(Array.from({ length: 16 }, () => sent(hostname, Number(port), request)));
  const stopped = server.stop();
  await sleep(100);
  process.kill(pid, "SIGCONT");
  const texts = await Promise.all(answers.map(({ whole }) => whole));
  await stopped;
  return texts.map((text) => /^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? "");
}

/** Sends a request. Resolves when the system has it, with what comes until the connection closes. */
async function sent(host: string, port: number, request: string): Promise<{ readonly whole: Promise<string> }> {
  const socket = connect(port, host);
  let text = "";
  socket.on("data", (part: Buffer) => (text += part.toString()));
  socket.on("error", () => undefined);
  // Not `once`, which fails where it is reset: that is what the real server may do.
  const whole = new Promise<string>((resolve) =>
    socket.once("close", () => {
      resolve(text);
    }),
  );
  await once(socket, "connect");
  await new Promise((resolve) => socket.write(request, resolve));
  return { whole };
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
  for (const [name, create] of Object.entries(addSubModels(() => url))) {
    await check(`${name} keeps the contract of models`, async () => {
      for (const { name: title, run, skip } of modelContract({ create, example: addSubExample, batches: true })) {
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
  const { outputs } = await client.infer("add_sub", addSubExample);
  assert.deepEqual({ sum: outputs.sum?.toNested(), difference: outputs.difference?.toNested() }, addSubAnswer);
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
    assert.deepEqual(await askForSums(runtime.url), sums);
  } finally {
    await runtime.stop();
  }
}
