import { status } from "@grpc/grpc-js";
import { inference } from "../../src/protocol/grpc/generated/messages.js";
import { send } from "./http.ts";
import { models } from "./models.ts";
import { Wrong, type Target } from "./target.ts";

const values = [1.5, -2, 0, 3e38];
const raw = Buffer.from(new Float32Array(values).buffer);

/** Good requests are answered, and answered right, on both protocols. @throws Wrong */
export async function checkHealth(target: Target): Promise<void> {
  const { server } = target;
  if (server.hasExited) throw new Wrong(`the server ended:\n${server.story}`);
  const alarms = server.takeAlarms();
  if (alarms.length > 0) throw new Wrong(`the server logged what no input may bring about:\n${alarms.join("\n")}`);
  await Promise.all([checkJson(target), checkBinary(target), checkGrpc(target), checkLive(target)]);
}

async function checkLive(target: Target): Promise<void> {
  const { status } = await send(target, { method: "GET", path: "/v2/health/live" });
  if (status !== 200) throw new Wrong(`it is not alive: ${status}`);
  for (const { name } of models) {
    const ready = await send(target, { method: "GET", path: `/v2/models/${name}/ready` });
    if (ready.status !== 200) throw new Wrong(`model '${name}' is not ready any more: ${ready.status} ${ready.body.toString()}`);
  }
}

async function checkJson(target: Target): Promise<void> {
  const json = JSON.stringify({ id: "good", inputs: [{ name: "x", datatype: "FP32", shape: [2, 2], data: [1.5, -2, 0, 4] }] });
  const { status, body } = await send(target, { method: "POST", path: "/v2/models/ensemble/infer", parts: [Buffer.from(json)] });
  const expected = {
    model_name: "ensemble",
    model_version: "1",
    id: "good",
    outputs: [{ name: "y", datatype: "FP32", shape: [2, 2], data: [1.5, -2, 0, 4] }],
  };
  const got: unknown = status === 200 ? JSON.parse(body.toString()) : undefined;
  if (!sameJson(got, expected)) throw new Wrong(`a good request in JSON got ${status} ${body.toString().slice(0, 1_000)}`);
}

function sameJson(one: unknown, other: unknown): boolean {
  const sorted = (value: unknown): string =>
    JSON.stringify(value, (_key, member: unknown) =>
      typeof member === "object" && member !== null && !Array.isArray(member) ? Object.fromEntries(Object.entries(member).sort()) : member,
    );
  return sorted(one) === sorted(other);
}

async function checkBinary(target: Target): Promise<void> {
  const input = { name: "x", datatype: "FP32", shape: [2, 2], parameters: { binary_data_size: raw.length } };
  const json = Buffer.from(JSON.stringify({ inputs: [input], parameters: { binary_data_output: true } }));
  const headers = { "inference-header-content-length": String(json.length) };
  const answer = await send(target, { method: "POST", path: "/v2/models/id_fp32/infer", headers, parts: [Buffer.concat([json, raw])] });
  const begin = Number(answer.headers["inference-header-content-length"]);
  if (answer.status !== 200 || !answer.body.subarray(begin).equals(raw))
    throw new Wrong(`a good binary request got ${answer.status} ${answer.body.toString("latin1")}`);
}

async function checkGrpc({ grpc }: Target): Promise<void> {
  const inputs = [{ name: "x", datatype: "FP32", shape: [2, 2] }];
  const message = inference.ModelInferRequest.encode({ modelName: "id_fp32", inputs, rawInputContents: [raw] }).finish();
  const { code, details, message: reply } = await grpc.call("ModelInfer", Buffer.from(message));
  const [got] = reply === undefined ? [] : inference.ModelInferResponse.decode(reply).rawOutputContents;
  if (code !== status.OK || got === undefined || !raw.equals(got)) throw new Wrong(`a good request over gRPC got ${code}: ${details}`);
}
