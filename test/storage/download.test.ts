import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { mkdir, readFile, readdir, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { downloadArtifact, type ArtifactProgress } from "../../src/storage/download.ts";
import { listing, rawTar, sha256, smallArchive, withFolder, withServer } from "./support.ts";

const files = ["mlp/", "mlp/1/", "mlp/1/model.onnx", "mlp/config.pbtxt"];

/** Serves one body, with ranges, and lets a test meddle. */
function serving(body: () => Buffer, meddle: (request: IncomingMessage, response: ServerResponse) => boolean = () => false) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    if (meddle(request, response)) return;
    const whole = body();
    const etag = `"${sha256(whole).slice(0, 8)}"`;
    const isSame = request.headers["if-range"] === undefined || request.headers["if-range"] === etag;
    const start = isSame ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0) : 0;
    const range = { "content-range": `bytes ${start}-${whole.byteLength - 1}/${whole.byteLength}` };
    response.writeHead(start > 0 ? 206 : 200, { etag, "content-length": whole.byteLength - start, ...(start > 0 && range) });
    response.end(whole.subarray(start));
  };
}

/** Sends a part of what was asked for, and cuts the connection. */
function cut(response: ServerResponse, whole: Buffer, start: number, length: number, headers: Record<string, string> = {}): void {
  response.writeHead(start > 0 ? 206 : 200, {
    "content-length": whole.byteLength - start,
    ...(start > 0 && { "content-range": `bytes ${start}-${whole.byteLength - 1}/${whole.byteLength}` }),
    ...headers,
  });
  response.write(whole.subarray(start, start + length), () => setTimeout(() => response.destroy(), 20));
}

