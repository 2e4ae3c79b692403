import { describe, expect, test, vi } from "vitest";
import { createClient } from "../../src/client.ts";
import type { ServiceDefinition } from "../../src/service/definition.ts";
import type * as services from "./services.ts";
import { sendJson, startWireServer, type Respond } from "./wire-server.ts";

type Module = typeof services;
const echoDouble: Respond = ({ body }, response) => {
  sendJson(response, { y: 2 * (JSON.parse(body.toString()) as { x: number }).x });
};

describe("a call", () => {
  test("posts JSON to the service's route and gives the value of the answer", async () => {
    await using server = await startWireServer(echoDouble);
    const client = createClient<Module>(server.url);
    await expect(client.double({ x: 4 })).resolves.toEqual({ y: 8 });
    const [arrival] = server.arrivals;
    expect(arrival).toMatchObject({ method: "POST", path: "/double" });
    expect(arrival?.headers).toMatchObject({
      accept: "application/json, text/event-stream;q=0.9, */*;q=0.1",
      "content-type": "application/json",
    });
    expect(arrival?.headers.authorization).toBeUndefined();
    const timeoutMs = Number(arrival?.headers["x-timeout-ms"]);
    expect(timeoutMs).toBeGreaterThan(0);
    expect(timeoutMs).toBeLessThanOrEqual(30_000);
  });

  test.each(["/api/v7", "/api/v7/", "/api/v7//"])("keeps the path of its URL (%s)", async (path) => {
    await using server = await startWireServer(echoDouble);
    await createClient<Module>(`${server.url}${path}`).double({ x: 1 });
    expect(server.arrivals[0]?.path).toBe("/api/v7/double");
  });

  test("keeps the query of its URL, and takes a URL object", async () => {
    await using server = await startWireServer(echoDouble);
    await createClient<Module>(new URL("/a?key=1", server.url)).double({ x: 1 });
    expect(server.arrivals[0]?.path).toBe("/a/double?key=1");
  });

  test("reaches names with a dash by index", async () => {
    await using server = await startWireServer((_arrival, response) => sendJson(response, 3));
    await expect(createClient<Module>(server.url)["my-service"]("abc")).resolves.toBe(3);
    expect(server.arrivals[0]).toMatchObject({ path: "/my-service", body: Buffer.from('"abc"') });
  });

  test("sends token, headers, request id and time-out; a call's headers over the client's", async () => {
    await using server = await startWireServer(echoDouble);
    const client = createClient<Module>(server.url, { token: "secret", headers: { "X-Team": "a", "x-both": "client" }, timeoutMs: 60_000 });
    await client.double({ x: 1 }, { headers: { "X-Both": "call" }, requestId: "abc-1", timeoutMs: 7000 });
    expect(server.arrivals[0]?.headers).toMatchObject({
      authorization: "Bearer secret",
      "x-team": "a",
      "x-both": "call",
      "x-request-id": "abc-1",
    });
    expect(Number(server.arrivals[0]?.headers["x-timeout-ms"])).toBeLessThanOrEqual(7000);
  });

  test("asks a token function before every call", async () => {
    await using server = await startWireServer(echoDouble);
    let asked = 0;
    const client = createClient<Module>(server.url, { token: async () => `t${++asked}` });
    await client.double({ x: 1 });
    await client.double({ x: 1 });
    expect(server.arrivals.map(({ headers }) => headers.authorization)).toEqual(["Bearer t1", "Bearer t2"]);
  });

  test("sends no time-out when there is none", async () => {
    await using server = await startWireServer(echoDouble);
    await createClient<Module>(server.url, { timeoutMs: Number.POSITIVE_INFINITY }).double({ x: 1 });
    expect(server.arrivals[0]?.headers).not.toHaveProperty("x-timeout-ms");
  });

  test("goes through the fetch that it is given", async () => {
    const client = createClient<Module>("https://models.example/v1", {
      fetch: async (url, init) => {
        const request = new Request(url, init);
        return Response.json({ url: request.url, x: await request.json() });
      },
    });
    await expect(client.double({ x: 1 })).resolves.toEqual({ url: "https://models.example/v1/double", x: { x: 1 } });
  });

  test("listens to a shared signal once, so that Node warns of no leak", async () => {
    await using server = await startWireServer(echoDouble);
    const client = createClient<Module>(server.url);
    const controller = new AbortController();
    const added = vi.spyOn(controller.signal, "addEventListener");
    await Promise.all(Array.from({ length: 20 }, (_, x) => client.double({ x }, { signal: controller.signal })));
    expect(added.mock.calls).toHaveLength(1);
  });
});

