/**
 * What a client takes for accepted when a model server is asked to end is answered. The server's process is stopped meanwhile, so that what the system has
 * taken and the process has not seen yet, the request to end last of all, is the same in every run.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import * as messages from "../../src/protocol/grpc/generated/messages.js";
import { frameOf, openSession, type ByteCall } from "../support/grpc-bytes.ts";
import { identityModel } from "../support/onnx-writer.ts";
import { openRaw, type RawConnection } from "../support/serving.ts";
import { Server, makeFolder, post, removeFolder, unseen, untilExists } from "./support.ts";

const count = 16;
let folder: string;
let server: Server;

beforeAll(async () => {
  folder = await makeFolder();
  await mkdir(join(folder, "models", "echo", "1"), { recursive: true });
  await writeFile(join(folder, "models", "echo", "1", "model.onnx"), identityModel("FP32", ["n", 2]));
});
afterEach(async () => {
  server.child.kill("SIGCONT");
  await server.stop();
});
afterAll(() => removeFolder(folder));

/** Starts a server. @returns the port of one of its wires */
async function start(wire: "HTTPService" | "GRPCInferenceService"): Promise<number> {
  server = new Server(["models", "--model-repository", join(folder, "models"), "--http-port=0", "--grpc-port=0", "--metrics-port=0"]);
  await server.until(() => server.log.some(({ msg }) => String(msg).startsWith("Started Metrics")));
  const line = server.log.find(({ msg }) => String(msg).startsWith(`Started ${wire}`));
  return Number(String(line?.msg).split(":").at(-1));
}

const body = JSON.stringify({ inputs: [{ name: "x", datatype: "FP32", shape: [1, 2], data: [1, 2] }] });
const head = `POST /v2/models/echo/infer HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n`;
const statusOf = (text: string): string => (text === "" ? "none" : text.slice("HTTP/1.1 ".length, "HTTP/1.1 200".length));

async function connections(port: number): Promise<readonly RawConnection[]> {
  return Promise.all(Array.from({ length: count }, () => openRaw(port)));
}

async function statuses(open: readonly RawConnection[], from: readonly number[] = []): Promise<readonly string[]> {
  return Promise.all(open.map(async ({ closed }, index) => statusOf((await closed).slice(from[index] ?? 0))));
}

const all = (answer: string): readonly string[] => Array.from({ length: count }, () => answer);

/** Asks it to end, and waits until it has begun to. */
async function askToEnd(): Promise<void> {
  server.child.kill("SIGTERM");
  await server.until(() => server.log.some(({ msg }) => String(msg).startsWith("stopping")));
}

describe.runIf(process.platform === "linux")("what no server has seen yet", () => {
  test("requests on connections that nobody has taken out of the system's hands", async () => {
    const port = await start("HTTPService");
    let open: readonly RawConnection[] = [];
    await unseen(server, async () => {
      open = await connections(port);
      for (const connection of open) connection.write(head + body);
    });
    expect(await statuses(open)).toEqual(all("200"));
    expect(await server.exited).toBe(0);
  });

  test("requests on connections that were idle", async () => {
    const port = await start("HTTPService");
    const open = await connections(port);
    for (const connection of open) connection.write(head + body);
    await server.until(() => open.every(({ received }) => received().endsWith("}")));
    const before = open.map(({ received }) => received().length);
    await unseen(server, () => {
      for (const connection of open) connection.write(head + body);
    });
    expect(await statuses(open, before)).toEqual(all("200"));
    expect(await server.exited).toBe(0);
  });

  test("calls over gRPC", async () => {
    const port = await start("GRPCInferenceService");
    using session = await openSession(port);
    let calls: readonly ByteCall[] = [];
    await unseen(server, async () => {
      calls = Array.from({ length: count }, () => session.call(path));
      for (const { stream } of calls) stream.end(frame);
      await session.sent();
    });
    expect(await Promise.all(calls.map(({ status }) => status))).toEqual(all("0"));
    expect(await server.exited).toBe(0);
  });
});

