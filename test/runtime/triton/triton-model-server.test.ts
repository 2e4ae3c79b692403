import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, readdirSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { OpenInferenceClient } from "servable/client";
import { ServableError, TritonModelServer, makeTritonConfiguration } from "servable/triton";
import { afterAll, describe, expect, test } from "vitest";
import { rawTar, smallArchive } from "../../storage/support.ts";
import { keepLog, type LogLine } from "../../support/serving.ts";
import { identityFiles, lives, prepare, program, until } from "./support.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const x = { shape: [1, 2], data: new Float32Array([1, 2]) };

// A folder for temporary files that nobody else uses: what is left in there can only be of these tests.
const { TMPDIR } = process.env;
const own = mkdtempSync(path.join(tmpdir(), "servable-test-"));
process.env.TMPDIR = own;
afterAll(async () => {
  process.env.TMPDIR = TMPDIR;
  if (TMPDIR === undefined) delete process.env.TMPDIR;
  await rm(own, { recursive: true, force: true });
});

async function failureOf(promise: Promise<unknown>): Promise<ServableError> {
  const thrown: unknown = await promise.then(
    () => new Error("It did not fail."),
    (error: unknown) => error,
  );
  if (ServableError.isInstance(thrown)) return thrown;
  throw thrown;
}

/** The folders of copies that this process, or one of its children, has not deleted. */
function copies(): readonly string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith("servable-triton-"));
}

