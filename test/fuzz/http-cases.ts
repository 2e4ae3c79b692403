import { deflateSync, gzipSync } from "node:zlib";
import { ask, type HttpAnswer } from "./http.ts";
import { inferBody, type Mistakes } from "./infer-body.ts";
import { anyJson, nested } from "./json-text.ts";
import { models, statelessModels } from "./models.ts";
import { hostileText, mutate } from "./mutate.ts";
import type { Random } from "./random.ts";
import { shown, Wrong, type FuzzCase } from "./target.ts";

const sound: Mistakes = { member: 0, json: 0, binary: 0, header: 0, encoding: 0 };

/** In one piece mostly, else in a few, cut anywhere. */
export function inParts(random: Random, body: Buffer): readonly Buffer[] {
  if (body.length < 2 || random.chance(0.6)) return [body];
  const cuts = random.list(random.between(1, 3), () => random.below(body.length)).sort((a, b) => a - b);
  return [0, ...cuts].map((begin, index) => body.subarray(begin, cuts[index] ?? body.length)).filter((part) => part.length > 0);
}

function inferPath(random: Random, name: string): string {
  return `/v2/models/${name}${random.chance(0.2) ? `/versions/${random.from(["1", "1", "7", "0", "99999999999999999999"])}` : ""}/infer`;
}

function inferring(mistakes: Partial<Mistakes>): FuzzCase {
  return async (random, target) => {
    const model = random.from(models);
    const { headers, body } = inferBody(random, model, { ...sound, ...mistakes });
    if (random.chance(0.1)) headers["transfer-encoding"] = "chunked";
    await ask(target, { method: "POST", path: inferPath(random, model.name), headers, parts: inParts(random, body) });
  };
}

/** The JSON's members are wrong. */
export const wrongMembers: FuzzCase = inferring({ member: 0.1 });
/** The JSON is cut, overwritten, doubled. */
export const wrongJson: FuzzCase = inferring({ json: 1 });
/** Binary tensors that are too short or too long, sizes and lengths that lie. */
export const wrongBinary: FuzzCase = inferring({ binary: 0.8 });
/** A header length that is none, or past the body. */
export const wrongHeader: FuzzCase = inferring({ header: 1 });
/** Compressed otherwise than it says, or badly. */
export const wrongEncoding: FuzzCase = inferring({ encoding: 1 });
/** All together. */
export const wrongAll: FuzzCase = inferring({ member: 0.05, json: 0.2, binary: 0.3, header: 0.2, encoding: 0.1 });

/** Raw binary requests: header length 0, or no body. */
export const rawRequests: FuzzCase = async (random, target) => {
  const body = random.bytes(random.size(5_000));
  const headers = { "inference-header-content-length": "0" };
  await ask(target, { method: "POST", path: inferPath(random, random.from(models).name), headers, parts: inParts(random, body) });
};

/** Shapes whose product overflows, or that have no data. */
export const shapes: FuzzCase = async (random, target) => {
  const length = (): string =>
    random.from(["0", "1", "2", "3", "-1", "2147483648", "4294967296", "9223372036854775807", "1e18", "18446744073709551615"]);
  const shape = `[${random.list(random.size(40), length).join(",")}]`;
  const data = random.from(['"data":[1,2]', '"data":[]', '"parameters":{"binary_data_size":0}', '"data":[[[1]],[[2]]]']);
  const text = `{"inputs":[{"name":"x","datatype":"${random.from(["FP32", "INT64", "BYTES", "BOOL"])}","shape":${shape},${data}}]}`;
  const json = Buffer.from(text);
  const headers = { "inference-header-content-length": String(json.length) };
  await ask(target, { method: "POST", path: inferPath(random, random.from(models).name), headers, parts: [json] });
};

/** Very many inputs, outputs, parameters; very deep data; very long names. */
export const large: FuzzCase = async (random, target) => {
  const input = (index: number): string => `{"name":"i${index}","datatype":"FP32","shape":[1],"data":[${index}]}`;
  const many = 10_000;
  const body = random.from([
    () => `{"inputs":[${random.list(many, input).join(",")}]}`,
    () => `{"inputs":[${random.list(many, () => input(1)).join(",")}]}`,
    () =>
      `{"inputs":[${input(1)}],"outputs":[${random.list(many, (index) => `{"name":"${random.chance(0.5) ? "y" : index}"}`).join(",")}]}`,
    () => `{"inputs":[${input(1)}],"parameters":{${random.list(many, (index) => `"p${index}":${index}`).join(",")}}}`,
    () => `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":${nested(random, random.from([99, 1_000, 20_000, 200_000]))}}]}`,
    () => nested(random, 200_000),
    () => `{"inputs":[{"name":"x","datatype":"FP32","shape":${nested(random, 50_000)},"data":[1]}]}`,
    () => `{"x":${nested(random, 100_000)},"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`,
    () => `{"inputs":[{"name":"${"x".repeat(500_000)}","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`,
    () => `{"id":"${"é".repeat(200_000)}","inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2]}]}`,
    () => `{"inputs":[{"name":"x","datatype":"FP32","shape":[${random.list(many, () => "1").join(",")}],"data":[1]}]}`,
    () => `{"inputs":[{"name":"x","datatype":"BYTES","shape":[1,2],"data":["${"\\ud800".repeat(50_000)}","b"]}]}`,
  ])();
  const name = random.from(["id_fp32", "id_bytes", "plain", "sum", "ensemble"]);
  await ask(target, { method: "POST", path: `/v2/models/${name}/infer`, parts: inParts(random, Buffer.from(body)) });
};