describe("the client object", () => {
  test("is no thenable, keeps its methods, and calls nothing by being looked at", async () => {
    await using server = await startWireServer(echoDouble);
    const client = createClient<Module>(server.url);
    expect(await Promise.resolve(client)).toBe(client);
    expect(client.double).toBe(client.double);
    expect(JSON.stringify({ client })).toBe('{"client":{}}');
    expect(Reflect.get(client, Symbol.toPrimitive)).toBeUndefined();
    expect(Reflect.get(client, "$$typeof")).toBeUndefined();
    expect(server.arrivals).toEqual([]);
  });

  test.each([
    ["not a url", /is not a URL/],
    ["ftp://host", /not ftp:/],
    ["http://user:pass@host", /pass `token`/],
  ])("refuses %s", (url, message) => {
    expect(() => createClient<Module>(url)).toThrow(
      expect.objectContaining({ code: "invalid_argument", message: expect.stringMatching(message) }),
    );
  });

  test("refuses options that make no sense, in a call by rejecting", async () => {
    expect(() => createClient<Module>("http://host", { timeoutMs: 0 })).toThrow(expect.objectContaining({ code: "invalid_argument" }));
    expect(() => createClient<Module>("http://host", { retries: 1.5 })).toThrow(expect.objectContaining({ code: "invalid_argument" }));
    const client = createClient<Module>("http://host");
    await expect(client.double({ x: 1 }, { timeoutMs: Number.NaN })).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(client.double({ x: 1 }, { headers: { "bad name": "x" } })).rejects.toMatchObject({ code: "invalid_argument" });
  });

  test("takes a URL relative to the page in a browser", async () => {
    vi.stubGlobal("location", { href: "https://shop.example/models/page.html" });
    try {
      const client = createClient<Module>("/api", { fetch: async (url) => Response.json(url) });
      await expect(client.double({ x: 1 })).resolves.toBe("https://shop.example/api/double");
    } finally {
      vi.unstubAllGlobals();
    }
  });
});

