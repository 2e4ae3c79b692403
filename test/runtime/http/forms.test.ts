/** Pictures and forms over the wire: what is wrong with one is a problem, and never more than that. */
import { ImageHandler, MultipartHandler, defineService, requireFile } from "servable";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRaw, parseAnswer, problemOf, serve, type Serving } from "../../support/serving.ts";

const services = [
  defineService({ name: "size", request: new ImageHandler({ field: "image" }), call: ({ width, height }) => ({ width, height }) }),
  defineService({
    name: "file",
    request: new MultipartHandler(),
    policy: { maxBodyBytes: 50_000 },
    call: (form) => ({ bytes: requireFile(form, "document").data.length }),
  }),
];

let server: Serving;
let png: Buffer;
beforeAll(async () => {
  server = await serve(services);
  png = await sharp({ create: { width: 30, height: 20, channels: 3, background: "red" } })
    .png()
    .toBuffer();
});
afterAll(() => server.runtime.stop());

/** Leaves the content type, with its boundary, to fetch. */
const send = (path: string, body: FormData): Promise<Response> => fetch(server.url + path, { method: "POST", body });
const formOf = (name: string, data: Uint8Array): FormData => {
  const form = new FormData();
  form.set(name, new Blob([new Uint8Array(data)]), "x.png");
  return form;
};

describe("a picture", () => {
  test("bare, or in a form", async () => {
    expect(await (await server.post("/size", png, { "content-type": "image/png" })).json()).toEqual({ width: 30, height: 20 });
    expect(await (await send("/size", formOf("image", png))).json()).toEqual({ width: 30, height: 20 });
  });

  test.each(["text", ""])("that is none (%j)", async (text) => {
    await problemOf(await server.post("/size", text, { "content-type": "image/png" }), 400, "invalid_request");
    await problemOf(await send("/size", formOf("image", Buffer.from(text))), 400, "invalid_request");
  });

  test("that breaks off", async () => {
    await problemOf(await server.post("/size", png.subarray(0, 60), { "content-type": "image/png" }), 400, "invalid_request");
  });

  test("whose header says 20,000 × 20,000 is refused before it is decoded", async () => {
    const huge = Buffer.from(png);
    huge.writeUInt32BE(20_000, 16);
    huge.writeUInt32BE(20_000, 20);
    const response = await server.post("/size", huge, { "content-type": "image/png" });
    expect([400, 413]).toContain(response.status);
    const problem = await problemOf(response, response.status, response.status === 413 ? "payload_too_large" : "invalid_request");
    expect(problem.detail).toMatch(/20,?000/);
  });

  test("in the wrong field", async () => {
    expect((await problemOf(await send("/size", formOf("picture", png)), 400, "invalid_request")).detail).toContain("image");
  });

  test("as JSON is another type", async () => {
    const problem = await problemOf(await server.post("/size", "{}"), 415, "unsupported_media_type");
    expect(problem.accepted).toEqual(expect.arrayContaining(["image/png", "multipart/form-data"]));
  });
});

describe("a form", () => {
  const head = '--b\r\ncontent-disposition: form-data; name="document"; filename="a.txt"\r\n\r\n';
  const post = (body: string, type = "multipart/form-data; boundary=b"): Promise<Response> =>
    server.post("/file", body, { "content-type": type });

  test("is read", async () => {
    expect(await (await post(`${head}hello\r\n--b--\r\n`)).json()).toEqual({ bytes: 5 });
  });

  test.each([
    ["cut in its end", `${head}hello\r\n--b-`],
    ["cut in a part", `${head}hel`],
    ["cut in a part's head", "--b\r\ncontent-disposition: form-da"],
    ["without any part", "--b--\r\n"],
    ["of nothing", ""],
    ["that is none", "hello"],
    ["without the file", '--b\r\ncontent-disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n'],
  ])("%s", async (_name, body) => {
    await problemOf(await post(body), 400, "invalid_request");
  });

  test("without a boundary", async () => {
    await problemOf(await post("x", "multipart/form-data"), 400, "invalid_request");
  });

  test("that is too large", async () => {
    await problemOf(await post(`${head}${"x".repeat(60_000)}\r\n--b--\r\n`), 413, "payload_too_large");
  });

  test("that breaks off on its way", async () => {
    using connection = await openRaw(server.port);
    connection.write(
      `POST /file HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: 1000\r\n\r\n${head}hel`,
    );
    connection.socket.end();
    const answer = parseAnswer(await connection.closed);
    expect(answer.status).toBe(400);
    expect(await (await post(`${head}hello\r\n--b--\r\n`)).json()).toEqual({ bytes: 5 });
  });
});
