/**
 * `servable/client` in a real browser, as a page of another origin: its modules as they are in dist/, no bundler between, which a module that needs
 * Node would not survive; and the model server's CORS, with a token. Run by `npm run test:page`.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { identityModel } from "../support/onnx-writer.ts";

const root = path.resolve(import.meta.dirname, "../..");
const token = "a-token-that-only-this-test-knows-0123456789";

let browser: Browser;
let page: Page;
let folder: string;
let pages: Server;
let models: ChildProcess;
let url: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "servable-browser-"));
  for (const [name, type] of [
    ["floats", "FP32"],
    ["longs", "INT64"],
    ["halves", "FP16"],
    ["texts", "BYTES"],
  ] as const) {
    await mkdir(path.join(folder, "models", name, "1"), { recursive: true });
    await writeFile(path.join(folder, "models", name, "1", "model.onnx"), identityModel(type, ["n"]));
  }
  await writeFile(path.join(folder, "tokens"), token);
  pages = createServer((request, response) => {
    if (request.url === "/") response.setHeader("content-type", "text/html").end("<!doctype html><title>a page</title>");
    else
      sendModule(request.url ?? "").then(
        (text) => response.setHeader("content-type", "text/javascript").end(text),
        () => response.writeHead(404).end(),
      );
  });
  await once(pages.listen(0, "127.0.0.1"), "listening");
  const origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;
  models = spawn(
    process.execPath,
    [
      "dist/cli/main.js",
      "models",
      `--model-repository=${path.join(folder, "models")}`,
      "--backend-config=default-max-batch-size=0",
      "--http-port=0",
      "--allow-grpc=false",
      "--allow-metrics=false",
      `--token-file=${path.join(folder, "tokens")}`,
      `--cors-origin=${origin}`,
    ],
    { cwd: root, stdio: ["ignore", "pipe", "inherit"] },
  );
  url = await readUrl(models);
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM_PATH ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu"],
  });
  page = await browser.newPage();
  await page.goto(origin);
});

afterAll(async () => {
  await browser.close();
  pages.close();
  models.kill("SIGTERM");
  await once(models, "exit");
  await rm(folder, { recursive: true, force: true });
});

/** A module of dist/, whatever it imports in its turn. */
function sendModule(asked: string): Promise<string> {
  const file = path.join(root, "dist", path.normalize(asked));
  return readFile(file, "utf8");
}

function readUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let printed = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
      const found = /"url":"(http:[^"]+)","msg":"Started HTTPService/.exec(printed)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once("exit", (code) => reject(new Error(`The server ended with ${String(code)} before it was ready:\n${printed}`)));
  });
}

/** Runs the body of an async function in the page, with a client there. It is text: this file is checked without a browser's types. */
function inPage(body: string, options: object = { token }): Promise<unknown> {
  return page.evaluate(`(async () => {
    const { OpenInferenceClient, fp32ToFp16, fp16ToFp32 } = await import("/client.js");
    const client = new OpenInferenceClient(${JSON.stringify(url)}, ${JSON.stringify(options)});
    ${body}
  })()`);
}

test("tensors of every sort travel as bytes, both ways", async () => {
  const found = await inPage(`
    const floats = await client.infer("floats", { x: { shape: [3], data: Float32Array.of(1.5, -0, NaN) } });
    const longs = await client.infer("longs", { x: { shape: [2], data: BigInt64Array.of(-(2n ** 63n), 5n) } });
    const halves = await client.infer("halves", { x: { dataType: "FP16", shape: [2], data: fp32ToFp16(Float32Array.of(0.5, 2)) } });
    const texts = await client.infer("texts", { x: { shape: [2], data: ["Grüße", new Uint8Array([255, 254])] } });
    return {
      floats: [...floats.outputs.y.data].map((value) => String(Object.is(value, -0) ? "-0" : value)),
      longs: [...longs.outputs.y.data].map(String),
      halves: [...fp16ToFp32(halves.outputs.y.as("FP16").data)],
      texts: texts.outputs.y.data.map((text) => (typeof text === "string" ? text : [...text])),
    };
  `);
  expect(found).toEqual({
    floats: ["1.5", "-0", "NaN"],
    longs: ["-9223372036854775808", "5"],
    halves: [0.5, 2],
    texts: ["Grüße", [255, 254]],
  });
});

test("16 MB there and back, compressed, too", async () => {
  const found = await inPage(`
    const data = new Float32Array(4 * 1024 * 1024).map((_, index) => index);
    const small = data.subarray(0, 100_000);
    const gzip = new OpenInferenceClient(${JSON.stringify(url)}, { token: ${JSON.stringify(token)}, requestCompression: "gzip", responseCompression: "gzip" });
    const large = await client.infer("floats", { x: { shape: [data.length], data } });
    const packed = await gzip.infer("floats", { x: { shape: [small.length], data: small } });
    return [large.outputs.y.data.at(-1), large.outputs.y.data.length, packed.outputs.y.data.at(-1), packed.outputs.y.data.length];
  `);
  expect(found).toEqual([4_194_303, 4_194_304, 99_999, 100_000]);
});

test("what the server says of itself, and its own words for what is wrong", async () => {
  const found = await inPage(`
    const wrong = await client.infer("floats", { nothing: { shape: [1], data: Float32Array.of(1) } }).catch((error) => error.message);
    return [await client.ready(), await client.modelReady("nobody"), (await client.modelMetadata("longs")).inputs[0].datatype, wrong];
  `);
  expect(found).toEqual([true, false, "INT64", "unexpected inference input 'nothing' for model 'floats'"]);
});

test("without its token, and with a signal", async () => {
  expect(await inPage(`return await client.serverMetadata().catch((error) => error.code);`, {})).toBe("unauthenticated");
  const aborted = `
    const aborter = new AbortController();
    const call = client.infer("floats", { x: { shape: [1], data: Float32Array.of(1) } }, { signal: aborter.signal });
    aborter.abort();
    return await call.catch((error) => error.code);
  `;
  expect(await inPage(aborted)).toBe("cancelled");
});
