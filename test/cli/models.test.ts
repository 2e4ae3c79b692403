import { copyFile, cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Caller, messages } from "../grpc/calling.ts";
import { identityModel } from "../support/onnx-writer.ts";
import { Server, makeFolder, post, removeFolder, runCli } from "./support.ts";

let folder: string;
let good: string;
let broken: string;
let server: Server | undefined;

beforeAll(async () => {
  folder = await makeFolder();
  good = join(folder, "good");
  broken = join(folder, "broken");
  await mkdir(join(good, "echo", "1"), { recursive: true });
  await mkdir(join(broken, "cut", "1"), { recursive: true });
  const model = identityModel("FP32", ["n", 2]);
  await writeFile(join(good, "echo", "1", "model.onnx"), model);
  await writeFile(join(broken, "cut", "1", "model.onnx"), model.subarray(0, model.length / 2));
  await mkdir(join(broken, "echo", "1"), { recursive: true });
  await writeFile(join(broken, "echo", "1", "model.onnx"), model);
});
afterEach(async () => {
  await server?.stop();
  server = undefined;
});
afterAll(() => removeFolder(folder));

const anyPorts = ["--http-port=0", "--grpc-port", "0", "--metrics-port=0"];

/** Where a front listens, from its start line. */
function startedAt(line: string): Promise<string> {
  if (server === undefined) throw new Error("nothing was started");
  const { log, until } = { log: () => server?.log ?? [], until: server.until.bind(server) };
  return until(() => {
    const message = log().find(({ msg }) => typeof msg === "string" && msg.startsWith(line))?.msg;
    return typeof message === "string" ? message.slice(line.length + 1) : undefined;
  });
}

const request = { inputs: [{ name: "x", datatype: "FP32", shape: [1, 2], data: [1, 2] }] };