describe("this package's own server in the place of tritonserver", { timeout: 60_000 }, () => {
  test("starts, infers, and stops with nothing left", async () => {
    await using prepared = await prepare(identityFiles);
    const { server, lines } = prepared;
    expect(server.status).toMatchObject({ state: "unstarted", pid: undefined });
    expect(() => server.url).toThrow(/await start/);
    await server.start();
    const { pid } = server.status;
    expect(server.status).toMatchObject({ state: "ready", server: "servable", restarts: 0 });
    const client = new OpenInferenceClient(server.url);
    const { outputs } = await client.infer("identity", { x });
    expect(outputs.y?.toNested()).toEqual([[1, 2]]);
    expect((await fetch(server.metricsUrl)).status).toBe(200);
    expect(
      lines.some(({ message, fields }) => message === "model loaded" && fields.server === "servable" && fields.model === "identity"),
    ).toBe(true);
    await server.stop();
    await server.stop();
    await server.stopped;
    expect(server.status).toMatchObject({ state: "stopped", pid: undefined });
    expect(lives(pid ?? 0)).toBe(false);
    await expect(server.start()).rejects.toMatchObject({ code: "cancelled" });
  });

  test("a replication is written into a copy, and the copy is gone at the end", async () => {
    const before = copies();
    await using prepared = await prepare(identityFiles, { modelNamesToReplication: { identity: 3 } });
    const { server, folder } = prepared;
    await server.start();
    const config = await new OpenInferenceClient(server.url).modelConfig("identity");
    expect(config.instance_group).toMatchObject([{ count: 3 }]);
    expect(readFileSync(path.join(folder, "models", "identity", "config.pbtxt"), "utf8")).toBe(identityFiles["identity/config.pbtxt"]);
    await server.stop();
    expect(copies().filter((name) => !before.includes(name))).toEqual([]);
  });

  test("rate limiters are written, and heeded", async () => {
    const rateLimiter = { resources: [{ name: "one", count: 1 }], priority: 2 };
    await using prepared = await prepare(identityFiles, {
      modelNamesToReplication: { identity: [{ count: 2, kind: "KIND_CPU", rateLimiter }] },
    });
    const { server } = prepared;
    await server.start();
    const config = await new OpenInferenceClient(server.url).modelConfig("identity");
    expect(config.instance_group).toMatchObject([{ count: 2, rate_limiter: { resources: [{ name: "one", count: 1 }], priority: 2 } }]);
    const flags = readFileSync(`/proc/${server.status.pid ?? 0}/cmdline`, "utf8").split("\0");
    expect(flags).toContain("--rate-limit=execution_count");
  });

  test("one that is killed is started anew, on the same ports", async () => {
    await using prepared = await prepare(identityFiles, { modelNamesToReplication: { identity: 2 } });
    const { server, lines } = prepared;
    await server.start();
    const { url } = server;
    const first = server.status.pid ?? 0;
    process.kill(first, "SIGKILL");
    await until(() => server.status.restarts === 1 && server.status.state === "ready");
    expect(server.url).toBe(url);
    expect(server.status.pid).not.toBe(first);
    expect(server.status.reason).toMatch(/SIGKILL/);
    expect(lines.some(({ level, message }) => level === "error" && message === "servable died; it is started anew")).toBe(true);
    const { outputs } = await new OpenInferenceClient(url).infer("identity", { x });
    expect(outputs.y?.toNested()).toEqual([[1, 2]]);
  });

  test("of models that do not load it tells each one's reason", async () => {
    const files = {
      ...identityFiles,
      "broken/1/model.onnx": "not a model",
      "wrong/config.pbtxt": "max_batch_size: zz",
      "wrong/1/model.onnx": "",
    };
    await using prepared = await prepare(files);
    const failure = await failureOf(prepared.server.start());
    expect(failure.code).toBe("load_failed");
    expect(failure.message).toMatch(/'broken': .*[Pp]rotobuf/);
    expect(failure.message).toMatch(/'wrong': .*'zz' is no int32/);
    expect(failure.details.models).toHaveProperty("broken");
    expect(prepared.server.status).toMatchObject({ state: "failed", pid: undefined });
    await prepared.server.stopped;
  });

  test("an archive is unpacked and served, with its replication", async () => {
    await using prepared = await prepare(identityFiles);
    const models = path.join(prepared.folder, "models");
    const { modelArtifactUri } = await makeTritonConfiguration({ repository: models, storage: path.join(prepared.folder, "store") });
    const server = new TritonModelServer({
      artifact: modelArtifactUri,
      download: { folder: path.join(prepared.folder, "cache") },
      modelNamesToReplication: { identity: 2 },
      binary: "no-such-tritonserver",
      fallback: "servable",
      ports: { http: 0, grpc: 0, metrics: 0 },
      log: keepLog(),
    });
    try {
      await server.start();
      const { outputs } = await new OpenInferenceClient(server.url).infer("identity", { x });
      expect(outputs.y?.toNested()).toEqual([[1, 2]]);
    } finally {
      await server.stop();
    }
  });

  test("a stop in the middle of a start ends it", async () => {
    await using prepared = await prepare(identityFiles);
    const start = failureOf(prepared.server.start());
    await until(() => prepared.lines.some(({ message }) => message === "starting servable"));
    const pid = Number(prepared.lines.find(({ message }) => message === "starting servable")?.fields.pid);
    await prepared.server.stop();
    expect((await start).code).toBe("cancelled");
    expect(lives(pid)).toBe(false);
  });

  test("nothing outlives a process that is killed, and its copy is deleted", async () => {
    await using prepared = await prepare(identityFiles);
    const before = copies();
    const script = `
      import { TritonModelServer } from "servable/triton";
      const server = new TritonModelServer({ artifact: ${JSON.stringify(path.join(prepared.folder, "models"))}, modelNamesToReplication: { identity: 2 },
        binary: "no-such-tritonserver", fallback: "servable", ports: { http: 0, grpc: 0, metrics: 0 } });
      await server.start();
      process.stdout.write("\\nPID " + server.status.pid + "\\n");
      setInterval(() => undefined, 1_000);`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
    try {
      let said = "";
      child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
      await until(() => /^PID \d+$/m.test(said));
      const pid = Number(/^PID (\d+)$/m.exec(said)?.[1]);
      expect(lives(pid)).toBe(true);
      expect(copies().filter((name) => !before.includes(name))).toHaveLength(1);
      // One that is stopped can't notice anything by itself.
      process.kill(pid, "SIGSTOP");
      child.kill("SIGKILL");
      await once(child, "exit");
      await until(() => !lives(pid), 5_000);
      await until(() => copies().every((name) => before.includes(name)), 5_000);
    } finally {
      child.kill("SIGKILL");
    }
  });
});