/** A few bytes that become many. */
export const bomb: FuzzCase = async (random, target) => {
  const size = random.from([8, 40, 70]) * 1024 * 1024;
  const filler = Buffer.alloc(size, random.from([" ", "[", "0", "\0"]));
  const encoding = random.from(["gzip", "deflate"]);
  const body = encoding === "gzip" ? gzipSync(filler, { level: 1 }) : deflateSync(filler, { level: 1 });
  const headers: Record<string, string> = { "content-encoding": encoding };
  if (random.chance(0.5)) headers["inference-header-content-length"] = random.from(["0", "10", String(size)]);
  await ask(target, { method: "POST", path: "/v2/models/id_fp32/infer", headers, parts: inParts(random, body) });
};

/** What generate does with anything. */
export const generate: FuzzCase = async (random, target) => {
  const model = random.from(models);
  const keys = [...model.inputs.map(({ name }) => name), "parameters", "id", "text", "__proto__", "stream", "triton_x"];
  const members = random.list(
    random.below(5),
    () => `${JSON.stringify(random.from(keys))}:${random.chance(0.4) ? "[1,2]" : anyJson(random)}`,
  );
  let body: Buffer = Buffer.from(random.chance(0.9) ? `{${members.join(",")}}` : anyJson(random));
  if (random.chance(0.2)) body = mutate(random, body);
  const headers: Record<string, string> = random.chance(0.05) ? { "content-encoding": "gzip" } : {};
  const path = `/v2/models/${model.name}/${random.from(["generate", "generate_stream"])}`;
  await ask(target, { method: "POST", path, headers, parts: inParts(random, body) });
};

const methods = ["GET", "GET", "POST", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] as const;

/** Paths that there are not, or nearly; verbs that they don't take. Loads and unloads are other cases. */
export const paths: FuzzCase = async (random, target) => {
  const name = (): string => (random.chance(0.4) ? random.from(models).name : inPath(hostileText(random)));
  const path = random.from([
    () => `/v2/models/${name()}`,
    () => `/v2/models/${name()}/versions/${name()}`,
    () => `/v2/models/${name()}/${random.from(["ready", "config", "stats", "infer", "generate", "trace/setting", "x", ""])}`,
    () =>
      `/v2/models/${name()}/versions/${random.from(["1", "0", "01", "-1", "1e1", "9".repeat(40)])}/${random.from(["ready", "config", "stats", "infer"])}`,
    () => `/v2/${name()}`,
    () => `/${name()}/${name()}`,
    () => `/v2/repository/${name()}/index`,
    () => `/v2/repository/${name()}`,
    () =>
      `/v2/${random.from(["systemsharedmemory", "cudasharedmemory"])}/region/${name()}/${random.from(["status", "register", "unregister"])}`,
    () =>
      random.from(["/", "/v2", "/v2/", "//v2", "/v2/health/live", "/v2/health/ready", "/v2/models", "/v2/models/stats", "/v2?x=1", "*"]),
    () => `/${"a/".repeat(random.between(1, 3_000))}`,
    () => `/v2/models/id_fp32/infer?${inPath(hostileText(random))}`,
  ])();
  const method = random.from(methods);
  const parts = method === "GET" || method === "HEAD" || random.chance(0.5) ? [] : [Buffer.from(anyJson(random))];
  // Node sends no body of its own with these.
  const headers: Record<string, string> = random.chance(0.2)
    ? { "content-type": random.from(["", "x", 'application/json; charset="', "multipart/form-data"]) }
    : {};
  await ask(target, { method, path: path.slice(0, 12_000), headers, parts });
};

/** What may stand in the path of a request: the rest is sent over a bare socket, by other cases. */
function inPath(text: string): string {
  return Buffer.from(text)
    .toString()
    .replaceAll(/[^\x21-\x7e]/gu, (character) => encodeURIComponent(character));
}

/** Settings, the index, shared memory. */
export const settings: FuzzCase = async (random, target) => {
  const path = random.from([
    "/v2/logging",
    "/v2/trace/setting",
    "/v2/models/plain/trace/setting",
    "/v2/repository/index",
    "/v2/repository/x/index",
  ]);
  const names = ["log_file", "log_info", "log_warning", "log_format", "trace_file", "trace_level", "trace_rate", "trace_count"];
  const members = random.list(
    random.below(4),
    () => `${JSON.stringify(random.from([...names, "log_frequency", "ready", "__proto__", "x"]))}:${anyJson(random)}`,
  );
  let body: Buffer = Buffer.from(random.chance(0.85) ? `{${members.join(",")}}` : anyJson(random));
  if (random.chance(0.2)) body = mutate(random, body);
  // What tells what went wrong stays on, and what costs a line each stays off.
  if (/log_error|log_verbose/.test(body.toString())) body = Buffer.from("{}");
  await ask(target, { method: "POST", path, parts: inParts(random, body) });
};

/** A queue may be full, and what an output is asked to be its type may not allow. */
function mayBe({ status, body }: HttpAnswer): boolean {
  return status === 503 || /sending FP16 data via JSON|class result not available/.test(body.toString());
}

/** Sound requests, so that broken ones come between them. */
export const soundRequests: FuzzCase = async (random, target) => {
  const model = random.from(statelessModels);
  const { headers, body } = inferBody(random, model, sound);
  const answer = await ask(target, { method: "POST", path: `/v2/models/${model.name}/infer`, headers, parts: inParts(random, body) });
  if (answer.status !== 200 && !mayBe(answer)) {
    throw new Wrong(
      `a sound request of '${model.name}' got ${answer.status}: ${answer.body.toString().slice(0, 500)}\n  body: ${shown(body)}`,
    );
  }
};
