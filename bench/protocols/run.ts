/**
 * `servable models` beside the real tritonserver, on the same models, over the three wires of the Open Inference Protocol: JSON, binary
 * tensors, and gRPC. Each server is started, checked, warmed, measured and stopped in turn, for several rounds.
 *
 * usage: npm run bench:protocols -- [--rounds 5] [--seconds 5] [--connections 32] [--models mlp,heavy] [--wires json,binary,grpc]
 */
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writeInferRequest as writeGrpc } from "../../src/protocol/grpc/infer-request.ts";
import { inference } from "../../src/protocol/grpc/generated/messages.js";
import { writeInferRequest } from "../../src/protocol/http/write-request.ts";
import { expectedOf, type Expected } from "../models/answers.ts";
import { modelFile, type ModelName } from "../models/make-models.ts";
import { tritonStart } from "../peers/triton.ts";
import { venvOf } from "../peers/venv.ts";
import { createLoad } from "../support/load.ts";
import { processorMsOf, usageOf } from "../support/process-tree.ts";
import { freePort, median, startServer, type Sample } from "../support/servers.ts";
import { findGhz, runGhz } from "./ghz.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "5" },
    connections: { type: "string", default: "32" },
    models: { type: "string", default: "mlp,heavy" },
    wires: { type: "string", default: "json,binary,grpc" },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
// Code that runs ten thousand times a second is compiled for good after some seconds; of fewer requests, later.
const warmSeconds = Math.max(6, seconds);
const connections = Number(values.connections);
const models = values.models.split(",").filter((model): model is ModelName => model === "mlp" || model === "heavy");
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const ghz = findGhz();
const wires = values.wires.split(",").filter((wire) => {
  if (wire !== "grpc" || ghz !== undefined) return true;
  say("left out: gRPC, because ghz is not installed: npx tsx bench/peers/install.ts ghz");
  return false;
});
const load = await createLoad();
const scratch = fileURLToPath(new URL("./.cache/", import.meta.url));
mkdirSync(scratch, { recursive: true });

interface Side {
  readonly name: string;
  start(
    file: string,
    port: number,
    grpcPort: number,
  ): { readonly command: readonly string[]; readonly environment: Readonly<Record<string, string>> };
}

const servable: Side = {
  name: "servable models",
  start(file, port, grpcPort) {
    const repository = path.join(scratch, "models");
    rmSync(repository, { recursive: true, force: true });
    mkdirSync(path.join(repository, "predict", "1"), { recursive: true });
    cpSync(file, path.join(repository, "predict", "1", "model.onnx"));
    writeFileSync(path.join(repository, "predict", "config.pbtxt"), config);
    const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
    const flags = [`--model-repository=${repository}`, `--http-port=${port}`, `--grpc-port=${grpcPort}`, "--allow-metrics=false"];
    return { command: [process.execPath, main, "models", ...flags], environment: {} };
  },
};
// As bench/peers/triton.ts has it for Triton.
const config = `name: "predict"
backend: "onnxruntime"
max_batch_size: 16
input [{ name: "x" data_type: TYPE_FP32 dims: [64] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [10] }]
instance_group [{ kind: KIND_CPU count: 1 }]
dynamic_batching { }
`;
const triton: Side = {
  name: "Triton",
  start(file, port, grpcPort) {
    const { command, environment } = tritonStart(path.join(scratch, "triton"), port, grpcPort);
    return { command, environment: { ...environment, BENCH_MODEL: file } };
  },
};
const sides = [servable, triton].filter((side) => {
  if (side !== triton || existsSync(venvOf("triton").python)) return true;
  say("left out: Triton, because it is not installed: npx tsx bench/peers/install.ts triton");
  return false;
});

interface Measurement extends Sample {
  readonly processorUs: number;
  readonly memoryMiB: number;
}

