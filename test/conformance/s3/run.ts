/**
 * Runs artifacts through a real S3-compatible store.
 *
 * usage: npm run test:conformance:s3
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import {
  bytesSource,
  downloadArtifact,
  makeTritonConfiguration,
  openStorage,
  ServableError,
  type ArtifactSource,
  type Storage,
} from "servable/triton";
import { credentials, startStore, type Store } from "./store.ts";

const MiB = 1024 ** 2;
const bucket = "conformance";
const large = fileURLToPath(new URL("../../storage/large-child.mjs", import.meta.url));

interface Surroundings {
  readonly store: Store;
  readonly folder: string;
  readonly client: S3Client;
  open(prefix: string, changes?: Readonly<Record<string, unknown>>): Storage;
}

type Check = (around: Surroundings) => Promise<void>;

const checks: Readonly<Record<string, Check>> = {
  "a small artifact is written, read, read from the middle, and replaced": async ({ open }) => {
    const storage = open("small");
    assert.equal((await failure(storage.read("a"))).code, "not_found");
    await storage.write("sub/ä b.bin", bytesSource(Buffer.from("hello world")));
    const whole = await storage.read("sub/ä b.bin");
    assert.deepEqual([whole.offset, whole.bytes, (await gather(whole.content)).toString()], [0, 11, "hello world"]);
    const rest = await storage.read("sub/ä b.bin", { offset: 6, version: whole.version });
    assert.deepEqual([rest.offset, rest.bytes, (await gather(rest.content)).toString()], [6, 11, "world"]);
    await storage.write("sub/ä b.bin", bytesSource(Buffer.from("other, and longer")));
    const changed = await storage.read("sub/ä b.bin", { offset: 6, version: whole.version });
    assert.deepEqual([changed.offset, (await gather(changed.content)).toString()], [0, "other, and longer"]);
    const beyond = await storage.read("sub/ä b.bin", { offset: 1000, version: changed.version });
    assert.deepEqual([beyond.offset, (await gather(beyond.content)).toString()], [0, "other, and longer"]);
    await storage.write("empty", bytesSource(new Uint8Array()));
    assert.equal((await gather((await storage.read("empty")).content)).byteLength, 0);
  },

  "a large one goes in parts, and nothing is left of them": async ({ open, client }) => {
    const content = randomBytes(23 * MiB + 17);
    const steps: number[] = [];
    const storage = open("parts", { partBytes: 5 * MiB });
    await storage.write("a", bytesSource(content), { onProgress: (bytes) => steps.push(bytes) });
    assert.deepEqual(steps, [5, 10, 15, 20].map((count) => count * MiB).concat(content.byteLength));
    assert.equal(sha256(await gather((await storage.read("a")).content)), sha256(content));
    assert.deepEqual(await openUploads(client), []);
  },

  "an upload that breaks off leaves nothing, and what was there before": async ({ open, client }) => {
    const storage = open("broken", { partBytes: 5 * MiB });
    await storage.write("before", bytesSource(Buffer.from("before")));
    for (const name of ["before", "new"]) {
      const broken: ArtifactSource = {
        bytes: 20 * MiB,
        read: (start, end) => (start < 10 * MiB ? bytesSource(new Uint8Array(20 * MiB)).read(start, end) : failing()),
      };
      assert.match((await failure(storage.write(name, broken))).message, /the disk is gone/);
    }
    const giving = new AbortController();
    const given = storage.write("new", bytesSource(new Uint8Array(20 * MiB)), {
      signal: giving.signal,
      onProgress: (bytes) => {
        if (bytes >= 10 * MiB) giving.abort(new ServableError("cancelled", "enough"));
      },
    });
    assert.equal((await failure(given)).code, "cancelled");
    assert.equal((await failure(storage.read("new"))).code, "not_found");
    assert.equal((await gather((await storage.read("before")).content)).toString(), "before");
    assert.deepEqual(await openUploads(client), []);
  },

  "a process that is killed in the middle of an upload leaves nothing that can be seen": async ({ store, folder, open }) => {
    const own = path.join(folder, "killed");
    await mkdir(own);
    const child = spawn(process.execPath, [large, `s3://${bucket}/killed`, own, "200"], { env: environment(store), stdio: "ignore" });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    // In the middle of its upload: something has come to be there, and it still runs.
    await until(async () => (await uploadsBelow(store, "killed/")) > 0);
    child.kill("SIGKILL");
    await exited;
    const listed = await fetchList(store, "killed/");
    assert.deepEqual(listed, []);
    assert.equal((await failure(open("killed").read("large-0.tar.gz"))).code, "not_found");
  },

  "wrong credentials, no bucket, nobody there": async ({ open, store }) => {
    const wrong = open("x", { credentials: { accessKeyId: "conformance", secretAccessKey: "wrong" } });
    assert.equal((await failure(wrong.read("a"))).code, "unauthenticated");
    assert.equal((await failure(wrong.write("a", bytesSource(Buffer.from("x"))))).code, "unauthenticated");
    const nowhere = openStorage("s3://no-such-bucket-here/x", { s3: { endpoint: store.endpoint, credentials } });
    assert.equal((await failure(nowhere.read("a"))).code, "not_found");
    const nobody = open("x", { endpoint: "http://127.0.0.1:1", retries: 1 });
    assert.equal((await failure(nobody.read("a"))).code, "unavailable");
    assert.equal(
      (await failure(openStorage(`s3://${bucket}`, { s3: { endpoint: store.endpoint, credentials } }).read())).code,
      "invalid_argument",
    );
  },

  "a repository becomes an artifact, and the artifact a repository; a wrong digest is noticed": async ({ folder, store }) => {
    const repository = path.join(folder, "models");
    await mkdir(path.join(repository, "echo", "1"), { recursive: true });
    await writeFile(path.join(repository, "echo", "1", "model.onnx"), randomBytes(MiB));
    const s3 = { endpoint: store.endpoint, credentials };
    const storage = `s3://${bucket}/artifacts`;
    const made = await makeTritonConfiguration({ repository, storage, storageOptions: { s3 } });
    assert.match(made.modelArtifactUri, /^s3:\/\/conformance\/artifacts\/echo-[0-9a-f]{16}\.tar\.gz#sha256=[0-9a-f]{64}$/);
    const cache = path.join(folder, "cache");
    const artifact = await downloadArtifact(made.modelArtifactUri, { folder: cache, storage: { s3 } });
    assert.deepEqual((await readdir(artifact.folder, { recursive: true })).sort(), ["echo", "echo/1", "echo/1/model.onnx"]);
    const [uri = ""] = made.modelArtifactUri.split("#");
    const wrong = downloadArtifact(uri, { folder: cache, storage: { s3 }, sha256: "0".repeat(64) });
    assert.match((await failure(wrong)).message, /is not what it should be/);
    assert.deepEqual(await readdir(cache), [artifact.digest]);
  },

  "a download whose connection is cut goes on where it was": async ({ folder, store }) => {
    const repository = path.join(folder, "cut-models");
    await mkdir(path.join(repository, "echo", "1"), { recursive: true });
    await writeFile(path.join(repository, "echo", "1", "model.onnx"), randomBytes(12 * MiB));
    const made = await makeTritonConfiguration({
      repository,
      storage: `s3://${bucket}/cut`,
      storageOptions: { s3: { endpoint: store.endpoint, credentials } },
    });
    const proxy = await cuttingProxy(store.port, 5 * MiB);
    try {
      const steps: number[] = [];
      const s3 = { endpoint: `http://127.0.0.1:${proxy.port}`, credentials, retries: 0 };
      const options = {
        folder: path.join(folder, "cut-cache"),
        storage: { s3 },
        onProgress: ({ bytes }: { readonly bytes: number }) => steps.push(bytes),
      };
      const artifact = await downloadArtifact(made.modelArtifactUri, options);
      assert.equal(made.modelArtifactUri.endsWith(artifact.digest), true);
      assert.equal(proxy.cuts() >= 2, true, `the connection was cut ${proxy.cuts()} times`);
    } finally {
      proxy.close();
    }
  },

  "300 MiB, found by the environment alone, in constant memory": async ({ store, folder }) => {
    const own = path.join(folder, "large");
    await mkdir(own);
    const { stdout } = await promisify(execFile)(process.execPath, ["--max-old-space-size=64", large, `s3://${bucket}/large`, own, "300"], {
      env: environment(store),
      timeout: 200_000,
    });
    const { growthMiB, bytes, same } = JSON.parse(stdout) as { growthMiB: number; bytes: number; same: boolean };
    assert.deepEqual([same, bytes > 300 * MiB], [true, true]);
    assert.equal(growthMiB < 160, true, `memory grew by ${growthMiB} MiB`);
  },
};

function environment(store: Store): NodeJS.ProcessEnv {
  return {
    ...process.env,
    // What a killed one leaves there goes with the folder.
    TMPDIR: store.folder,
    AWS_ENDPOINT_URL_S3: store.endpoint,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_REGION: "us-east-1",
  };
}

async function gather(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of content) parts.push(part);
  return Buffer.concat(parts);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function failure(promise: Promise<unknown>): Promise<ServableError> {
  const thrown: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!ServableError.isInstance(thrown)) throw new Error(`It did not fail as it should: ${String(thrown)}`, { cause: thrown });
  return thrown;
}

async function* failing(): AsyncGenerator<Uint8Array> {
  yield await Promise.reject(new ServableError("load_failed", "the disk is gone"));
}

async function openUploads(client: S3Client, prefix?: string): Promise<string[]> {
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix }));
  return Uploads.map(({ Key = "" }) => Key);
}

function clientOf(store: Store): S3Client {
  return new S3Client({ endpoint: store.endpoint, region: "us-east-1", forcePathStyle: true, credentials });
}

async function uploadsBelow(store: Store, prefix: string): Promise<number> {
  return (await openUploads(clientOf(store), prefix)).length;
}

async function fetchList(store: Store, Prefix: string): Promise<string[]> {
  const { ListObjectsV2Command } = await import("@aws-sdk/client-s3");
  const { Contents = [] } = await clientOf(store).send(new ListObjectsV2Command({ Bucket: bucket, Prefix }));
  return Contents.map(({ Key = "" }) => Key);
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const patience = Date.now() + 60_000;
  while (!(await holds())) {
    if (Date.now() > patience) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Stands before the store and cuts each of its first three connections after so many bytes of answers. */
