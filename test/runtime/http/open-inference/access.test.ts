import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import type { IncomingMessage } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { makeCertificate } from "../../../support/certificate.ts";
import { openRaw, until } from "../../../support/serving.ts";
import { addRequest, front } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "servable-model-tokens-"));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const add = "/v2/models/add/infer";
const body = addRequest([1], [2]);

describe("a token", () => {
  const tokenFile = join(folder, "tokens.txt");
  writeFileSync(tokenFile, "secret\n");

  test("is asked for everywhere but where the server says whether it lives", async () => {
    await using served = await front({ auth: { tokenFile }, host: "0.0.0.0" });
    const url = `http://127.0.0.1:${served.port}`;
    for (const path of ["/v2/health/live", "/v2/health/ready", "/v2/health/live?x"]) expect((await fetch(url + path)).status).toBe(200);
    for (const path of [
      "/v2",
      "/v2/models/add",
      "/v2/models/add/ready",
      "/nowhere",
      "/v2/health%2Flive",
      "/v2/health/live/",
      "/v2//health/live",
    ]) {
      const answer = await fetch(url + path);
      expect([path, answer.status]).toEqual([path, 401]);
      expect(answer.headers.get("www-authenticate")).toBe("Bearer");
      expect(await answer.json()).toEqual({ error: expect.stringContaining("asks for a token") as string });
    }
    const send = (headers: Record<string, string>): Promise<Response> => fetch(url + add, { method: "POST", body, headers });
    expect((await send({})).status).toBe(401);
    expect((await send({ authorization: "Bearer wrong" })).status).toBe(401);
    expect((await send({ authorization: "Bearer secret" })).status).toBe(200);
    expect(served.plane.models.get("add")?.callers.length).toBe(1);
  });

  test("or permission is needed off this machine", async () => {
    await expect(front({ host: "0.0.0.0" })).rejects.toMatchObject({
      code: "invalid_config",
      message: expect.stringContaining("--token-file") as string,
    });
    await using served = await front({ host: "0.0.0.0", allowUnauthenticated: true });
    expect((await fetch(`http://127.0.0.1:${served.port}/v2`)).status).toBe(200);
  });
});

test("a path that can't be decoded shows nothing without a token", async () => {
  const tokenFile = join(folder, "more.txt");
  writeFileSync(tokenFile, "secret\n");
  await using served = await front({ auth: { tokenFile } });
  expect((await fetch(`${served.url}/v2/models/%zz`)).status).toBe(404);
});

test("TLS", async ({ skip }) => {
  const tls = makeCertificate();
  if (tls === undefined) return skip("no openssl");
  await using served = await front({ tls });
  expect(served.url).toMatch(/^https:/);
  const sent = httpsRequest(`${served.url}${add}`, { method: "POST", ca: readFileSync(tls.certFile) });
  sent.end(body);
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  answer.resume();
  expect(answer.statusCode).toBe(200);
  await expect(front({ tls: { ...tls, keyFile: tls.certFile } })).rejects.toMatchObject({ code: "invalid_config" });
});

describe("pages of other origins", () => {
  const page = { origin: "https://example.com", "sec-fetch-site": "cross-site" };

  test("are turned away where nobody is asked for a token", async () => {
    await using served = await front();
    const answer = await served.post(add, body, page);
    expect([answer.status, await answer.json()]).toEqual([
      403,
      { error: expect.stringContaining("--cors-origin https://example.com") as string },
    ]);
  });

  test("may call where they are named, and read the header that binary answers need", async () => {
    await using served = await front({ corsOrigins: ["https://example.com"] });
    const ask = await fetch(served.url + add, {
      method: "OPTIONS",
      headers: { ...page, "access-control-request-method": "POST", "access-control-request-headers": "inference-header-content-length" },
    });
    expect(ask.status).toBe(204);
    expect(ask.headers.get("access-control-allow-headers")).toBe("inference-header-content-length");
    const answer = await served.post(add, body, page);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("access-control-allow-origin")).toBe("https://example.com");
    expect(answer.headers.get("access-control-expose-headers")).toContain("inference-header-content-length");
    const failure = await served.post("/v2/models/nobody/infer", body, page);
    expect([failure.status, failure.headers.get("access-control-allow-origin")]).toEqual([404, "https://example.com"]);
    const stream = await served.post("/v2/models/words/generate_stream", '{"text":"a"}', page);
    expect(stream.headers.get("access-control-allow-origin")).toBe("https://example.com");
  });
});