describe("servable models", () => {
  test("serves a repository over HTTP and gRPC, with metrics, and ends with 0 at SIGTERM", async () => {
    const temporary = join(folder, "temporary");
    await mkdir(temporary);
    server = new Server(["models", `--model-repository=${good}`, ...anyPorts], { env: { TMPDIR: temporary } });
    const [http, grpc, metrics] = await Promise.all([
      startedAt("Started HTTPService at"),
      startedAt("Started GRPCInferenceService at"),
      startedAt("Started Metrics Service at"),
    ]);
    for (const address of [http, grpc, metrics]) expect(address).toMatch(/^127\.0\.0\.1:\d+$/);
    expect((await fetch(`http://${http}/v2/health/ready`)).status).toBe(200);
    const answer = await post(`http://${http}/v2/models/echo/infer`, request);
    expect(answer).toMatchObject({ status: 200, body: { model_name: "echo", model_version: "1", outputs: [{ name: "y", data: [1, 2] }] } });
    await server.until(async () =>
      (await (await fetch(`http://${metrics}/metrics`)).text()).includes('nv_inference_request_success{model="echo",version="1"} 1'),
    );
    const [host = "", port = ""] = grpc.split(":");
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), host, () => {
        socket.destroy();
        resolve();
      });
    });
    server.child.kill("SIGTERM");
    expect(await server.exited).toBe(0);
    await expect(fetch(`http://${http}/v2`)).rejects.toThrow();
    expect(server.stderr).toBe("");
    // Nothing of its own, and nothing of onnxruntime's telemetry, which keeps its books there.
    expect(await readdir(temporary)).toEqual([]);
  });

  test("ends at SIGTERM also where nobody reads its log any more", async () => {
    server = new Server(["models", `--model-repository=${good}`, ...anyPorts]);
    await startedAt("Started Metrics Service at");
    server.child.stdout?.destroy();
    server.child.kill("SIGTERM");
    expect(await server.exited).toBe(0);
  }, 15_000);

  test("fronts that are not allowed do not listen; flags are told that have no effect", async () => {
    server = new Server([
      "models",
      ...["--model-repository", good, "--http-port", "0", "--allow-grpc=false", "--allow-metrics", "0"],
      ...["--http-thread-count=8", "--pinned-memory-pool-byte-size", "268435456", "--id=mine"],
    ]);
    const http = await startedAt("Started HTTPService at");
    expect(await (await fetch(`http://${http}/v2`)).json()).toMatchObject({ name: "mine" });
    const messages = server.log.map(({ msg }) => msg);
    expect(messages.filter((text) => String(text).startsWith("Started"))).toHaveLength(1);
    expect(server.log).toContainEqual(
      expect.objectContaining({ flags: ["--http-thread-count", "--pinned-memory-pool-byte-size"], msg: "these flags have no effect here" }),
    );
  });

  test("what flags of tritonserver do", async () => {
    const file = join(folder, "server.log");
    await mkdir(join(good, "echo", "configs"), { recursive: true });
    const other = `input { name: "x" data_type: TYPE_FP32 dims: [ -1, 2 ] } output { name: "y" data_type: TYPE_FP32 dims: [ -1, 2 ] }`;
    await writeFile(join(good, "echo", "configs", "whole.pbtxt"), other);
    server = new Server([
      "models",
      ...[`--model-repository=${good}`, "--model-config-name=whole", `--log-file=${file}`, ...anyPorts],
      ...["--grpc-restricted-protocol=health:key=value", "--http-restricted-api=statistics:who=me"],
      ...["--backend-config=python,shm-default-byte-size=1", "--trace-config=level=OFF", "--host-policy=a,numa-node=0"],
    ]);
    const lines = await server.until(async () => {
      const text = await readFile(file, "utf8").catch(() => "");
      return text.includes("Started Metrics Service at") && text.includes("Started HTTPService at") ? text.trim().split("\n") : undefined;
    });
    expect(server.log).toEqual([]);
    const log = lines.map(
      (line) => JSON.parse(line) as { readonly msg: string; readonly url?: string; readonly flags?: readonly string[] },
    );
    expect(log.find(({ flags }) => flags !== undefined)?.flags?.toSorted()).toEqual([
      "--backend-config=python,shm-default-byte-size=1",
      "--host-policy",
      "--trace-config",
    ]);
    const http = log.find(({ msg }) => msg.startsWith("Started HTTPService"))?.url;
    // With its usual configuration, which is made up from the model, it would have batches.
    expect(await (await fetch(`${http}/v2/models/echo/config`)).json()).toMatchObject({ max_batch_size: 0 });
    const asked = (headers: Record<string, string>) => fetch(`${http}/v2/models/stats`, { headers });
    expect([(await asked({})).status, (await asked({ who: "me" })).status]).toEqual([403, 200]);
    const grpc = log.find(({ msg }) => msg.startsWith("Started GRPCInferenceService"))?.url ?? "";
    using caller = new Caller(grpc);
    const { ServerLiveRequest, ServerLiveResponse } = messages.inference;
    const live = (metadata: Record<string, string>) =>
      caller.unary("/inference.GRPCInferenceService/ServerLive", ServerLiveRequest, ServerLiveResponse, {}, { metadata });
    expect(await live({})).toMatchObject({
      code: 14,
      details: "This protocol is restricted, expecting header 'triton-grpc-protocol-key'",
    });
    expect((await live({ "triton-grpc-protocol-key": "value" })).message?.live).toBe(true);
  });

  test("a model that does not load ends it with 1", async () => {
    const { code, stderr, stdout } = await runCli(["models", "--model-repository", broken, ...anyPorts]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^servable: .*'cut'/);
    expect(stdout).not.toContain("Started");
  });

  test("or, where that is asked for, the others are served, and the server is not ready", async () => {
    server = new Server(["models", "--model-repository", broken, "--exit-on-error=false", ...anyPorts]);
    const http = await startedAt("Started HTTPService at");
    expect((await fetch(`http://${http}/v2/health/live`)).status).toBe(200);
    expect((await fetch(`http://${http}/v2/health/ready`)).status).toBe(400);
    expect((await post(`http://${http}/v2/models/echo/infer`, request)).status).toBe(200);
    expect((await post(`http://${http}/v2/models/cut/infer`, request)).status).not.toBe(200);
  });

  test.each([
    ["--strict-readiness=true", 400],
    ["--strict-readiness=false", 200],
  ])("%s: whether it is ready without a model that did not load", async (flag, status) => {
    server = new Server(["models", "--model-repository", broken, "--exit-on-error=false", flag, ...anyPorts]);
    const http = await startedAt("Started HTTPService at");
    expect((await fetch(`http://${http}/v2/health/ready`)).status).toBe(status);
    expect((await fetch(`http://${http}/v2/models/cut/ready`)).status).not.toBe(200);
    expect((await fetch(`http://${http}/v2/models/echo/ready`)).status).toBe(200);
  });

  test("with --disable-auto-complete-config a model has to say all of itself", async () => {
    const models = join(folder, "written");
    const input = `input { name: "x" data_type: TYPE_FP32 dims: 2 }`;
    const output = `output { name: "y" data_type: TYPE_FP32 dims: 2 }`;
    const texts = {
      bare: undefined,
      "no-input": `max_batch_size: 4 ${output}`,
      "no-output": `max_batch_size: 4 ${input}`,
      "no-type": `max_batch_size: 4 input { name: "x" dims: 2 } ${output}`,
      "no-dims": `max_batch_size: 4 input { name: "x" data_type: TYPE_FP32 } ${output}`,
      "no-batch-size": `${input} ${output}`,
      whole: `max_batch_size: 4 ${input} ${output}`,
    };
    for (const [name, text] of Object.entries(texts)) {
      await mkdir(join(models, name, "1"), { recursive: true });
      await copyFile(join(good, "echo", "1", "model.onnx"), join(models, name, "1", "model.onnx"));
      if (text !== undefined) await writeFile(join(models, name, "config.pbtxt"), `backend: "onnxruntime" ${text}`);
    }
    const flags = ["models", "--model-repository", models, "--disable-auto-complete-config", ...anyPorts];
    const { code, stderr } = await runCli(flags);
    expect(code).toBe(1);
    for (const said of [
      /: failed to load 'bare', failed to poll from model repository: model 'bare' has no config\.pbtxt, and nothing is to be taken from the model itself/,
      /; failed to load 'no-dims', failed to poll from model repository: The configuration of model 'no-dims' is wrong: input\[0\]\.dims: at least one dimension/,
      /; failed to load 'no-type', failed to poll from model repository: The configuration of model 'no-type' is wrong: input\[0\]\.data_type: it must be given/,
      /'no-batch-size': version 1 is at UNAVAILABLE state: .* input\[0\]\.dims: it is \[2\], and the model's is \[-1, 2\]/,
      /'no-input': version 1 is at UNAVAILABLE state: The configuration of model 'no-input' is wrong: input: the model has an input 'x', which is not configured/,
      /'no-output': version 1 is at UNAVAILABLE state: The configuration of model 'no-output' is wrong: output: none is configured, and the model has y/,
    ]) {
      expect(stderr).toMatch(said);
    }
    expect(stderr).not.toContain("'whole'");
    server = new Server([...flags, "--exit-on-error=false"]);
    const http = await startedAt("Started HTTPService at");
    expect((await post(`http://${http}/v2/models/whole/infer`, request)).status).toBe(200);
  });

  test("with --model-control-mode poll a new version is there after --repository-poll-secs", async () => {
    const models = join(folder, "polled");
    await cp(join(good, "echo", "1"), join(models, "echo", "1"), { recursive: true });
    const flags = ["--model-control-mode", "poll", "--repository-poll-secs", "1"];
    server = new Server(["models", `--model-repository=${models}`, ...flags, ...anyPorts]);
    const http = await startedAt("Started HTTPService at");
    const asked = async () => (await post(`http://${http}/v2/models/echo/infer`, request)).body as { readonly model_version?: string };
    expect((await asked()).model_version).toBe("1");
    await cp(join(good, "echo", "1"), join(models, "echo", "2"), { recursive: true });
    const since = performance.now();
    await server.until(async () => (await asked()).model_version === "2");
    // A second, and the time for loading it.
    expect(performance.now() - since).toBeLessThan(10_000);
    await rm(join(models, "echo"), { recursive: true });
    await server.until(async () => (await asked()).model_version === undefined);
    expect((await fetch(`http://${http}/v2/health/ready`)).status).toBe(200);
  });

  test("explicit control loads what it is told, then and later", async () => {
    server = new Server(["models", "--model-repository", good, "--model-control-mode", "explicit", ...anyPorts]);
    const http = await startedAt("Started HTTPService at");
    expect((await post(`http://${http}/v2/models/echo/infer`, request)).status).toBe(404);
    expect((await fetch(`http://${http}/v2/repository/models/echo/load`, { method: "POST" })).status).toBe(200);
    expect((await post(`http://${http}/v2/models/echo/infer`, request)).status).toBe(200);
  });

  test("with memory for it, answers of a model that asks for it are kept", async () => {
    const flags = ["--model-control-mode=explicit", "--cache-config=local,size=1048576"];
    server = new Server(["models", "--model-repository", good, ...flags, ...anyPorts]);
    const http = await startedAt("Started HTTPService at");
    const config = JSON.stringify({ backend: "onnxruntime", response_cache: { enable: true } });
    const loaded = await fetch(`http://${http}/v2/repository/models/echo/load`, {
      method: "POST",
      body: JSON.stringify({ parameters: { config } }),
    });
    expect(loaded.status).toBe(200);
    for (let n = 0; n < 3; n += 1) expect((await post(`http://${http}/v2/models/echo/infer`, request)).status).toBe(200);
    const { model_stats: statistics } = (await (await fetch(`http://${http}/v2/models/echo/stats`)).json()) as {
      readonly model_stats: readonly {
        readonly execution_count: number;
        readonly inference_stats: Record<string, { readonly count: number }>;
      }[];
    };
    expect(statistics[0]?.execution_count).toBe(1);
    expect(statistics[0]?.inference_stats).toMatchObject({ cache_hit: { count: 2 }, cache_miss: { count: 1 } });
  });

  test("a port that is taken is said, and nothing is left running", async () => {
    server = new Server(["models", "--model-repository", good, ...anyPorts]);
    const http = await startedAt("Started HTTPService at");
    const port = http.split(":")[1] ?? "";
    const { code, stderr } = await runCli(["models", "--model-repository", good, "--http-port", port, "--grpc-port=0", "--metrics-port=0"]);
    expect(code).toBe(1);
    expect(stderr).toBe(
      `servable: Port ${port} on 127.0.0.1 is taken by another program. Stop it, or choose another port with --http-port.\n`,
    );
  });
});