describe("a download", () => {
  test("is checked, unpacked, and kept by its digest", async () => {
    const archive = await smallArchive();
    const digest = sha256(archive);
    let requests = 0;
    const counting = serving(
      () => archive,
      () => (requests++, false),
    );
    await withServer(counting, async (url) => {
      await withFolder(async (folder) => {
        const progress: ArtifactProgress[] = [];
        const first = await downloadArtifact(`${url}/x.tar.gz#sha256=${digest}`, { folder, onProgress: (step) => progress.push(step) });
        expect(first).toEqual({ folder: path.join(folder, digest), digest });
        expect(await listing(first.folder)).toEqual(files);
        expect(progress.map(({ stage }) => stage)).toEqual(["download", "unpack"]);
        expect(progress[0]).toMatchObject({ bytes: archive.byteLength, total: archive.byteLength });
        expect(await downloadArtifact(`${url}/x.tar.gz#sha256=${digest}`, { folder })).toEqual(first);
        expect(requests).toBe(1);
        // Without a digest nobody knows before it is downloaded that it is there.
        expect(await downloadArtifact(`${url}/x.tar.gz`, { folder })).toEqual(first);
        expect(requests).toBe(2);
        expect(await readdir(folder)).toEqual([digest]);
      });
    });
  });

  test("goes on where it broke off", async () => {
    const archive = await smallArchive({ "mlp/1/model.onnx": noise(4_000_000) });
    const starts: number[] = [];
    const meddle = (request: IncomingMessage, response: ServerResponse): boolean => {
      const start = Number(/\d+/.exec(request.headers.range ?? "0")?.[0]);
      starts.push(start);
      if (starts.length > 3) return false;
      cut(response, archive, start, 500_000, { etag: `"${sha256(archive).slice(0, 8)}"` });
      return true;
    };
    await withServer(
      serving(() => archive, meddle),
      async (url) => {
        await withFolder(async (folder) => {
          const { digest } = await downloadArtifact(`${url}/x`, { folder, sha256: sha256(archive) });
          expect(digest).toBe(sha256(archive));
          expect(starts[0]).toBe(0);
          expect(starts.length).toBe(4);
          expect([...starts].sort((a, b) => a - b)).toEqual(starts);
          expect(starts[3]).toBeGreaterThan(0);
        });
      },
    );
  });

  test("begins anew where the artifact has changed meanwhile, or where ranges or versions are not known", async () => {
    const [old, fresh] = [await smallArchive({ "old/1/x": noise(400_000) }), await smallArchive()];
    for (const kind of ["changed", "no-etag", "no-ranges"]) {
      let requests = 0;
      const body = kind === "changed" ? fresh : old;
      await withServer(
        serving(
          () => body,
          (_, response) => {
            requests += 1;
            if (requests === 1) cut(response, old, 0, 100_000, kind === "no-etag" ? {} : { etag: '"old"' });
            else if (kind === "no-ranges") response.writeHead(200, { etag: '"old"' }).end(body);
            return requests === 1 || kind === "no-ranges";
          },
        ),
        async (url) => {
          await withFolder(async (folder) => {
            expect((await downloadArtifact(url, { folder })).digest, kind).toBe(sha256(body));
            expect(requests).toBe(2);
          });
        },
      );
    }
  });

  test("gives up after some tries, with nothing left", async () => {
    const archive = await smallArchive({ "old/1/x": noise(4_000_000) });
    for (const [kind, message] of [
      ["breaks", /broke off: aborted\.$/],
      ["restarts", /broke off: aborted\./],
      ["refuses", /could not be read: HTTP 503/],
      ["stalls", /broke off: nothing came for 300 ms\. 1000 of \d+ bytes had come\.$/],
    ] as const) {
      let requests = 0;
      await withServer(
        (_, response) => {
          requests += 1;
          if (kind === "breaks") cut(response, archive, 0, 0);
          else if (kind === "restarts") cut(response, archive, 0, 2_000_000);
          else if (kind === "refuses") response.writeHead(503).end();
          else response.writeHead(200, { "content-length": archive.byteLength }).write(archive.subarray(0, 1000));
        },
        async (url) => {
          await withFolder(async (folder) => {
            const failed = downloadArtifact(url, { folder, retries: 2, idleMs: 300 });
            await expect(failed, kind).rejects.toMatchObject({ code: "unavailable", message: expect.stringMatching(message) as string });
            expect(requests, kind).toBe(3);
            expect(await readdir(folder), kind).toEqual([]);
          });
        },
      );
    }
  });

  test("from a server that says nothing at all does not wait for longer than it may", async () => {
    await withServer(
      () => undefined,
      async (url) => {
        await withFolder(async (folder) => {
          const failed = downloadArtifact(url, { folder, retries: 0, idleMs: 200 });
          await expect(failed).rejects.toMatchObject({ code: "unavailable", message: expect.stringContaining("for 200 ms") as string });
        });
      },
    );
  });

  test("what is wrong has its own error, and nothing half-written stays", async () => {
    const archive = await smallArchive();
    const cases: [string, Buffer, Parameters<typeof downloadArtifact>[1] extends infer O ? Partial<O> : never, string][] = [
      ["another one", archive, { sha256: "0".repeat(64) }, `its SHA-256 is ${sha256(archive)}, and not 0000`],
      ["an error page", Buffer.from("<html>not found</html>"), {}, "is no archive that can be unpacked"],
      ["too large", archive, { limits: { maxArchiveBytes: 10 } }, "it may have 10 (limits.maxArchiveBytes)"],
      ["evil", rawTar([{ name: "../evil" }]), {}, "leaves the folder"],
      ["too much in it", archive, { limits: { maxEntries: 2 } }, "limits.maxEntries"],
    ];
    for (const [title, body, options, reason] of cases) {
      await withServer(
        serving(() => body),
        async (url) => {
          await withFolder(async (folder) => {
            const failed = downloadArtifact(`${url}/x?sig=SECRET`, { folder, ...options });
            await expect(failed, title).rejects.toMatchObject({ code: "load_failed" });
            const failure: unknown = await downloadArtifact(`${url}/x?sig=SECRET`, { folder, ...options }).catch(
              (thrown: unknown) => thrown,
            );
            expect(String(failure)).toContain(reason);
            expect(String(failure)).not.toContain("SECRET");
            expect(await readdir(folder)).toEqual([]);
          });
        },
      );
    }
    await withFolder(async (folder) => {
      await expect(downloadArtifact(`${folder}/nothing`, { folder })).rejects.toMatchObject({ code: "not_found" });
      await expect(downloadArtifact(`${folder}/x#sha256=${"1".repeat(64)}`, { folder, sha256: "2".repeat(64) })).rejects.toThrow(
        "the artifact's URI says",
      );
      await expect(downloadArtifact(`${folder}/x`, { folder, sha256: "12" })).rejects.toThrow("64 hexadecimal digits");
    });
  });

  test("can be given up, while it downloads and while it waits for another one", async () => {
    await withServer(
      (_, response) => void response.writeHead(200, { "content-length": 1000 }).write("x"),
      async (url) => {
        await withFolder(async (folder) => {
          const [one, two] = [new AbortController(), new AbortController()];
          const first = downloadArtifact(url, { folder, signal: one.signal });
          await untilThere(folder, ".lock");
          const second = downloadArtifact(url, { folder, signal: two.signal });
          setTimeout(() => two.abort(new Error("second")), 50);
          await expect(second).rejects.toThrow("second");
          one.abort(new Error("first"));
          await expect(first).rejects.toThrow("first");
          expect(await readdir(folder)).toEqual([]);
        });
      },
    );
  });
});

