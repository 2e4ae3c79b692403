import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { FastifyInstance, FastifyPluginAsync, FastifyPluginCallback } from "fastify";
import { defineService } from "servable";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TokenFile } from "../../../src/runtime/http/tokens.ts";
import { makeCertificate } from "../../support/certificate.ts";
import { keepLog, openRaw, problemOf, serve, until, type LogLine, type Serving } from "../../support/serving.ts";

const echo = defineService({ name: "echo", call: (value) => value });
const folder = mkdtempSync(join(tmpdir(), "servable-tokens-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
let files = 0;
const tokenFile = (text: string): string => {
  const file = join(folder, `tokens-${files++}.txt`);
  writeFileSync(file, text);
  return file;
};
const hashLine = (token: string): string => `sha256:${createHash("sha256").update(token).digest("hex")}`;
const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

describe("a token file", () => {
  let server: Serving;
  beforeAll(async () => {
    server = await serve([echo], {
      host: "0.0.0.0",
      auth: { tokenFile: tokenFile(`# the team\n\n  first-token  \r\n${hashLine("second-token")}\n`) },
      configure(app) {
        app.get("/mine", () => "mine");
      },
    });
  });
  afterAll(() => server.runtime.stop());
  const address = (path: string): string => `http://127.0.0.1:${server.port}${path}`;

  test.each(["/livez", "/startupz", "/readyz", "/", "/page.js", "/page.css"])("GET %s is open", async (path) => {
    expect((await fetch(address(path))).status).toBe(200);
  });

  test.each([
    ["POST", "/echo"],
    ["POST", "/echo/batch"],
    ["GET", "/metrics"],
    ["GET", "/openapi.json"],
    ["GET", "/echo"],
    ["GET", "/nobody"],
    ["POST", "/nobody"],
    ["GET", "/mine"],
    ["POST", "/"],
  ])("%s %s is not", async (method, path) => {
    for (const headers of [
      {},
      bearer("wrong"),
      bearer(hashLine("second-token")),
      { authorization: "first-token" },
      { authorization: "Basic first-token" },
      bearer(""),
    ]) {
      const response = await fetch(address(path), { method, headers });
      if (method === "POST" && path === "/") {
        expect(response.status).toBe(405);
        continue;
      }
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
      const problem = await problemOf(response, 401, "unauthenticated");
      expect(JSON.stringify(problem)).not.toContain("echo");
    }
    expect((await fetch(address(path), { method, headers: bearer("first-token") })).status).not.toBe(401);
  });

  test("each of the tokens lets in, plain or hashed in the file", async () => {
    for (const token of ["first-token", "second-token"]) {
      expect(await (await server.post("/echo", "1", bearer(token))).json()).toBe(1);
    }
    expect(
      (
        await fetch(address("/echo"), {
          method: "POST",
          body: "1",
          headers: { authorization: "bearer  first-token ", "content-type": "application/json" },
        })
      ).status,
    ).toBe(200);
  });

  test("is refused before a body is read", async () => {
    const endless = new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(65_536));
      },
    });
    await problemOf(await server.post("/echo", endless), 401, "unauthenticated");
  });

  test("refusals are logged, tokens are not", () => {
    const text = JSON.stringify(server.lines);
    expect(text).toContain('"outcome":"unauthenticated"');
    expect(text).not.toMatch(/first-token|second-token/);
  });

  test("OpenAPI says that a token is asked for", async () => {
    const document = (await (await fetch(address("/openapi.json"), { headers: bearer("first-token") })).json()) as { security?: unknown };
    expect(JSON.stringify(document)).toContain("bearer");
  });
});

describe("a token file that changes", () => {
  test("is read again, by a server that runs", { timeout: 20_000 }, async () => {
    const file = tokenFile("old-token\n");
    await using server = await serve([echo], { auth: { tokenFile: file } });
    const status = async (token: string): Promise<number> => (await server.post("/echo", "1", bearer(token))).status;
    expect([await status("old-token"), await status("new-token")]).toEqual([200, 401]);
    writeFileSync(file, "new-token\n");
    await until(() => server.lines.some(({ message }) => message === "token file read again"), "the file to be read again");
    expect([await status("old-token"), await status("new-token")]).toEqual([401, 200]);

    writeFileSync(file, "sha256:nonsense\n");
    await until(() => server.lines.some(({ level }) => level === "error"), "the complaint");
    expect(await status("new-token")).toBe(200);
  });
});

