import { type IncomingMessage, type ServerResponse } from "node:http";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { openStorage } from "../../src/storage/open-storage.ts";
import { bytesSource, fileSource } from "../../src/storage/sources.ts";
import type { ArtifactSource, Storage } from "../../src/storage/storage.ts";
import { parseArtifactUri, publicUri } from "../../src/storage/uri.ts";
import { startRawServer } from "../client/raw-server.ts";
import { gather, listing, withFolder, withServer } from "./support.ts";

/** A server that keeps what is PUT as a well-kept one does: whole or not at all. */
function fileServer(kept: Map<string, Buffer>, seen: IncomingMessage[] = []) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    seen.push(request);
    const key = request.url ?? "";
    if (request.method === "PUT") {
      void gather(request).then(
        (body) => {
          if (body.byteLength !== Number(request.headers["content-length"])) return;
          kept.set(key, body);
          response.writeHead(201).end();
        },
        () => undefined,
      );
      return;
    }
    const body = kept.get(key);
    if (body === undefined) {
      response.writeHead(404).end("none");
      return;
    }
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const headers = { etag: '"v1"', "content-length": body.byteLength - start, "content-encoding": "gzip" };
    if (start === 0) response.writeHead(200, headers).end(body);
    else if (start >= body.byteLength) response.writeHead(416).end();
    else
      response
        .writeHead(206, { ...headers, "content-range": `bytes ${start}-${body.byteLength - 1}/${body.byteLength}` })
        .end(body.subarray(start));
  };
}

async function contract(storage: Storage): Promise<void> {
  await expect(storage.read("sub/a.bin")).rejects.toMatchObject({ code: "not_found" });
  const progress: number[] = [];
  await storage.write("sub/a.bin", bytesSource(Buffer.from("hello world")), { onProgress: (bytes) => progress.push(bytes) });
  expect(progress.at(-1)).toBe(11);
  const whole = await storage.read("sub/a.bin");
  expect([whole.offset, whole.bytes, (await gather(whole.content)).toString()]).toEqual([0, 11, "hello world"]);
  const rest = await storage.read("sub/a.bin", { offset: 6, version: whole.version });
  expect([rest.offset, rest.bytes, (await gather(rest.content)).toString()]).toEqual([6, 11, "world"]);
  await storage.write("sub/a.bin", bytesSource(Buffer.from("other")));
  expect((await gather((await storage.read("sub/a.bin")).content)).toString()).toBe("other");
  await storage.write("empty", bytesSource(new Uint8Array()));
  expect((await gather((await storage.read("empty")).content)).byteLength).toBe(0);
  // Its URI opens the artifact itself.
  expect((await gather((await openStorage(storage.uriOf("sub/a.bin")).read()).content)).toString()).toBe("other");
  for (const name of ["../x", "/x", "a/../../x", "", "a//b", "a\\b", "x\0"]) {
    await expect(storage.write(name, bytesSource(Buffer.from("x"))), name).rejects.toThrow("can't be the name of an artifact");
    await expect(storage.read(name), name).rejects.toThrow("can't be the name of an artifact");
  }
  const stopped = new AbortController();
  stopped.abort(new Error("enough"));
  await expect(storage.write("never", bytesSource(Buffer.from("x")), { signal: stopped.signal })).rejects.toThrow("enough");
  await expect(storage.read("never")).rejects.toMatchObject({ code: "not_found" });
}

/** Breaks off after some bytes. */
function broken(bytes: number, after: number): ArtifactSource {
  return {
    bytes,
    async *read() {
      yield await Promise.resolve(Buffer.alloc(after));
      throw new Error("the disk is gone");
    },
  };
}