say(`load: ${load.name} and ghz, ${connections} at a time, ${rounds} rounds of ${seconds} s; server on core 0, load on core 1`);
const lines: string[] = [];
for (const model of models) {
  const file = modelFile(model);
  const expected = await expectedOf(file);
  for (const wire of wires) {
    const measured = new Map<Side, Measurement[]>(sides.map((side) => [side, []]));
    for (let round = 1; round <= rounds; round++) {
      for (const [side, list] of measured) {
        const one = await measure(side, wire, file, expected);
        list.push(one);
        say(`${model}, ${wire}, round ${round}, ${side.name}: ${one.requestsPerSecond.toFixed(0)} requests/s`);
      }
    }
    const ours = measured.get(servable) ?? [];
    const theirs = measured.get(triton) ?? [];
    const ratio = (what: (one: Measurement) => number): string =>
      median(ours.map((one, round) => what(one) / (theirs[round] === undefined ? Number.NaN : what(theirs[round])))).toFixed(2);
    for (const [side, list] of measured) {
      const of = (what: (one: Measurement) => number, digits: number): string => median(list.map(what)).toFixed(digits);
      const isOurs = side === servable;
      lines.push(
        `| ${model}, ${wire} | ${side.name} | ${of((one) => one.requestsPerSecond, 0)} | ${isOurs ? ratio((one) => one.requestsPerSecond) : "–"} | ${of((one) => one.p50Ms, 2)} | ${of((one) => one.p99Ms, 2)} | ${of((one) => one.processorUs, 0)} | ${of((one) => one.memoryMiB, 0)} | ${isOurs ? ratio((one) => one.memoryMiB) : "–"} |`,
      );
    }
  }
}
say("\n| model, wire | server | requests/s | of Triton | p50 ms | p99 ms | processor µs/request | memory MiB | memory of Triton |");
say("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
say(lines.join("\n"));

async function measure(side: Side, wire: string, file: string, expected: Expected): Promise<Measurement> {
  const port = await freePort();
  const grpcPort = await freePort();
  await using server = await startServer({
    ...side.start(file, port, grpcPort),
    port,
    core: 0,
    errorFile: path.join(scratch, `${side === servable ? "servable" : "triton"}.txt`),
    ready: async (url) => (await fetch(`${url}/v2/health/ready`)).ok,
  });
  const url = `${server.url}/v2/models/predict/infer`;
  await check(url, expected);
  const run = (time: number): Promise<Sample> => {
    if (wire === "grpc") return runGhz(ghz ?? "ghz", `127.0.0.1:${grpcPort}`, grpcRequest(expected), connections, time);
    const { body, headers } = httpRequest(expected, wire === "binary");
    return load.run({ url, body, headers, connections, seconds: time });
  };
  await run(warmSeconds);
  const warm = usageOf(server.pid);
  const before = processorMsOf(server.pid);
  const sample = await run(seconds);
  const after = usageOf(server.pid);
  return {
    ...sample,
    processorUs: ((after.processorMs - before) * 1_000) / sample.requests,
    memoryMiB: Math.max(warm.memoryMiB, after.memoryMiB),
  };
}

function rowOf({ rows }: Expected): Float32Array {
  return Float32Array.from(rows[0] ?? []);
}

function httpRequest(
  expected: Expected,
  binary: boolean,
): { readonly body: string | Uint8Array; readonly headers: Readonly<Record<string, string>> } {
  const row = rowOf(expected);
  if (!binary) {
    return {
      body: JSON.stringify({ inputs: [{ name: "x", shape: [1, row.length], datatype: "FP32", data: expected.rows[0] }] }),
      headers: {},
    };
  }
  const { json, chunks, headerLength } = writeInferRequest({
    id: "",
    parameters: {},
    inputs: [{ name: "x", dataType: "FP32", shape: [1, row.length], data: row }],
    outputs: [],
    binary: true,
  });
  const headers = { "content-type": "application/octet-stream", "inference-header-content-length": String(headerLength) };
  return { body: Buffer.concat([Buffer.from(json), ...chunks]), headers };
}

function grpcRequest(expected: Expected): Uint8Array {
  const row = rowOf(expected);
  const request = {
    modelName: "predict",
    modelVersion: "",
    id: "",
    parameters: {},
    inputs: [{ name: "x", dataType: "FP32", shape: [1, row.length], data: row }],
    outputs: [],
  };
  return inference.ModelInferRequest.encode(writeGrpc(request)).finish();
}

/** So that no wrong answer is measured. */
async function check(url: string, expected: Expected): Promise<void> {
  const { body, headers } = httpRequest(expected, false);
  const answer = await fetch(url, { method: "POST", body, headers: { "content-type": "application/json", ...headers } });
  const { outputs } = (await answer.json()) as { readonly outputs: readonly { readonly data: readonly number[] }[] };
  const found = outputs[0]?.data ?? [];
  const right = expected.answers[0] ?? [];
  if (found.length === right.length && found.every((value, at) => Math.abs(value - (right[at] ?? Number.NaN)) < 1e-5)) return;
  throw new Error(`${url} answered ${found.join(" ")} instead of ${right.join(" ")}`);
}