describe("a token file that is none", () => {
  test.each([
    [() => join(folder, "missing.txt"), /can't be read/],
    [() => tokenFile(""), /has no token in it/],
    [() => tokenFile("# only a comment\n\n"), /has no token in it/],
    [() => tokenFile("good\nsha256:123\n"), /Token 2 in .* begins with sha256: but 64 hex digits do not follow/],
  ])("%#", async (file, message) => {
    await expect(serve([echo], { auth: { tokenFile: file() } })).rejects.toMatchObject({
      code: "invalid_config",
      message: expect.stringMatching(message) as string,
    });
  });

  test("is not held open by a TokenFile that was closed", () => {
    const lines: LogLine[] = [];
    const tokens = new TokenFile(tokenFile("a b\nc"), keepLog(lines));
    expect([tokens.accepts("Bearer c"), tokens.accepts("Bearer a"), tokens.accepts("Bearer a b"), tokens.accepts(undefined)]).toEqual([
      true,
      false,
      false,
      false,
    ]);
    tokens.close();
  });
});

describe("a plugin of the user's own", () => {
  const plugin: FastifyPluginAsync = async (app) => {
    await Promise.resolve();
    app.addHook("onRequest", async (request, reply) => {
      if (request.headers["x-key"] === "sesame") return;
      if (request.headers["x-key"] === "throw") throw Object.assign(new Error("Not you."), { statusCode: 403 });
      await reply.code(401).send({ mine: true });
    });
  };
  let server: Serving;
  beforeAll(async () => {
    server = await serve([echo], { host: "0.0.0.0", auth: { plugin } });
  });
  afterAll(() => server.runtime.stop());

  test("guards everything but health, with its own answers", async () => {
    for (const [method, path] of [
      ["POST", "/echo"],
      ["POST", "/echo/batch"],
      ["GET", "/metrics"],
      ["GET", "/openapi.json"],
      ["GET", "/nobody"],
    ] as const) {
      const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
      expect([response.status, await response.json()], path).toEqual([401, { mine: true }]);
    }
    for (const path of ["/livez", "/readyz", "/startupz"]) expect((await fetch(`http://127.0.0.1:${server.port}${path}`)).status).toBe(200);
    expect(await (await server.post("/echo", "1", { "x-key": "sesame" })).json()).toBe(1);
  });

  test("what it throws is a problem", async () => {
    const response = await server.post("/echo", "1", { "x-key": "throw" });
    expect(response.headers.get("www-authenticate")).toBeNull();
    expect((await problemOf(response, 403, "unauthenticated")).detail).toBe("Not you.");
  });
});

describe("a plugin of the user's own, in any style that Fastify takes", () => {
  const guard = (app: FastifyInstance, key = "sesame"): void => {
    app.addHook("onRequest", (request, reply, done) => {
      if (request.headers["x-key"] === key) done();
      else void reply.code(401).send({ mine: true });
    });
  };
  const later = (work: () => void): void => void setTimeout(work, 20);
  const marked = <T extends object>(plugin: T): T => Object.assign(plugin, { [Symbol.for("skip-override")]: true });
  const optional = marked((app: FastifyInstance, options: { key: string }, done: () => void) => {
    guard(app, options.key);
    done();
  });
  const callback =
    (work: (app: FastifyInstance, done: () => void) => void): FastifyPluginCallback =>
    (app, _options, done) => {
      work(app, done);
    };
  const atOnce = callback((app, done) => {
    guard(app);
    done();
  });
  const styles: [string, FastifyPluginCallback | FastifyPluginAsync][] = [
    ["a callback", atOnce],
    [
      "a callback that adds its hook later",
      callback((app, done) => {
        later(() => {
          guard(app);
          done();
        });
      }),
    ],
    [
      "an async function that adds its hook later",
      async (app: FastifyInstance): Promise<void> => {
        await new Promise<void>((resolve) => {
          later(resolve);
        });
        guard(app);
      },
    ],
    [
      "one made with fastify-plugin",
      marked(
        callback((app, done) => {
          guard(app);
          done();
        }),
      ),
    ],
    [
      "one with options, made with fastify-plugin",
      async (app: FastifyInstance): Promise<void> => {
        await app.register(optional, { key: "sesame" });
      },
    ],
    [
      "one that is not awaited",
      callback((app, done) => {
        void app.register(optional, { key: "sesame" });
        done();
      }),
    ],
  ];

  test.each(styles)("%s", async (_name, plugin) => {
    await using server = await serve([echo], { auth: { plugin } });
    for (const path of ["/echo", "/echo/batch", "/nobody", "/metrics"]) {
      expect([path, (await server.post(path, "1")).status]).toEqual([path, 401]);
    }
    expect(await (await server.post("/echo", "1", { "x-key": "sesame" })).json()).toBe(1);
    expect((await server.get("/readyz")).status).toBe(200);
  });

  test("the same one guards two servers", async () => {
    for (let round = 0; round < 2; round += 1) {
      await using server = await serve([echo], { auth: { plugin: atOnce } });
      expect((await server.post("/echo", "1")).status).toBe(401);
    }
    expect(Object.getOwnPropertySymbols(atOnce)).toEqual([]);
  });

  test("that fails lets nothing be served", async () => {
    const fails: (FastifyPluginCallback | FastifyPluginAsync)[] = [
      (_app, _options, done) => {
        done(new Error("no keys"));
      },
      () => Promise.reject(new Error("no keys")),
    ];
    for (const plugin of fails) await expect(serve([echo], { auth: { plugin } })).rejects.toThrow("no keys");
  });
});

describe("pages of other origins", () => {
  const page = "https://evil.example";
  const send = (server: Serving, headers: Record<string, string>, path = "/echo"): Promise<Response> =>
    // As a page can without a preflight: with no type, or one of a form.
    fetch(server.url + path, { method: "POST", body: new Blob(["[1]"]), headers });

  test("can't call a server that asks nobody for a token", async () => {
    await using server = await serve([echo]);
    const refused: Record<string, string>[] = [
      { origin: page },
      { origin: page, "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "cross-site" },
      { origin: "null" },
      { origin: `http://127.0.0.1:${server.port + 1}` },
    ];
    for (const headers of refused) {
      for (const path of ["/echo", "/echo/batch"]) {
        const response = await send(server, headers, path);
        expect(response.headers.get("www-authenticate")).toBeNull();
        await problemOf(response, 403, "unauthenticated");
      }
    }
    const { detail } = await problemOf(await send(server, { origin: page }), 403, "unauthenticated");
    expect(detail).toContain(`--cors-origin ${page}`);
    expect(server.events.at(-1)).toMatchObject({ service: "echo", outcome: "unauthenticated" });
  });

  test("but its own page, pages of the same site, and clients that are no browser can", async () => {
    await using server = await serve([echo]);
    const taken: Record<string, string>[] = [
      {},
      { origin: server.url },
      { origin: server.url, "sec-fetch-site": "same-origin" },
      // A proxy in between changed the Host.
      { origin: "https://models.example", "sec-fetch-site": "same-origin" },
      { origin: "http://127.0.0.1:5173", "sec-fetch-site": "same-site" },
      { "sec-fetch-site": "none" },
    ];
    for (const headers of taken) expect([headers, (await send(server, headers)).status]).toEqual([headers, 200]);
    expect((await server.get("/readyz", { headers: { origin: page, "sec-fetch-site": "cross-site" } })).status).toBe(200);
  });

  test("nor odd ones, which are not repeated", async () => {
    await using server = await serve([echo]);
    const { detail } = await problemOf(await send(server, { origin: 'https://a"><script>' }), 403, "unauthenticated");
    expect(detail).not.toContain("script");
  });

  test("can where they are named, or all are", async () => {
    for (const corsOrigins of [[page], ["*"]]) {
      await using server = await serve([echo], { corsOrigins });
      expect((await send(server, { origin: page, "sec-fetch-site": "cross-site" })).status).toBe(200);
      expect((await send(server, { origin: "https://other.example" })).status).toBe(corsOrigins[0] === "*" ? 200 : 403);
    }
  });

  test("can with a token, which no page has by itself", async () => {
    await using server = await serve([echo], { auth: { tokenFile: tokenFile("t0ken") } });
    expect((await send(server, { origin: page, "sec-fetch-site": "cross-site", ...bearer("t0ken") })).status).toBe(200);
  });
});

describe("CORS", () => {
  const origin = "https://example.com";
  const preflight = (url: string, from: string): Promise<Response> =>
    fetch(`${url}/echo`, {
      method: "OPTIONS",
      headers: { origin: from, "access-control-request-method": "POST", "access-control-request-headers": "content-type" },
    });

  test("is off unless origins are named", async () => {
    await using server = await serve([echo]);
    expect((await server.post("/echo", "1", { origin })).headers.get("access-control-allow-origin")).toBeNull();
    const response = await preflight(server.url, origin);
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
    expect(response.status).toBe(405);
  });

  test("lets named origins in, with or without tokens, and no others", async () => {
    await using server = await serve([echo], { corsOrigins: [origin, "https://other.example"], auth: { tokenFile: tokenFile("t0ken") } });
    const allowed = await preflight(server.url, origin);
    expect([allowed.status, allowed.headers.get("access-control-allow-origin")]).toEqual([204, origin]);
    expect(allowed.headers.get("access-control-allow-methods")).toContain("POST");
    expect((await preflight(server.url, "https://evil.example")).headers.get("access-control-allow-origin")).not.toBe(
      "https://evil.example",
    );
    const answered = await server.post("/echo", "1", { origin, ...bearer("t0ken") });
    expect(answered.headers.get("access-control-allow-origin")).toBe(origin);
    expect(answered.headers.get("access-control-expose-headers")).toContain("x-request-id");
    expect(
      (await server.post("/echo", "1", { origin: "https://evil.example", ...bearer("t0ken") })).headers.get("access-control-allow-origin"),
    ).toBeNull();
    const refused = await server.post("/echo", "1", { origin });
    expect([refused.status, refused.headers.get("access-control-allow-origin")]).toEqual([401, origin]);
  });

  test("* lets every origin in", async () => {
    await using server = await serve([echo], { corsOrigins: ["*"] });
    expect((await server.post("/echo", "1", { origin })).headers.get("access-control-allow-origin")).toBe("*");
  });
});

describe("TLS", () => {
  const certificate = makeCertificate();

  test.skipIf(certificate === undefined)("serves HTTPS, and stops with an answer under way", async () => {
    const { certFile, keyFile } = certificate!;
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let begun = false;
    const hold = defineService({
      name: "hold",
      call: async (value) => {
        begun = true;
        await held;
        return value;
      },
    });
    const server = await serve([hold], { tls: { certFile, keyFile } });
    expect(server.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/);
    const agent = new Agent({ keepAlive: true, ca: readFileSync(certFile) });
    const answer = new Promise<string>((resolve, reject) => {
      const sent = httpsRequest(
        `${server.url}/hold`,
        { method: "POST", agent, headers: { "content-type": "application/json" } },
        (message) => {
          message.setEncoding("utf8");
          message.on("data", resolve);
        },
      );
      sent.on("error", reject);
      sent.end('"safe"');
    });
    await until(() => begun, "the call");
    const stopping = server.runtime.stop();
    release();
    expect(await answer).toBe('"safe"');
    await stopping;
    agent.destroy();
  });

  test.skipIf(certificate === undefined)("a stop waits no longer than a second for a handshake that was begun", async () => {
    await using server = await serve([echo], { tls: certificate!, graceMs: 600_000 });
    using connection = await openRaw(server.port);
    // The beginning of a ClientHello.
    connection.write(Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0));
    await pause(50);
    const since = performance.now();
    await server.runtime.stop();
    expect(performance.now() - since).toBeLessThan(5_000);
    expect(await connection.closed).toBe("");
  });

  test("a file that is not there is named", async () => {
    const tls = { certFile: join(folder, "no-cert.pem"), keyFile: join(folder, "no-key.pem") };
    await expect(serve([echo], { tls })).rejects.toMatchObject({
      code: "invalid_config",
      message: expect.stringContaining("no-cert.pem") as string,
    });
  });

  test("a file that is no certificate says so in one line", async () => {
    const file = tokenFile("nonsense");
    await expect(serve([echo], { tls: { certFile: file, keyFile: file } })).rejects.toMatchObject({
      code: "invalid_config",
      message: expect.stringMatching(/^[^\n]+$/) as string,
    });
  });
});