describe("several at the same time", () => {
  test("in one process: one downloads, the others wait for it", async () => {
    const archive = await smallArchive();
    let requests = 0;
    await withServer(
      (request, response) => {
        requests += 1;
        setTimeout(() => {
          serving(() => archive)(request, response);
        }, 100);
      },
      async (url) => {
        await withFolder(async (folder) => {
          const wanted = { folder, sha256: sha256(archive) };
          const all = await Promise.all(Array.from({ length: 5 }, () => downloadArtifact(url, wanted)));
          expect(new Set(all.map((one) => one.folder)).size).toBe(1);
          expect(requests).toBe(1);
          expect(await readdir(folder)).toEqual([sha256(archive)]);
        });
      },
    );
  });

  test("in several processes, also where one is killed in the middle", async () => {
    const archive = await smallArchive({ "mlp/1/model.onnx": noise(3_000_000), "mlp/config.pbtxt": "" });
    let requests = 0;
    let isSlow = true;
    await withServer(
      serving(
        () => archive,
        (_, response) => {
          requests += 1;
          if (isSlow) response.writeHead(200, { "content-length": archive.byteLength }).write(archive.subarray(0, 100_000));
          return isSlow;
        },
      ),
      async (url) => {
        await withFolder(async (folder) => {
          const script = fileURLToPath(new URL("download-child.mjs", import.meta.url));
          const killed = spawn(process.execPath, [script, `${url}/x#sha256=${sha256(archive)}`, folder], { stdio: "ignore" });
          await untilThere(folder, ".partial");
          await untilTrue(() => requests === 1);
          killed.kill("SIGKILL");
          await once(killed, "exit");
          isSlow = false;
          expect((await readdir(folder)).length).toBe(2);
          const run = promisify(execFile);
          const all = await Promise.all(
            Array.from({ length: 3 }, () =>
              run(process.execPath, [script, `${url}/x#sha256=${sha256(archive)}`, folder], { timeout: 30_000 }),
            ),
          );
          expect(all.map(({ stdout }) => stdout.trim())).toEqual(Array.from({ length: 3 }, () => path.join(folder, sha256(archive))));
          expect(requests).toBe(2);
          expect(await readdir(folder)).toEqual([sha256(archive)]);
          expect((await readFile(path.join(folder, sha256(archive), "mlp/1/model.onnx"))).byteLength).toBe(3_000_000);
        });
      },
    );
  }, 60_000);

  test("a lock of another machine holds while it shows signs of life", async () => {
    const archive = await smallArchive();
    await withFolder(async (folder) => {
      await writeFile(path.join(folder, "x.tar.gz"), archive);
      const cache = path.join(folder, "cache");
      await mkdir(cache);
      const lock = path.join(cache, `.${sha256(archive)}.lock`);
      await writeFile(lock, `1\nnot-${hostname()}\n0\n`);
      const giveUp = AbortSignal.timeout(500);
      const wanted = { folder: cache, sha256: sha256(archive) };
      await expect(downloadArtifact(path.join(folder, "x.tar.gz"), { ...wanted, signal: giveUp })).rejects.toThrow("timeout");
      const longAgo = new Date(Date.now() - 60_000);
      await utimes(lock, longAgo, longAgo);
      await downloadArtifact(path.join(folder, "x.tar.gz"), wanted);
      expect(await readdir(cache)).toEqual([sha256(archive)]);
    });
  });
});

/** Text that gzip can't make much smaller, the same each time. */
function noise(length: number): string {
  let state = 1;
  const codes = Buffer.alloc(length);
  for (let index = 0; index < length; index += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    codes[index] = 32 + ((state >>> 24) % 90);
  }
  return codes.toString("latin1");
}

async function untilThere(folder: string, part: string): Promise<void> {
  await untilTrue(async () => (await readdir(folder)).some((name) => name.includes(part)));
}

async function untilTrue(holds: () => boolean | Promise<boolean>): Promise<void> {
  const patience = performance.now() + 10_000;
  while (!(await holds())) {
    if (performance.now() > patience) throw new Error("waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