describe("flags that are wrong", () => {
  test.each([
    [["--modl-repository", "x"], /unknown option '--modl-repository'.*Did you mean --model-repository/s],
    [["--http-prot=1"], /unknown option '--http-prot=1'.*Did you mean --http-port/s],
    [[], /Say which models to serve: --model-repository <path>/],
    [["--model-repository", "x", "--load-model", "m"], /--load-model needs --model-control-mode explicit/],
    [["--model-repository", "x", "--exit-on-error=maybe"], /It must be true or false/],
    [
      ["--model-repository", "x", "--strict-readiness", "yes"],
      /'--strict-readiness <boolean>' argument 'yes' is invalid. It must be true or false/,
    ],
    [["--model-repository", "x", "--repository-poll-secs=0"], /'--repository-poll-secs <number>' argument '0' is invalid/],
    [["--model-repository", "x", "--exit-timeout-secs", "soon"], /'--exit-timeout-secs <number>' argument 'soon' is invalid/],
    [["--model-repository", "x", "--http-port", "70000"], /whole number from 0 to 65535/],
    [["--model-repository", "x", "--model-control-mode=sometimes"], /Allowed choices are none, poll, explicit/],
    [["--model-repository", "x", "--allow-client-shm=true"], /shares no memory/],
    [["--model-repository", "x", "--http-restricted-api=all:key=value"], /There is no API 'all'/],
    [["--model-repository", "x", "--http-restricted-api=health"], /<header>=<value>/],
    [["--model-repository", "x", "--backend-config=onnxruntime,default-max-batch-size=many"], /whole number, not 'many'/],
    [["--model-repository", "x", "--grpc-restricted-protocol=all:key=value"], /There is no API 'all'/],
    [["--model-repository", "x", "--model-config-name=a b"], /name of a file, without spaces/],
    [["--model-repository", "x", "--allow-sagemaker=true"], /no routes for SageMaker/],
    [["--model-repository", "x", "--cache-config=redis,host=a"], /There is no cache 'redis'; there is 'local'/],
    [["--model-repository", "x", "--cache-config=local,size=much"], /whole number of bytes above 0, not 'much'/],
    [["--model-repository", "x", "--cache-config=1000"], /It must be local,size=<bytes>/],
    [["--model-repository", "x", "--tls-cert=a"], /--tls-cert needs --tls-key/],
    [["--model-repository", "x", "--grpc-use-ssl=true"], /--grpc-server-cert and --grpc-server-key/],
  ])("%j", async (flags, text) => {
    const { code, stderr, stdout } = await runCli(["models", ...flags]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(text);
  });

  test("a log that can't be written is told of on stderr", async () => {
    const { code, stderr, stdout } = await runCli(["models", "--model-repository", good, "--log-file=/no/such/folder/log"]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^servable: The log can't be written to \/no\/such\/folder\/log: /);
  });

  test("a repository that is not there is named", async () => {
    const { code, stderr, stdout } = await runCli(["models", "--model-repository", join(folder, "nowhere")]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^servable: There is no folder .*nowhere; a model repository is a folder of models.*\n$/);
  });

  test("an address off this machine needs a token, or permission", async () => {
    const { code, stderr } = await runCli(["models", "--model-repository", good, "--http-address=0.0.0.0"]);
    expect(code).toBe(1);
    expect(stderr).toContain("--allow-unauthenticated");
  });
});
