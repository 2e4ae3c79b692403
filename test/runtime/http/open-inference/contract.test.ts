/** The routes and texts of errors that Triton's clients know, row by row. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { addRequest, binaryBody, bytesOf, front, type Fronted } from "./support.ts";

let served: Fronted;
beforeAll(async () => {
  served = await front();
});
afterAll(() => served[Symbol.asyncDispose]());

const shmOff = "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.";

describe("each route takes its methods", () => {
  const get = "GET";
  const post = "POST";
  test.each([
    [get, "/v2", 200],
    [get, "/v2/health/live", 200],
    [get, "/v2/health/ready", 200],
    [get, "/v2/models/add", 200],
    [get, "/v2/models/add/versions/1", 200],
    [get, "/v2/models/add/ready", 200],
    [get, "/v2/models/add/versions/1/ready", 200],
    [get, "/v2/models/add/config", 200],
    [get, "/v2/models/add/versions/1/config", 200],
    [get, "/v2/models/add/stats", 200],
    [get, "/v2/models/add/versions/1/stats", 200],
    [get, "/v2/models/stats", 200],
    [get, "/v2/models/add/trace/setting", 200],
    [post, "/v2/models/add/trace/setting", 200],
    [get, "/v2/trace/setting", 200],
    [post, "/v2/trace/setting", 200],
    [get, "/v2/logging", 200],
    [post, "/v2/logging", 200],
    [post, "/v2/repository/index", 200],
    [post, "/v2/repository/models/add/load", 200],
    [post, "/v2/repository/models/add/unload", 200],
    [get, "/v2/models/add?query=is-passed-over", 200],
    // Wrong methods.
    ["HEAD", "/v2", 405],
    ["HEAD", "/v2/health/live", 405],
    [post, "/v2", 405],
    [post, "/v2/health/live", 405],
    ["DELETE", "/v2/models/add", 405],
    [post, "/v2/models/add/ready", 405],
    [post, "/v2/models/add/config", 405],
    [post, "/v2/models/stats", 405],
    [get, "/v2/models/add/infer", 405],
    ["PUT", "/v2/models/add/infer", 405],
    [get, "/v2/models/add/generate", 405],
    [get, "/v2/models/add/generate_stream", 405],
    ["DELETE", "/v2/models/add/trace/setting", 405],
    ["PATCH", "/v2/logging", 405],
    [get, "/v2/repository/index", 405],
    [get, "/v2/repository/models/add/load", 405],
    [get, "/v2/repository/models/add/unload", 405],
    [post, "/v2/systemsharedmemory/status", 405],
    [get, "/v2/cudasharedmemory/region/r/register", 405],
    // No such path.
    [get, "/", 404],
    [get, "/v2/", 404],
    [get, "/v2/models", 404],
    [get, "/v2/models/", 404],
    [get, "/v2/models/add/", 404],
    [get, "/v2/models/add/versions/abc", 404],
    [get, "/v2/models/add/versions/-1", 404],
    [get, "/v2/models/add/versions/1/", 404],
    [post, "/v2/models/add/infer/", 404],
    [get, "/v2/models/add/versions/1/trace/setting", 404],
    [get, "/v2/models/add/labels", 404],
    [get, "/v2/health", 404],
    [get, "/v2/health/live/", 404],
    [get, "/v1/models/add", 404],
    [get, "/metrics", 404],
    [get, "/V2", 404],
    [get, "/v2/repository/models/add", 404],
    [post, "/v2/repository/models/add/reload", 404],
    [post, "/v2/systemsharedmemory/region/r", 404],
    ["DELETE", "/nowhere", 404],
  ])("%s %s answers %i", async (method, path, status) => {
    const answer = await fetch(served.url + path, { method });
    const body = await answer.text();
    expect(answer.status).toBe(status);
    if (status === 200) return;
    expect(answer.headers.get("content-type")).toBe("text/plain");
    const text = status === 404 ? "Not Found" : "Method Not Allowed";
    expect(body).toBe(method === "HEAD" ? "" : JSON.stringify({ error: text }));
  });

  test("a path is matched as it came, undecoded", async () => {
    expect((await fetch(`${served.url}/v2/models/%61dd`)).status).toBe(404);
    expect((await fetch(`${served.url}/%76%32`)).status).toBe(404);
    expect((await fetch(`${served.url}/v2/models/%zz`)).status).toBe(404);
    expect((await fetch(`${served.url}/v2/models/${"a".repeat(5_000)}`)).status).toBe(404);
  });
});

interface Row {
  readonly name: string;
  readonly method?: string;
  readonly path: string;
  readonly body?: string | Uint8Array;
  readonly headers?: Record<string, string>;
  readonly status: number;
  readonly error: string | RegExp;
}

const input = (more: object): string => JSON.stringify({ inputs: [{ name: "INPUT", datatype: "FP32", shape: [2], ...more }] });
const echo = "/v2/models/echo/infer";
const half = binaryBody({ inputs: [{ name: "INPUT", datatype: "FP32", shape: [2], parameters: { binary_data_size: 8 } }] }, bytesOf(1));
const surplus = binaryBody(
  { inputs: [{ name: "INPUT", datatype: "FP32", shape: [2], parameters: { binary_data_size: 8 } }] },
  bytesOf(1, 2, 3),
);

const rows: readonly Row[] = [
  {
    name: "unknown model, metadata",
    method: "GET",
    path: "/v2/models/nobody",
    status: 404,
    error: "Request for unknown model: 'nobody' is not found",
  },
  {
    name: "unknown model, ready",
    method: "GET",
    path: "/v2/models/nobody/ready",
    status: 404,
    error: "Request for unknown model: 'nobody' is not found",
  },
  { name: "model not ready", method: "GET", path: "/v2/models/loading/ready", status: 400, error: "Model version not ready" },
  { name: "unknown model, infer", path: "/v2/models/nobody/infer", status: 404, error: "Request for unknown model: 'nobody' is not found" },
  {
    name: "unknown version",
    path: "/v2/models/add/versions/7/infer",
    status: 404,
    error: "Request for unknown model: 'add' version 7 is not found",
  },
  {
    name: "statistics of an unknown model",
    method: "GET",
    path: "/v2/models/nobody/stats",
    status: 400,
    error: "requested model 'nobody' is not available",
  },
  {
    name: "decoupled model",
    path: "/v2/models/words/infer",
    status: 501,
    error: "HTTP end point doesn't support models with decoupled transaction policy",
  },
  { name: "no JSON at all", path: echo, body: "{", status: 500, error: /^failed to parse the request JSON buffer: / },
  {
    name: "no inputs",
    path: echo,
    body: "{}",
    status: 500,
    error: "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'",
  },
  {
    name: "a text where a number is wanted",
    path: echo,
    body: input({ data: ["a", 1] }),
    status: 500,
    error: "Unable to parse 'data': attempt to access JSON non-number as double",
  },
  {
    name: "more data than the shape",
    path: echo,
    body: input({ data: [1, 2, 3] }),
    status: 500,
    error: "Unable to parse 'data': Shape does not match true shape of 'data' field",
  },
  {
    name: "less data than the shape",
    path: echo,
    body: input({ data: [1] }),
    status: 500,
    error: "Failed to parse 'data' field: shape does not match true shape",
  },
  {
    name: "a negative dimension",
    path: echo,
    body: input({ shape: [-1], data: [1] }),
    status: 500,
    error: "Unable to parse 'shape': attempt to access JSON non-unsigned-integer as unsigned-integer",
  },
  { name: "an id that is a number", path: echo, body: '{"id":1,"inputs":[]}', status: 500, error: /^Unable to parse 'id'/ },
  {
    name: "a reserved parameter",
    path: echo,
    body: '{"parameters":{"triton_x":1},"inputs":[]}',
    status: 400,
    error: "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.",
  },
  {
    name: "a binary body that is too short",
    path: echo,
    ...half,
    status: 400,
    error: "unexpected size for input 'INPUT', expecting 4 additional bytes for model 'echo'",
  },
  {
    name: "a binary body that is too long",
    path: echo,
    ...surplus,
    status: 400,
    error: "unexpected additional input data for model 'echo'",
  },
  {
    name: "a header length that is none",
    path: echo,
    body: "{}",
    headers: { "inference-header-content-length": "abc" },
    status: 400,
    error: "Unable to parse Inference-Header-Content-Length, got: abc",
  },
  {
    name: "a header length past the body",
    path: echo,
    body: "{}",
    headers: { "inference-header-content-length": "3" },
    status: 400,
    error: "inference header size should be in range (0, 2), got: 3",
  },
  {
    name: "a header length that overflows",
    path: echo,
    body: "{}",
    headers: { "inference-header-content-length": "99999999999999999999" },
    status: 400,
    error: /exceeds the maximum allowed input size of 67108864 bytes/,
  },
  {
    name: "an unknown compression",
    path: echo,
    body: "{}",
    headers: { "content-encoding": "br" },
    status: 501,
    error: "Unsupported compression type",
  },
  {
    name: "broken gzip",
    path: echo,
    body: "no gzip",
    headers: { "content-encoding": "gzip" },
    status: 400,
    error: "the request body is not valid gzip data",
  },
  { name: "system shared memory, status", method: "GET", path: "/v2/systemsharedmemory/status", status: 501, error: shmOff },
  { name: "system shared memory, one", method: "GET", path: "/v2/systemsharedmemory/region/r/status", status: 501, error: shmOff },
  { name: "system shared memory, register", path: "/v2/systemsharedmemory/region/r/register", status: 501, error: shmOff },
  { name: "system shared memory, unregister", path: "/v2/systemsharedmemory/unregister", status: 501, error: shmOff },
  { name: "cuda shared memory, status", method: "GET", path: "/v2/cudasharedmemory/status", status: 501, error: shmOff },
  { name: "cuda shared memory, register", path: "/v2/cudasharedmemory/region/r/register", status: 501, error: shmOff },
  { name: "cuda shared memory, unregister", path: "/v2/cudasharedmemory/region/r/unregister", status: 501, error: shmOff },
  {
    name: "a repository's name, index",
    path: "/v2/repository/mine/index",
    status: 501,
    error: "'repository_name' specification is not supported",
  },
  {
    name: "a repository's name, load",
    path: "/v2/repository/mine/models/add/load",
    status: 501,
    error: "'repository_name' specification is not supported",
  },
  {
    name: "load of a missing model",
    path: "/v2/repository/models/nobody/load",
    status: 500,
    error: "failed to load 'nobody', failed to poll from model repository",
  },
  {
    name: "a parameter of load that there is not",
    path: "/v2/repository/models/add/load",
    body: '{"parameters":{"else":"x"}}',
    status: 500,
    error: "unexpected error on creating Triton parameter",
  },
  {
    name: "a configuration that is no text",
    path: "/v2/repository/models/add/load",
    body: '{"parameters":{"config":{}}}',
    status: 500,
    error: "attempt to access JSON non-string as string",
  },
  {
    name: "a wrong unload_dependents",
    path: "/v2/repository/models/add/unload",
    body: '{"parameters":{"unload_dependents":"yes"}}',
    status: 500,
    error: "Unable to parse 'unload_dependents': attempt to access JSON non-boolean as boolean",
  },
  {
    name: "an index of broken JSON",
    path: "/v2/repository/index",
    body: "{",
    status: 500,
    error: /^failed to parse the request JSON buffer: /,
  },
  {
    name: "tracing of an unknown model",
    method: "GET",
    path: "/v2/models/nobody/trace/setting",
    status: 404,
    error: "Request for unknown model: 'nobody' is not found",
  },
  {
    name: "a level of tracing that is no list",
    path: "/v2/trace/setting",
    body: '{"trace_level":"OFF"}',
    status: 500,
    error: "attempt to access JSON non-array as array",
  },
  {
    name: "a log setting of the wrong kind",
    path: "/v2/logging",
    body: '{"log_info":1}',
    status: 500,
    error: "attempt to access JSON non-boolean as boolean",
  },
];

describe("each error has its status and its text", () => {
  test.each(rows)("$name", async ({ method = "POST", path, body = "", headers = {}, status, error }) => {
    const answer = await fetch(served.url + path, { method, headers, ...(method === "POST" && { body }) });
    const parsed = (await answer.json()) as { readonly error: string };
    expect({ status: answer.status, ...parsed }).toEqual({
      status,
      error: typeof error === "string" ? error : (expect.stringMatching(error) as string),
    });
    expect(answer.headers.get("content-type")).toBe("application/json");
  });

  test("an unknown compression is told which ones there are", async () => {
    const answer = await served.post(echo, "{}", { "content-encoding": "zstd" });
    expect(answer.headers.get("accept-encoding")).toBe("gzip, deflate");
  });

  test("none of them leaves a request behind", () => {
    for (const model of served.plane.models.values()) expect(model.inside).toBe(0);
  });
});

describe("what there is to read", () => {
  test("health has an empty body; not ready is 400", async () => {
    await using other = await front();
    expect(await (await fetch(`${other.url}/v2/health/ready`)).text()).toBe("");
    other.plane.isReady = false;
    const answer = await fetch(`${other.url}/v2/health/ready`);
    expect([answer.status, await answer.text()]).toEqual([400, ""]);
    expect((await fetch(`${other.url}/v2/health/live`)).status).toBe(200);
  });

  test("the server's metadata", async () => {
    expect(await (await fetch(`${served.url}/v2`)).json()).toEqual(served.plane.serverMetadata);
  });

  test("a model's metadata", async () => {
    expect(await (await fetch(`${served.url}/v2/models/echo`)).json()).toEqual({
      name: "echo",
      versions: ["1"],
      platform: "typescript",
      inputs: [{ name: "INPUT", datatype: "FP32", shape: [-1] }],
      outputs: [],
    });
  });

  test("a model's configuration, under the names of the proto, defaults included", async () => {
    const config = (await (await fetch(`${served.url}/v2/models/echo/config`)).json()) as Record<string, unknown>;
    expect(config).toMatchObject({ name: "echo", backend: "typescript", max_batch_size: 0, instance_group: [] });
    expect(config.input).toMatchObject([{ name: "INPUT", data_type: "TYPE_FP32", dims: [-1], allow_ragged_batch: false }]);
  });

  test("statistics of one model, of one version, of all", async () => {
    await served.post("/v2/models/add/infer", addRequest([1], [2]));
    const read = async (path: string): Promise<readonly Record<string, unknown>[]> =>
      ((await (await fetch(served.url + path)).json()) as { readonly model_stats: readonly Record<string, unknown>[] }).model_stats;
    expect(await read("/v2/models/add/stats")).toMatchObject([
      { name: "add", version: "1", inference_stats: { cache_miss: { count: 0, ns: 0 } } },
    ]);
    expect(await read("/v2/models/add/versions/1/stats")).toMatchObject([{ name: "add", version: "1" }]);
    expect((await read("/v2/models/stats")).length).toBe(served.plane.models.size);
  });

  test("settings are read, changed, and answered as they then are", async () => {
    const trace = { trace_level: ["OFF"], trace_rate: "1000", trace_count: "-1", log_frequency: "0", trace_file: "", trace_mode: "triton" };
    expect(await (await fetch(`${served.url}/v2/trace/setting`)).json()).toEqual(trace);
    const changed = await served.post("/v2/trace/setting", '{"trace_level":["TIMESTAMPS"],"trace_rate":"5","trace_count":null,"else":1}');
    expect(await changed.json()).toEqual({ ...trace, trace_level: ["TIMESTAMPS"], trace_rate: "5" });
    expect(served.plane.asked.at(-1)).toEqual(["trace", "", { trace_level: ["TIMESTAMPS"], trace_rate: ["5"], trace_count: null }]);
    const logging = await served.post("/v2/logging", '{"log_verbose_level":2,"log_info":null}');
    expect(await logging.json()).toMatchObject({ log_info: true, log_verbose_level: 2, log_format: "default" });
  });

  test("the repository's index, loads with overrides, unloads", async () => {
    const index = await served.post("/v2/repository/index", '{"ready":true}');
    expect(await index.json()).toContainEqual({ name: "add", version: "1", state: "READY" });
    expect(served.plane.asked.at(-1)).toEqual(["index", true]);
    const file = Buffer.from("the model").toString("base64");
    const load = await served.post(
      "/v2/repository/models/add/load",
      JSON.stringify({ parameters: { config: "{}", "file:1/model.ts": file } }),
    );
    expect([load.status, await load.text()]).toEqual([200, ""]);
    expect(served.plane.asked.at(-1)).toEqual(["load", "add", "{}", [["1/model.ts", "the model"]]]);
    const unload = await served.post("/v2/repository/models/nobody/unload", '{"parameters":{"unload_dependents":true}}');
    expect([unload.status, await unload.text()]).toEqual([200, ""]);
    expect(served.plane.asked.at(-1)).toEqual(["unload", "nobody", true]);
  });
});