describe("a server that misbehaves", { timeout: 30_000 }, () => {
  /** Answers as a server that is ready, until it is told to die. */
  const ready = (more = ""): string => `#!${process.execPath}
const { createServer } = require("node:http");
const port = Number(process.argv.find((flag) => flag.startsWith("--http-port=")).slice(12));
${more}
createServer((request, response) => {
  if (request.url === "/die") { console.error("error: out of luck"); process.exit(7); }
  response.end();
}).listen(port, "127.0.0.1");
`;
  /** Has it die, once it is ready, and waits for that. */
  async function die({ server }: Awaited<ReturnType<typeof prepare>>): Promise<void> {
    await until(() => server.status.state === "ready");
    const { pid } = server.status;
    await fetch(`${server.url}/die`).catch(() => undefined);
    await until(() => server.status.pid !== pid);
  }

  async function withProgram(
    script: string,
    run: (prepared: Awaited<ReturnType<typeof prepare>>) => Promise<void>,
    options = {},
  ): Promise<void> {
    const folder = await mkdtemp(path.join(tmpdir(), "servable-test-"));
    try {
      await using prepared = await prepare(identityFiles, { binary: await program(folder, script), fallback: "none", ...options });
      await run(prepared);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  test("exits at once: its last words are the reason", async () => {
    await withProgram("#!/bin/sh\necho 'error: no licence' >&2\nexit 3\n", async ({ server }) => {
      const failure = await failureOf(server.start());
      expect(failure.code).toBe("load_failed");
      expect(failure.message).toMatch(/exit code 3\. Its last error: error: no licence/);
    });
  });

  test.each([
    [{ modelNamesToReplication: { identity: [{ count: 1, rateLimiter: { priority: 1 } }] } }, "--rate-limit=execution_count"],
    [{ rateLimit: "execution_count" }, "--rate-limit=execution_count"],
    [{ modelNamesToReplication: { identity: [{ count: 1, rateLimiter: { priority: 1 } }] }, rateLimit: "off" }, undefined],
    [{ modelNamesToReplication: { identity: 2 } }, undefined],
  ])("is told of rate limiters: %j", async (options, flag) => {
    await withProgram(
      '#!/bin/sh\necho "error: $*" >&2\nexit 3\n',
      async ({ server }) => {
        const { message } = await failureOf(server.start());
        expect(/--rate-limit=\w+/.exec(message)?.[0]).toBe(flag);
      },
      options,
    );
  });

  test("exits without a word, and can't be run at all", async () => {
    await withProgram("#!/bin/sh\nexit 0\n", async ({ server }) => {
      expect((await failureOf(server.start())).message).toMatch(/exit code 0\. It said nothing\./);
    });
    await withProgram("#!/no/such/shell\n", async ({ server }) => {
      expect((await failureOf(server.start())).message).toMatch(/exit code 12[67]/);
    });
  });

  test("hangs in loading: says what was still loading, and is killed with its children", async () => {
    const script = `#!/bin/sh
echo 'I1124 00:19:12.061433 10111 model_lifecycle.cc:472] "loading: slow:1"'
sleep 1000 & echo "child $!"; sleep 1000
`;
    await withProgram(
      script,
      async ({ server, lines }) => {
        const failure = await failureOf(server.start());
        expect(failure.code).toBe("load_failed");
        expect(failure.message).toMatch(/not ready within 1000 ms and was killed\. It is still loading: slow/);
        const child = Number(/\d+/.exec(lines.find(({ message }) => message?.startsWith("child "))?.message ?? "")?.[0]);
        expect(child).toBeGreaterThan(0);
        await until(() => !lives(child), 2_000);
      },
      { startTimeoutMs: 1_000 },
    );
  });

  test("ignores SIGTERM: it is killed after the grace time, which is said", async () => {
    await withProgram(
      ready('process.on("SIGTERM", () => undefined);'),
      async ({ server, lines }) => {
        await server.start();
        const { pid = 0 } = server.status;
        await server.stop();
        expect(lives(pid)).toBe(false);
        expect(server.status.reason).toMatch(/did not end within 300 ms of SIGTERM/);
        expect(lines.some(({ level, message }) => level === "error" && message?.includes("did not end within 300 ms") === true)).toBe(true);
      },
      { graceMs: 300 },
    );
  });

  test("dies again and again: a crash loop, that ends with its reason", async () => {
    await withProgram(ready(), async (prepared) => {
      const { server } = prepared;
      await server.start();
      for (let deaths = 0; deaths < 5; deaths += 1) await die(prepared);
      await server.stopped;
      expect(server.status).toMatchObject({ state: "failed", restarts: 4, pid: undefined });
      expect(server.failure?.code).toBe("worker_crashed");
      expect(server.failure?.message).toMatch(/exit code 7.*out of luck/);
      await server.stop();
      expect(server.status.state).toBe("failed");
    });
  });

  test("finds its port taken at a restart: it is started again until it can be had", async () => {
    const marker = path.join(tmpdir(), `servable-test-marker-${process.pid}`);
    const script = ready(`
const { existsSync, writeFileSync } = require("node:fs");
if (!existsSync(${JSON.stringify(marker)})) writeFileSync(${JSON.stringify(marker)}, "1");
else if (readTimes() < 2) { console.error('E1124 00:19:33.528697 1 main.cc:245] "failed to start HTTP service: Unavailable - Socket already in use "'); process.exit(1); }
function readTimes() { const fs = require("node:fs"); const n = Number(fs.readFileSync(${JSON.stringify(marker)}, "utf8")); fs.writeFileSync(${JSON.stringify(marker)}, String(n + 1)); return n; }
`);
    try {
      await withProgram(script, async (prepared) => {
        const { server } = prepared;
        await server.start();
        await die(prepared);
        await until(() => server.status.state === "ready" && server.status.restarts === 2);
        expect(server.status.reason).toMatch(/already in use/);
      });
    } finally {
      await rm(marker, { force: true });
    }
  });

  test("stopped while it waits to start anew", async () => {
    await withProgram(ready(), async (prepared) => {
      const { server } = prepared;
      await server.start();
      for (let deaths = 0; deaths < 4; deaths += 1) await die(prepared);
      await until(() => server.status.state === "restarting");
      expect(server.status.restarts).toBe(3);
      await server.stop();
      expect(server.status).toMatchObject({ state: "stopped", pid: undefined });
    });
  });
});

describe("what can't be started", () => {
  test("a port that is taken is told before anything is started", async () => {
    const other = createServer();
    other.listen(0, "127.0.0.1");
    await once(other, "listening");
    const address = other.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    try {
      await using prepared = await prepare(identityFiles, { ports: { http: port, grpc: 0, metrics: 0 } });
      const failure = await failureOf(prepared.server.start());
      expect(failure.code).toBe("address_in_use");
      expect(failure.message).toContain(`Port ${port} on 127.0.0.1 is taken`);
      expect(prepared.lines.some(({ message }) => message === "starting servable")).toBe(false);
    } finally {
      other.close();
    }
  });

  test("no program, and nothing that may take its place", async () => {
    await using prepared = await prepare(identityFiles, { fallback: "none" });
    const failure = await failureOf(prepared.server.start());
    expect(failure.code).toBe("missing_dependency");
    expect(failure.message).toMatch(/no 'no-such-tritonserver' on PATH.*fallback: "servable"/);
  });

  test("an archive that is wrong, each with its reason; nothing is started, and nothing stays", async () => {
    const good = await smallArchive();
    const cases: readonly (readonly [string, Uint8Array, string, RegExp])[] = [
      ["evil.tar", rawTar([{ name: "../evil", content: Buffer.from("x") }]), "", /"\.\.\/evil" leaves the folder/],
      ["link.tar", rawTar([{ name: "link", type: "2", link: "/etc" }]), "", /"link" is a symbolic link/],
      ["cut.tar.gz", good.subarray(0, -20), "", /it is cut off/],
      ["other.tar.gz", good, `#sha256=${"0".repeat(64)}`, /its SHA-256 is [0-9a-f]{64}, and not 0000/],
    ];
    const before = copies();
    await using prepared = await prepare(identityFiles);
    for (const [name, content, fragment, reason] of cases) {
      const file = path.join(prepared.folder, name);
      await writeFile(file, content);
      const lines: LogLine[] = [];
      const download = { folder: path.join(prepared.folder, "cache") };
      const server = new TritonModelServer({
        artifact: `${pathToFileURL(file).href}${fragment}`,
        download,
        modelNamesToReplication: { identity: 2 },
        fallback: "servable",
        binary: "no-such-tritonserver",
        log: keepLog(lines),
      });
      const failure = await failureOf(server.start());
      expect([failure.code, failure.message]).toEqual(["load_failed", expect.stringMatching(reason)]);
      expect(server.status).toMatchObject({ state: "failed", pid: undefined });
      expect(lines.filter(({ message }) => message?.startsWith("starting") === true)).toEqual([]);
      expect(readdirSync(download.folder)).toEqual([]);
    }
    expect(existsSync(path.join(prepared.folder, "evil"))).toBe(false);
    expect(copies()).toEqual(before);
  });

  test("no repository", async () => {
    await using prepared = await prepare({}, { artifact: "/no/such/folder" });
    expect((await failureOf(prepared.server.start())).message).toMatch(/no folder or archive \/no\/such\/folder/);
  });

  test("replications that do not fit, each by name, and no copy stays", async () => {
    const before = copies();
    const ensemble = { "whole/config.pbtxt": 'platform: "ensemble" ensemble_scheduling { }', "whole/1/.keep": "" };
    const groups = { "two/config.pbtxt": "instance_group { count: 1 } instance_group { count: 2 }", "two/1/.keep": "" };
    const refused = async (modelNamesToReplication: Record<string, number>): Promise<string> => {
      await using prepared = await prepare({ ...identityFiles, ...ensemble, ...groups }, { modelNamesToReplication });
      const failure = await failureOf(prepared.server.start());
      expect(failure.code).toBe("invalid_config");
      return failure.message;
    };
    expect(await refused({ missing: 1 })).toMatch(/'missing', which is not in the repository\. There are: identity, two, whole/);
    expect(await refused({ whole: 2 })).toMatch(/'whole' is an ensemble/);
    expect(await refused({ two: 2 })).toMatch(/'two' has 2 instance groups/);
    expect(await refused({ identity: 0 })).toMatch(/'identity' is 0; it must be a whole number from 1/);
    expect(copies()).toEqual(before);
  });

  test("options that make no sense are refused at once", () => {
    const make = (options: object) => () => new TritonModelServer({ artifact: "models", ...options });
    expect(make({ artifact: "" })).toThrow(/artifact is empty/);
    expect(make({ host: "0.0.0.0" })).toThrow(/allowUnauthenticated/);
    expect(make({ ports: { grpc: 70_000 } })).toThrow(/ports\.grpc must be/);
    expect(make({ startTimeoutMs: Number.NaN })).toThrow(/startTimeoutMs must be/);
    expect(make({ loadModels: ["a"] })).toThrow(/control "explicit"/);
    expect(make({ control: "poll", modelNamesToReplication: { a: 1 } })).toThrow(/choose one of the two/);
  });

  test("a repository with a pipe in it", async () => {
    await using prepared = await prepare(identityFiles, { modelNamesToReplication: { identity: 2 } });
    const pipe = path.join(prepared.folder, "models", "identity", "pipe");
    await once(spawn("mkfifo", [pipe]), "exit");
    expect(existsSync(pipe)).toBe(true);
    expect((await failureOf(prepared.server.start())).message).toMatch(/pipe is neither a file nor a folder/);
    await writeFile(path.join(prepared.folder, "done"), "");
  });
});
