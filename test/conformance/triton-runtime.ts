/** What `TritonModelServer` and the models that run in it promise, tried with a server that is really there. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { OpenInferenceClient } from "servable/client";
import { GrpcInferenceClient } from "servable/grpc";
import { modelContract } from "servable/testing";
import {
  localTriton,
  makeTritonConfiguration,
  ServableError,
  SpecsTritonModel,
  Tensor,
  TritonModel,
  TritonModelConfig,
  TritonModelServer,
  TritonTensor,
  type TritonModelServerOptions,
} from "servable/triton";
import { writeOnnx } from "../support/onnx-writer.ts";
import { keepLines, serverOptions, type KeptLine, type ServerName } from "./environment.ts";

const value = (name: string) => ({ name, dataType: "FP32", shape: ["n", 2] }) as const;
const config = new TritonModelConfig({
  name: "add_sub",
  backend: "onnxruntime",
  maxBatchSize: 8,
  dynamicBatching: true,
  instanceGroup: [{ kind: "KIND_CPU", count: 1 }],
  inputs: [new TritonTensor("a", "TYPE_FP32", "FORMAT_NONE", [2]), new TritonTensor("b", "TYPE_FP32", "FORMAT_NONE", [2])],
  outputs: [new TritonTensor("sum", "TYPE_FP32", "FORMAT_NONE", [2]), new TritonTensor("difference", "TYPE_FP32", "FORMAT_NONE", [2])],
});
const addSub = writeOnnx({
  inputs: [value("a"), value("b")],
  outputs: [value("sum"), value("difference")],
  nodes: [
    { op: "Add", inputs: ["a", "b"], outputs: ["sum"] },
    { op: "Sub", inputs: ["a", "b"], outputs: ["difference"] },
  ],
});
const example = { a: Tensor.from("FP32", [[1, 2]]), b: Tensor.from("FP32", [[3, 5]]) };

/**
 * Tries it all, and says on standard output what was tried.
 *
 * @param scratch - a folder that is not there yet
 * @param lines - gets what the servers log
 * @throws where something is not as it should be
 */
export async function checkRuntime(server: ServerName, scratch: string, lines: KeptLine[]): Promise<void> {
  const models = path.join(scratch, "models");
  writeModel(models, "add_sub", addSub, config.asPbtext());
  const options: TritonModelServerOptions = {
    artifact: models,
    ...serverOptions(server, scratch, models),
    ports: { http: 0, grpc: 0, metrics: 0 },
    startTimeoutMs: 120_000,
    log: keepLines(lines),
  };
  const check = async (what: string, run: () => Promise<void>): Promise<void> => {
    const since = performance.now();
    await run();
    process.stdout.write(`ok - ${server}: ${what} (${Math.round(performance.now() - since)} ms)\n`);
  };

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
  await check("tells why a model did not load", () => brokenModels(scratch, options));
  await check("tells that a port is taken", () => portTaken(options));
  await check("a flag that does not exist is the reason", async () => {
    const failure = await failureOf(new TritonModelServer({ ...options, arguments: ["--no-such-flag=1"] }));
    assert.equal(failure.code, "load_failed");
    assert.match(failure.message, /no-such-flag/);
  });
  await check("nothing outlives a process that is killed", () => killedParent(options));
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
    "SpecsTritonModel by a configuration": () => new SpecsTritonModel(url, config),
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

async function brokenModels(scratch: string, options: TritonModelServerOptions): Promise<void> {
  const models = path.join(scratch, "broken");
  writeModel(models, "add_sub", addSub, config.asPbtext());
  writeModel(models, "broken", Buffer.from("no model"), config.asPbtext().replaceAll("add_sub", "broken"));
  writeModel(models, "unreadable", addSub, "max_batch_size: zz");
  writeModel(models, "strange", addSub, 'backend: "nobody_knows"');
  const failure = await failureOf(new TritonModelServer({ ...options, artifact: models }));
  assert.equal(failure.code, "load_failed");
  const reasons = failure.details.models as Readonly<Record<string, string>>;
  process.stdout.write(
    `  ${Object.entries(reasons)
      .map(([model, why]) => `${model}: ${why}`)
      .join("\n  ")}\n`,
  );
  assert.deepEqual(Object.keys(reasons).sort(), ["broken", "strange", "unreadable"]);
  assert.match(reasons.broken ?? "", /protobuf/i);
  assert.match(reasons.unreadable ?? "", /zz/);
  assert.match(reasons.strange ?? "", /nobody_knows/);
}

async function portTaken(options: TritonModelServerOptions): Promise<void> {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const address = other.address();
  const grpc = typeof address === "object" && address !== null ? address.port : 0;
  // The first looks before it starts anything; the second has its server find out.
  const failure = await failureOf(new TritonModelServer({ ...options, ports: { http: 0, grpc, metrics: 0 } }));
  assert.equal(failure.code, "address_in_use");
  const late = new TritonModelServer({
    ...options,
    ports: { http: 18_730, grpc: 18_731, metrics: 18_732 },
    arguments: [`--grpc-port=${grpc}`],
  });
  const found = await failureOf(late);
  assert.equal(found.code, "address_in_use");
  assert.ok(found.message.includes(String(grpc)), found.message);
  other.close();
}

async function killedParent(options: TritonModelServerOptions): Promise<void> {
  const { log: _, ...rest } = options;
  const script = `
    import { TritonModelServer } from "servable/triton";
    const server = new TritonModelServer({ ...${JSON.stringify(rest)}, modelNamesToReplication: { add_sub: 2 } });
    await server.start();
    process.stdout.write("\\nPID " + server.status.pid + "\\n");
    setInterval(() => undefined, 1_000);`;
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const parent = spawn(process.execPath, ["--input-type=module", "--eval", script], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  parent.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  try {
    await until(() => /^PID \d+$/m.test(said), 60_000);
    const pid = Number(/^PID (\d+)$/m.exec(said)?.[1]);
    assert.ok(groupOf(pid).length > 0);
    parent.kill("SIGKILL");
    await until(() => groupOf(pid).length === 0, 10_000);
    await until(() => copies().length === 0, 5_000);
  } finally {
    parent.kill("SIGKILL");
  }
}

async function failureOf(server: TritonModelServer): Promise<ServableError> {
  try {
    await server.start();
  } catch (thrown) {
    if (ServableError.isInstance(thrown)) return thrown;
    throw thrown;
  } finally {
    await server.stop();
  }
  throw new Error("It started, and should not have.");
}

function writeModel(models: string, name: string, content: Uint8Array, text: string): void {
  mkdirSync(path.join(models, name, "1"), { recursive: true });
  writeFileSync(path.join(models, name, "1", "model.onnx"), content);
  writeFileSync(path.join(models, name, "config.pbtxt"), text);
}

/** What lives of a process group. */
function groupOf(group: number): readonly number[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      // After the name, which may have blanks in it: state, parent, group.
      const [state, , of] = readFileSync(`/proc/${name}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ");
      return state !== "Z" && Number(of) === group ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

/** What Triton's Python backend shares with its processes. */
function sharedMemory(): readonly string[] {
  return existsSync("/dev/shm") ? readdirSync("/dev/shm").filter((name) => name.startsWith("triton_onnxruntime")) : [];
}

/** The copies of repositories that are there. */
function copies(): readonly string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith("servable-triton-"));
}

async function until(holds: () => boolean, ms: number): Promise<void> {
  const end = performance.now() + ms;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`It did not hold within ${ms} ms.`);
    await sleep(20);
  }
}