async function cuttingProxy(port: number, after: number) {
  let cuts = 0;
  const sockets = new Set<Socket>();
  const server = createServer((inner) => {
    const outer = connect(port, "127.0.0.1");
    let bytes = 0;
    for (const socket of [inner, outer]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        inner.destroy();
        outer.destroy();
      });
    }
    inner.pipe(outer);
    outer.on("data", (part: Buffer) => {
      bytes += part.byteLength;
      if (cuts < 3 && bytes > after) {
        cuts += 1;
        outer.destroy();
        return;
      }
      if (!inner.write(part)) {
        outer.pause();
        inner.once("drain", () => outer.resume());
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port: (server.address() as AddressInfo).port, cuts: () => cuts, close };
}

const folder = mkdtempSync(path.join(tmpdir(), "servable-s3-"));
let store: Store | undefined;
let [passed, failures] = [0, 0];
try {
  const running = await startStore(folder);
  store = running;
  const client = clientOf(running);
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  const open = (prefix: string, changes: Readonly<Record<string, unknown>> = {}): Storage =>
    openStorage(`s3://${bucket}/${prefix}`, { s3: { endpoint: running.endpoint, credentials, ...changes } });
  for (const [title, check] of Object.entries(checks)) {
    const begin = performance.now();
    try {
      await check({ store: running, folder, client, open });
      passed += 1;
      process.stdout.write(`ok   ${title} (${Math.round(performance.now() - begin)} ms)\n`);
    } catch (thrown) {
      failures += 1;
      process.stdout.write(`FAIL ${title}\n${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}\n`);
    }
  }
} catch (thrown) {
  failures += 1;
  process.stdout.write(`${String(thrown)}\n`);
} finally {
  await store?.stop();
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`${passed} passed, ${failures} failed\n`);
process.exitCode = failures === 0 ? 0 : 1;