describe("restricted groups of routes", () => {
  const restricted = [
    { apis: ["model-repository", "statistics"], header: "Admin-Key", value: "letmein" },
    { apis: ["inference"], header: "infer-key", value: "x" },
  ] as const;

  test("ask for their header, whatever the method", async () => {
    await using served = await front({ restricted });
    const refused = await served.post("/v2/repository/index");
    expect([refused.status, await refused.json()]).toEqual([403, { error: "This API is restricted, expecting header 'Admin-Key'" }]);
    expect((await fetch(`${served.url}/v2/repository/index`)).status).toBe(403);
    expect((await fetch(`${served.url}/v2/models/stats`)).status).toBe(403);
    expect((await served.post("/v2/repository/index", "", { "admin-key": "letmein" })).status).toBe(200);
    expect((await served.post("/v2/repository/index", "", { "admin-key": "letmeIn" })).status).toBe(403);
    expect((await served.post(add, body, { "admin-key": "letmein" })).status).toBe(403);
    expect((await served.post(add, body, { "infer-key": "x" })).status).toBe(200);
    expect((await fetch(`${served.url}/v2/models/add`)).status).toBe(200);
  });
});

describe("the end", () => {
  test("what is under way is answered; then nothing listens", async () => {
    const served = await front();
    using connection = await openRaw(served.port);
    connection.write(`POST ${add} HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n`);
    const model = served.plane.models.get("add");
    await until(() => model?.inside === 1);
    void served.server.drain(5_000);
    const stopped = served.server.stop(5_000);
    connection.write(body);
    expect(await connection.closed).toMatch(/^HTTP\/1\.1 200 OK\r\n(?:.*\r\n)*connection: close\r\n(?:.*\r\n)*\r\n\{/i);
    await stopped;
    await expect(fetch(served.url)).rejects.toThrow();
  });

  test("a server that ends is neither alive nor ready", async () => {
    const served = await front();
    using connection = await openRaw(served.port);
    connection.write("GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n");
    await until(() => connection.received().includes("200 OK"));
    void served.server.drain(5_000);
    connection.write("GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n");
    expect(await connection.closed).toContain("HTTP/1.1 503 Service Unavailable");
    await served.server.stop(100);
  });

  test("what outlives the grace time is cut off", async () => {
    const served = await front();
    const answer = served.post("/v2/models/wait/infer", '{"inputs":[]}').catch(() => "cut");
    await until(() => served.plane.models.get("wait")?.inside === 1);
    await served.server.stop(20);
    expect(await answer).toBe("cut");
    await until(() => served.plane.models.get("wait")?.inside === 0);
    expect(served.plane.models.get("wait")).toMatchObject({ cancelled: 1 });
  });
});

test("a port that is taken is said, with the flag that helps", async () => {
  await using served = await front();
  await expect(front({ port: served.port })).rejects.toMatchObject({
    code: "address_in_use",
    message: expect.stringContaining("--http-port") as string,
  });
  await expect(front({ port: 70_000 })).rejects.toMatchObject({ code: "invalid_config" });
});

test.each([
  ["GARBAGE\r\n\r\n", "The request is not valid HTTP."],
  [`GET /v2 HTTP/1.1\r\nx: ${"y".repeat(20_000)}\r\n\r\n`, "The request's head is too large."],
])("what is not HTTP gets an error of the same form", async (text, error) => {
  await using served = await front();
  using connection = await openRaw(served.port);
  connection.write(text);
  const received = await connection.closed;
  expect(received).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  expect(received).toContain(JSON.stringify({ error }));
});

test("what was not foreseen is logged, and a client is told nothing of it", async () => {
  await using served = await front();
  served.plane.modelMetadata = () => {
    throw new TypeError("the secret of /home/me");
  };
  const answer = await fetch(`${served.url}/v2/models/add`);
  expect([answer.status, await answer.json()]).toEqual([500, { error: "Something went wrong in the server. Its log tells more." }]);
  expect(served.lines).toMatchObject([{ level: "error", fields: { err: { message: "the secret of /home/me" } } }]);
});