describe("a folder", () => {
  test("keeps what every storage does, as a path and as file:", async () => {
    await withFolder(async (folder) => {
      await contract(openStorage(path.join(folder, "a")));
      await contract(openStorage(pathToFileURL(path.join(folder, "b c")).href));
      expect(await listing(path.join(folder, "a"))).toEqual(["empty", "sub/", "sub/a.bin"]);
    });
  });

  test("a write that breaks off leaves what was there, and nothing else", async () => {
    await withFolder(async (folder) => {
      const storage = openStorage(folder);
      await storage.write("a", bytesSource(Buffer.from("before")));
      await expect(storage.write("a", broken(100, 50))).rejects.toThrow("the disk is gone");
      await expect(storage.write("a", { ...bytesSource(Buffer.from("xyz")), bytes: 5 })).rejects.toThrow("changed meanwhile");
      expect(await listing(folder)).toEqual(["a"]);
      expect(await readFile(path.join(folder, "a"), "utf8")).toBe("before");
    });
  });

  test("what is no file is not read", async () => {
    await withFolder(async (folder) => {
      await mkdir(path.join(folder, "sub"));
      await expect(openStorage(folder).read("sub")).rejects.toThrow("is no file");
      await expect(openStorage("/dev").read("zero")).rejects.toThrow("is no file");
    });
  });
});