describe("an input", () => {
  async function sent(input: unknown, options?: { headers: Record<string, string> }) {
    await using server = await startWireServer((_arrival, response) => sendJson(response, null));
    await createClient<ServiceDefinition>(server.url).any?.(input, options);
    const [arrival] = server.arrivals;
    if (arrival === undefined) throw new Error("nothing arrived");
    return { type: arrival.headers["content-type"], body: arrival.body, headers: arrival.headers };
  }

  test.each([
    ["text", '"text"'],
    [null, "null"],
    [0, "0"],
    [[1, { a: null }], '[1,{"a":null}]'],
    [undefined, ""],
  ])("%j goes as JSON", async (input, body) => {
    await expect(sent(input)).resolves.toMatchObject({ type: "application/json", body: Buffer.from(body) });
  });

  test("a blob goes with its type, and without one as bytes", async () => {
    await expect(sent(new Blob(["png"], { type: "image/png" }))).resolves.toMatchObject({ type: "image/png", body: Buffer.from("png") });
    await expect(sent(new Blob(["raw"]))).resolves.toMatchObject({ type: "application/octet-stream", body: Buffer.from("raw") });
  });

  test("bytes go as they are: only the part that a view shows, shared memory too", async () => {
    const type = "application/octet-stream";
    const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    await expect(sent(bytes.buffer)).resolves.toMatchObject({ type, body: Buffer.from(bytes) });
    await expect(sent(bytes.subarray(2, 4))).resolves.toMatchObject({ type, body: Buffer.of(3, 4) });
    await expect(sent(new DataView(bytes.buffer, 1, 2))).resolves.toMatchObject({ type, body: Buffer.of(2, 3) });
    await expect(sent(new Float32Array([1]))).resolves.toMatchObject({ type, body: Buffer.of(0, 0, 0x80, 0x3f) });
    await expect(sent(new Uint8Array(new SharedArrayBuffer(2)).fill(9))).resolves.toMatchObject({ type, body: Buffer.of(9, 9) });
  });

  test("a caller may name the type of bytes", async () => {
    const options = { headers: { "content-type": "application/msgpack" } };
    await expect(sent(Uint8Array.of(0xc0), options)).resolves.toMatchObject({ type: "application/msgpack" });
  });

  test("a form goes as multipart with fetch's own boundary", async () => {
    const form = new FormData();
    form.append("image", new Blob(["pixels"], { type: "image/png" }), "a.png");
    const { type, body } = await sent(form, { headers: { "content-type": "multipart/form-data" } });
    expect(type).toMatch(/^multipart\/form-data; boundary=.+/);
    expect(body.toString()).toMatch(/name="image"; filename="a.png"\r\nContent-Type: image\/png\r\n\r\npixels/);
  });

  test.each([
    [{ a: [1, { b: Number.NaN }] }, { path: ["a", 1, "b"], message: "JSON can't carry NaN" }],
    [Number.POSITIVE_INFINITY, { path: [], message: "JSON can't carry Infinity" }],
  ])("with a number that JSON would turn into null is refused, with its path (%j)", async (input, issue) => {
    const any = createClient<ServiceDefinition>("http://127.0.0.1:9").any;
    await expect(any?.(input)).rejects.toMatchObject({ code: "invalid_request", issues: [issue] });
  });

  test("that JSON can't write is refused", async () => {
    const any = createClient<ServiceDefinition>("http://127.0.0.1:9").any;
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    await expect(any?.(1n)).rejects.toMatchObject({ code: "invalid_request", message: expect.stringMatching(/written as JSON.*BigInt/) });
    await expect(any?.(cycle)).rejects.toMatchObject({ code: "invalid_request" });
  });
});

describe("an answer", () => {
  function answered(contentType: string | undefined, body: string | Uint8Array, status = 200) {
    const headers = contentType === undefined ? {} : { "content-type": contentType };
    return startWireServer((_arrival, response) => void response.writeHead(status, headers).end(body));
  }
  const call = (url: string) => createClient<ServiceDefinition>(url).any?.(null);

  test.each([
    ["application/json; charset=utf-8", '{"a":1}', { a: 1 }],
    ["application/vnd.scores+json", "[1]", [1]],
    ["Application/JSON", "null", null],
    ["text/plain; charset=utf-8", "grüße", "grüße"],
    ["application/octet-stream", Uint8Array.of(1, 2), Uint8Array.of(1, 2)],
  ])("of %s gives its value", async (type, body, value) => {
    await using server = await answered(type, body);
    await expect(call(server.url)).resolves.toEqual(value);
  });

  test("of any other type gives a blob of that type", async () => {
    await using server = await answered("image/png", "pixels");
    const blob = await call(server.url);
    expect(blob).toBeInstanceOf(Blob);
    expect((blob as Blob).type).toBe("image/png");
    expect(await (blob as Blob).text()).toBe("pixels");
  });

  test("of nothing gives undefined", async () => {
    await using server = await answered(undefined, "", 204);
    await expect(call(server.url)).resolves.toBeUndefined();
  });

  test("of broken JSON is an error that says so", async () => {
    await using server = await answered("application/json", '{"a":');
    await expect(call(server.url)).rejects.toMatchObject({
      code: "internal",
      message: expect.stringMatching(/any at http.* JSON that can't be read/),
    });
  });

  test("can be iterated where it is a single value", async () => {
    await using server = await answered("application/json", "7");
    const items: unknown[] = [];
    for await (const item of call(server.url) ?? []) items.push(item);
    expect(items).toEqual([7]);
  });
});
