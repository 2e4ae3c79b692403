import { writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { nearestKey } from "../../src/known-keys.ts";
import { readConfig } from "../../src/cli/config.ts";
import { makeFolder, removeFolder } from "./support.ts";

let folder: string;
let file: string;
let shown: string;

beforeAll(async () => {
  folder = await makeFolder();
  file = join(folder, "servable.yaml");
  shown = relative(process.cwd(), file);
});
afterAll(() => removeFolder(folder));

async function read(text: string): ReturnType<typeof readConfig> {
  await writeFile(file, text);
  return readConfig(file);
}

describe("readConfig", () => {
  test("reads every key, and takes paths from where the file is", async () => {
    const config = await read(`
services:
  - module: ./double.ts
    export: double
    arguments: [1, { a: null }]
    policy: { placement: thread, workers: 2, concurrency: 3, queue: 0, deadlineMs: 5, maxBodyBytes: 6 }
  - module: /elsewhere/other.ts
http:
  host: "::1"
  port: 0
  tokenFile: tokens
  allowUnauthenticated: false
  tls: { certFile: cert.pem, keyFile: ../key.pem }
  corsOrigins: ["https://example.com", "*"]
  page: false
  graceMs: 10
log: { level: warn, format: json }
`);
    expect(config).toEqual({
      services: [
        {
          module: join(folder, "double.ts"),
          export: "double",
          arguments: [1, { a: null }],
          policy: { placement: "thread", workers: 2, concurrency: 3, queue: 0, deadlineMs: 5, maxBodyBytes: 6 },
        },
        { module: "/elsewhere/other.ts" },
      ],
      http: {
        host: "::1",
        port: 0,
        tokenFile: join(folder, "tokens"),
        allowUnauthenticated: false,
        tls: { certFile: join(folder, "cert.pem"), keyFile: join(folder, "..", "key.pem") },
        corsOrigins: ["https://example.com", "*"],
        page: false,
        graceMs: 10,
      },
      log: { level: "warn", format: "json" },
    });
  });

  test("needs no more than one module, and reads JSON, too", async () => {
    expect(await read('{ "services": [{ "module": "a.ts" }] }')).toEqual({
      services: [{ module: join(folder, "a.ts") }],
      http: {},
      log: {},
    });
  });

  const one = "services: [{ module: a.ts }]\n";
  test.each([
    ["a key with a slip", `${one}http:\n  prot: 1\n`, "3:3: there is no key http.prot; did you mean http.port?"],
    [
      "a key in another spelling",
      `${one}http:\n  token-file: a\n`,
      '3:3: there is no key http["token-file"]; did you mean http.tokenFile?',
    ],
    [
      "a key of a service",
      "services:\n  - modul: a.ts\n    module: b.ts\n",
      "2:5: there is no key services[0].modul; did you mean services[0].module?",
    ],
    [
      "a key of a policy",
      "services:\n  - module: a.ts\n    policy: { queueLength: 1 }\n",
      "3:15: there is no key services[0].policy.queueLength; known there: placement, workers, concurrency, queue, deadlineMs, killAfterMs, stages, devices, batching, maxBodyBytes.",
    ],
    ["a key in the wrong place", `${one}port: 1\n`, "2:1: there is no key port; did you mean http.port?"],
    ["a missing key", "services:\n  - export: a\n", "2:5: services[0].module is missing; it must be a text."],
    ["no services", "http: {}\n", "1:1: services is missing; it must be a list."],
    ["an empty list", "services: []\n", "1:11: services must list at least one service."],
    ["a text for a number", `${one}http: { port: "80" }\n`, "2:15: http.port must be a number, not a text."],
    ["a fraction", `${one}http: { graceMs: 1.5 }\n`, "2:18: http.graceMs must be a whole number, not a number."],
    ["a number that is too large", `${one}http: { port: 65536 }\n`, "2:15: http.port must be at most 65535; it is 65536."],
    [
      "a number that is too small",
      "services: [{ module: a.ts, policy: { workers: 0 } }]\n",
      "1:47: services[0].policy.workers must be at least 1; it is 0.",
    ],
    ["a strange choice", `${one}log: { level: loud }\n`, '2:15: log.level must be one of debug, info, warn, error, silent; it is "loud".'],
    [
      "an origin with a path",
      `${one}http: { corsOrigins: ["https://a.b/c"] }\n`,
      "2:23: http.corsOrigins[0] must be an origin such as https://example.com, or *.",
    ],
    ["half of TLS", `${one}http: { tls: { certFile: a } }\n`, "2:14: http.tls.keyFile is missing; it must be a text."],
    ["a text for a service", "services: [a.ts]\n", "1:12: services[0] must be an object with keys, not a text."],
    ["an empty file", "", "1:1: the file must be an object with keys, not empty."],
    [
      "two mistakes, the key before the value",
      `log: { level: loud }\n${one}aa: 1\n`,
      /:3:1: there is no key aa; .* \(and 1 more mistake\)$/,
    ],
    ["a repeated key", `${one}services: []\n`, "2:1 is not valid YAML: Map keys must be unique"],
    ["an open bracket", "services: [\n", /^.*:2:1 is not valid YAML: .*\]/],
  ])("says where it finds %s", async (_what, text, message) => {
    const error = await read(text).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "invalid_config",
      message: typeof message === "string" ? `${shown}:${message}` : expect.stringMatching(message),
    });
  });

  test("says that there is no such file", async () => {
    await expect(readConfig(join(folder, "none.yaml"))).rejects.toMatchObject({
      code: "invalid_config",
      message: expect.stringMatching(/none\.yaml can't be read: there is no such file/),
    });
  });
});

describe("nearestKey", () => {
  test.each([
    ["prot", "port"],
    ["Port", "port"],
    ["max_body_bytes", "maxBodyBytes"],
    ["concurency", "concurrency"],
    ["x", undefined],
    ["hostname", undefined],
  ])("for %s gives %s", (key, near) => {
    expect(nearestKey(key, ["host", "port", "maxBodyBytes", "concurrency"])).toBe(near);
  });
});