describe("an HTTP server", () => {
  test("keeps what every storage does", async () => {
    await withServer(fileServer(new Map()), async (url) => {
      await contract(openStorage(`${url}/models`));
    });
  });

  test("gets headers, a token, and the query that is a signature", async () => {
    const seen: IncomingMessage[] = [];
    await withServer(fileServer(new Map(), seen), async (url) => {
      const storage = openStorage(`${url}/m?sig=a%2Fb`, { http: { token: "secret", headers: { "X-Team": "ml" } } });
      await storage.write("x 1.tar", bytesSource(Buffer.from("x")));
      expect(storage.uriOf("x 1.tar")).toBe(`${url}/m/x%201.tar?sig=a%2Fb`);
      const [request] = seen;
      expect(request?.url).toBe("/m/x%201.tar?sig=a%2Fb");
      expect(request?.headers).toMatchObject({ authorization: "Bearer secret", "x-team": "ml", "content-length": "1" });
      expect(request?.headers["transfer-encoding"]).toBeUndefined();
    });
  });

  test("an upload that breaks off is not there, and one that the server could not take now is tried again", async () => {
    const kept = new Map<string, Buffer>();
    const inner = fileServer(kept);
    let refusals = 2;
    await withServer(
      (request, response) => {
        if (request.method === "PUT" && refusals-- > 0) response.writeHead(503).end();
        else inner(request, response);
      },
      async (url) => {
        await openStorage(url).write("a", bytesSource(Buffer.from("content")));
        expect(kept.get("/a")?.toString()).toBe("content");
        await expect(openStorage(url, { http: { retries: 0 } }).write("b", broken(1_000_000, 500_000))).rejects.toMatchObject({
          code: "unavailable",
        });
        expect([...kept.keys()]).toEqual(["/a"]);
      },
    );
  });

  test.each([
    [401, "unauthenticated"],
    [403, "unauthenticated"],
    [404, "not_found"],
    [400, "load_failed"],
    [503, "unavailable"],
  ])("%i is %s, and nothing of a signature is told", async (status, code) => {
    await withServer(
      (_, response) => void response.writeHead(status).end("no"),
      async (url) => {
        const storage = openStorage(`${url.replace("//", "//user:pass@")}/a?sig=SECRET`, { http: { retries: 0 } });
        const failure: unknown = await storage.read().catch((thrown: unknown) => thrown);
        expect(failure).toMatchObject({ code });
        expect(String(failure)).not.toMatch(/SECRET|pass/);
        await expect(storage.write("x", bytesSource(Buffer.from("x")))).rejects.toMatchObject({ code });
      },
    );
  });

  test("a server that refuses before it has read everything", async () => {
    let reads = 0;
    const endless: ArtifactSource = {
      bytes: 2 ** 40,
      async *read() {
        try {
          for (;;) yield await Promise.resolve(Buffer.alloc(64 * 1024));
        } finally {
          reads += 1;
        }
      },
    };
    await withServer(
      (_, response) => void response.writeHead(413).end(),
      async (url) => {
        await expect(openStorage(url).write("x", endless)).rejects.toThrow("HTTP 413");
        // What was being read is let go.
        await expect.poll(() => reads).toBe(1);
      },
    );
  });

  test("redirects are followed, without the token when they lead elsewhere, and not for ever", async () => {
    const seen: IncomingMessage[] = [];
    const kept = new Map([["/a", Buffer.from("there")]]);
    await withServer(fileServer(kept, seen), async (elsewhere) => {
      await withServer(
        (request, response) => void response.writeHead(302, { location: request.url === "/loop" ? "/loop" : `${elsewhere}/a` }).end(),
        async (url) => {
          const stored = await openStorage(`${url}/x`, { http: { token: "secret" } }).read();
          expect((await gather(stored.content)).toString()).toBe("there");
          expect(seen[0]?.headers.authorization).toBeUndefined();
          await expect(openStorage(`${url}/loop`).read()).rejects.toThrow("redirects too often");
        },
      );
    });
  });

  test.each([
    ["another protocol", "HTTP/1.1 101 Yes\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "unavailable", /closed without an answer/],
    ["what is no HTTP", "SSH-2.0-OpenSSH\r\n", "unavailable", /Expected HTTP/],
    ["another part", "HTTP/1.1 206 X\r\ncontent-range: bytes 5-9/10\r\ncontent-length: 5\r\n\r\nabcde", "load_failed", /another part/],
    ["that it has less than nothing", "HTTP/1.1 416 X\r\ncontent-length: 0\r\n\r\n", "load_failed", /HTTP 416/],
  ])("that answers with %s", async (_, answer, code, message) => {
    await using server = await startRawServer((socket) => socket.write(answer));
    await expect(openStorage(server.url, { http: { idleMs: 2_000 } }).read("x")).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
    expect(server.requests()).toBe(1);
  });

  test("that falls silent in the middle", async () => {
    await using server = await startRawServer((socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"));
    const { content } = await openStorage(server.url, { http: { idleMs: 200 } }).read("x");
    await expect(gather(content)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("broke off: nothing came for 200 ms") as string,
    });
  });

  test("nobody there, or one that says nothing", async () => {
    await expect(openStorage("http://127.0.0.1:1/x").read()).rejects.toMatchObject({ code: "unavailable" });
    await withServer(
      () => undefined,
      async (url) => {
        await expect(openStorage(url, { http: { idleMs: 200 } }).read("x")).rejects.toThrow("nothing came for 200 ms");
      },
    );
  });
});

test("URIs", async () => {
  const digest = "a".repeat(64);
  expect(parseArtifactUri(`s3://b/k#sha256=${digest.toUpperCase()}`)).toEqual({ uri: "s3://b/k", sha256: digest });
  expect(parseArtifactUri("./a#b")).toEqual({ uri: "./a#b", sha256: undefined });
  expect(() => parseArtifactUri("x#sha256=12")).toThrow("64 hexadecimal digits");
  expect(publicUri("https://u:p@h/x?sig=1#f")).toBe("https://h/x?…#f");
  expect(() => openStorage("gs://bucket/x")).toThrow("there are storages for paths, file:, http:, https: and s3:, not for gs:");
  expect(() => openStorage("")).toThrow("must not be empty");
  expect(() => openStorage("http://[")).toThrow("is no URL");
  expect(() => openStorage("s3:///x")).toThrow("must be like s3://bucket/key");
  expect(() => openStorage("file://host/x")).toThrow(/names no file|must be like/);
  const own = openStorage(".");
  expect(openStorage(own)).toBe(own);
  await expect(fileSource("/nowhere/x")).rejects.toMatchObject({ code: "not_found" });
  await withFolder(async (folder) => {
    await writeFile(path.join(folder, "x"), "12345");
    const source = await fileSource(path.join(folder, "x"));
    expect((await gather(source.read(1, 3))).toString()).toBe("23");
    expect((await stat(path.join(folder, "x"))).size).toBe(source.bytes);
  });
});