describe("what has only begun to come", () => {
  test.each([
    ["the head of a request", 30],
    ["the body of a request", head.length + 10],
  ])("%s", async (_what, cut) => {
    const port = await start("HTTPService");
    const open = await connections(port);
    for (const connection of open) connection.write((head + body).slice(0, cut));
    // It answers one that came later, so it has seen the others.
    await server.until(async () => (await fetch(`http://127.0.0.1:${port}/v2/health/ready`, { headers: { connection: "close" } })).ok);
    await askToEnd();
    for (const connection of open) connection.write((head + body).slice(cut));
    expect(await statuses(open)).toEqual(all("200"));
    expect(await server.exited).toBe(0);
  });

  test("the message of a call over gRPC", async () => {
    const port = await start("GRPCInferenceService");
    using session = await openSession(port);
    const calls = Array.from({ length: count }, () => session.call(path));
    for (const { stream } of calls) stream.write(frame.subarray(0, 12));
    await session.ping();
    await askToEnd();
    for (const { stream } of calls) stream.end(frame.subarray(12));
    expect(await Promise.all(calls.map(({ status }) => status))).toEqual(all("0"));
    expect(await server.exited).toBe(0);
  });
});

test("a client that says nothing more does not hold up the end", async () => {
  const port = await start("HTTPService");
  const open = await connections(port);
  for (const connection of open.slice(1)) connection.write(head.slice(0, 30));
  await askToEnd();
  expect(await server.exited).toBe(0);
  expect(await statuses(open)).toEqual(all("none"));
});

describe("what is in the middle of a run", () => {
  beforeAll(async () => {
    await mkdir(join(folder, "sleepy", "sleep", "1"), { recursive: true });
    await writeFile(
      join(folder, "sleepy", "sleep", "1", "model.ts"),
      `import { writeFileSync } from "node:fs";
      import { setTimeout as pause } from "node:timers/promises";
      import { defineModel } from "servable/server";
      const x = { dataType: "INT32", dims: [1] } as const;
      export default defineModel({
        inputs: { x },
        outputs: { x },
        async run({ x }) {
          writeFileSync(${JSON.stringify(join(folder, "begun"))}, "");
          await pause(x.data[0]);
          return { x };
        },
      });`,
    );
  });

  /** Has a server end, with that much time, while a request of that length runs. */
  async function endDuring(flags: readonly string[], runMs: number): Promise<{ readonly status: number; readonly endMs: number }> {
    await rm(join(folder, "begun"), { force: true });
    server = new Server([
      "models",
      "--model-repository",
      join(folder, "sleepy"),
      "--http-port=0",
      "--allow-grpc=0",
      "--allow-metrics=off",
      ...flags,
    ]);
    await server.until(() => server.log.some(({ msg }) => String(msg).startsWith("Started HTTPService")));
    const url = String(server.log.find(({ msg }) => String(msg).startsWith("Started HTTPService"))?.url);
    const answer = post(`${url}/v2/models/sleep/infer`, { inputs: [{ name: "x", datatype: "INT32", shape: [1], data: [runMs] }] });
    await untilExists(join(folder, "begun"), server);
    const since = performance.now();
    server.child.kill("SIGTERM");
    const { status } = await answer;
    await server.exited;
    return { status, endMs: performance.now() - since };
  }

  test("has --exit-timeout-secs to end", async () => {
    const { status, endMs } = await endDuring(["--exit-timeout-secs=20"], 1_500);
    expect([status, await server.exited]).toEqual([200, 0]);
    expect(endMs).toBeLessThan(15_000);
  });

  test.each([
    ["--exit-timeout-secs=1", 1_000],
    ["--exit-timeout-secs=0", 0],
  ])("is left behind after %s", async (flag, leastMs) => {
    const { status, endMs } = await endDuring([flag], 600_000);
    expect([status, await server.exited]).toEqual([503, "SIGKILL"]);
    expect(server.log.at(-1)).toMatchObject({ services: ["sleep"], msg: "requests still ran when the grace time was over" });
    expect(endMs).toBeGreaterThanOrEqual(leastMs);
    expect(endMs).toBeLessThan(leastMs + 8_000);
  });
});

const path = "/inference.GRPCInferenceService/ModelInfer";
const message = messages.inference.ModelInferRequest.encode({
  modelName: "echo",
  inputs: [{ name: "x", datatype: "FP32", shape: [1, 2], contents: { fp32Contents: [1, 2] } }],
}).finish();
const frame = frameOf(message);
