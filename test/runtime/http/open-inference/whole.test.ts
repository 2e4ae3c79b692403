/** Requests that come whole go past Fastify and Node's HTTP; cut in two they do not. Both must be answered the same. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRaw, until } from "../../../support/serving.ts";
import { splitAnswers, type RawAnswer } from "../../../support/raw-answers.ts";
import { addRequest, binaryBody, bytesOf, front, type Fronted } from "./support.ts";

const bye = "GET /v2/health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

interface Case {
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
}

const whole = addRequest([1, 2], [10, 20]);
const inputs = [
  { name: "INPUT0", datatype: "FP32", shape: [2], parameters: { binary_data_size: 8 } },
  { name: "INPUT1", datatype: "FP32", shape: [2], parameters: { binary_data_size: 8 } },
];
const binary = binaryBody({ inputs, parameters: { binary_data_output: true } }, bytesOf(1, 2), bytesOf(3, 4));
const add = "/v2/models/add/infer";
const cases: Readonly<Record<string, Case>> = {
  JSON: { path: add, body: whole },
  "JSON, with an id and a query": { path: `${add}?a=b`, headers: { "x-request-id": "mine" }, body: addRequest([1], [2], { id: "ü" }) },
  "of a version": { path: "/v2/models/add/versions/1/infer", body: whole },
  "of a version that there is not": { path: "/v2/models/add/versions/9/infer", body: whole },
  "of nobody": { path: "/v2/models/nobody/infer", body: whole },
  "binary in and out": { path: add, headers: binary.headers, body: binary.body },
  "binary, cut short": { path: add, headers: binary.headers, body: binary.body.subarray(0, binary.body.byteLength - 1) },
  "a header length past the body": { path: add, headers: { "inference-header-content-length": "9999" }, body: whole },
  "a header length that is none": { path: add, headers: { "inference-header-content-length": "x" }, body: whole },
  "packed, in and out": {
    path: add,
    headers: { "content-encoding": "gzip", "accept-encoding": "gzip" },
    body: gzipSync(whole, { level: 1 }),
  },
  "packed, so it says": { path: add, headers: { "content-encoding": "gzip" }, body: whole },
  "an encoding that there is not": { path: add, headers: { "content-encoding": "br" }, body: whole },
  "no JSON": { path: add, body: "{" },
  nothing: { path: add, body: "" },
  "a time of no sense": { path: add, headers: { "x-timeout-ms": "soon" }, body: whole },
  "from another origin": { path: add, headers: { origin: "http://evil.test" }, body: whole },
  "more than is allowed": { path: add, body: `"${"x".repeat(2_000)}"` },
  "a path that there is not": { path: "/v2/models/add/infer/", body: whole },
  "generate, of a model with other inputs": { path: "/v2/models/add/generate", body: "{}" },
};

describe("whole and cut in two", () => {
  let served: Fronted;
  beforeAll(async () => {
    served = await front({ maxInputBytes: 1_000 });
  });
  afterAll(() => served[Symbol.asyncDispose]());

  /** Twice on one connection, with something after it that ends it. */
  async function ask({ path, headers = {}, body }: Case, cut: boolean): Promise<readonly RawAnswer[]> {
    const lines = Object.entries({ host: "x", ...headers, "content-length": String(Buffer.byteLength(body)) });
    const head = `POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
    const bytes = Buffer.concat([Buffer.from(head), Buffer.from(body)]);
    using connection = await openRaw(served.port);
    connection.socket.setNoDelay(true);
    for (const times of [1, 2]) {
      if (cut) {
        connection.write(bytes.subarray(0, 20));
        await pause(5);
      }
      connection.write(cut ? bytes.subarray(20) : bytes);
      await until(() => splitAnswers(connection.received()).length === times, `answer ${times} to ${path}`);
      await pause(5);
    }
    connection.write(bye);
    return splitAnswers(await connection.closed);
  }

  test.each(Object.keys(cases))("%s", async (name) => {
    const answers = await ask(cases[name]!, false);
    expect(answers).toEqual(await ask(cases[name]!, true));
    expect(answers).toHaveLength(3);
    expect(answers[0]).toEqual(answers[1]);
  });
});

test("a whole request of somebody without a token is refused", async () => {
  const folder = mkdtempSync(join(tmpdir(), "servable-whole-"));
  const tokenFile = join(folder, "tokens");
  writeFileSync(tokenFile, "secret\n");
  try {
    await using served = await front({ auth: { tokenFile } });
    using connection = await openRaw(served.port);
    const request = (headers: string): string =>
      `POST ${add} HTTP/1.1\r\nhost: x\r\n${headers}content-length: ${whole.length}\r\n\r\n${whole}`;
    connection.write(request("authorization: Bearer secret\r\n"));
    await until(() => connection.received().includes('"data"'), "the answer");
    connection.write(request("authorization: Bearer other\r\n"));
    connection.write(bye);
    expect(splitAnswers(await connection.closed).map(({ status }) => status.slice(9, 12))).toEqual(["200", "401", "200"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
