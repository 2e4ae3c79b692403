/**
 * The page in a real browser, against the real server. Run by `npm run test:page`; needs Chromium at /usr/bin/chromium, or where
 * CHROMIUM_PATH says.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium, type Browser, type BrowserContext, type Locator, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, onTestFailed, test } from "vitest";

const root = path.resolve(import.meta.dirname, "../..");
const receipt = path.join(root, "examples/ocr/receipt.png");
const token = "a-token-that-only-this-test-knows-0123456789";

interface Server {
  readonly url: string;
  stop(): Promise<void>;
}

async function startServer(...args: readonly string[]): Promise<Server> {
  const child = spawn(process.execPath, ["dist/cli/main.js", "serve", ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  const url = await readUrl(child);
  return {
    url,
    stop: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null) {
          resolve();
          return;
        }
        child.once("exit", () => {
          resolve();
        });
        child.kill("SIGTERM");
      }),
  };
}

/** The address in the log line that says that the server is ready. */
function readUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let printed = "";
    const read = (chunk: Buffer): void => {
      printed += chunk.toString();
      const url = /"url":"(http:\/\/127\.0\.0\.1:\d+)"/.exec(printed)?.[1];
      if (url !== undefined) resolve(url);
    };
    child.stdout?.on("data", read);
    child.stderr?.on("data", read);
    child.once("exit", (code) => {
      reject(new Error(`The server ended with ${String(code)} before it was ready:\n${printed}`));
    });
  });
}

const streamModule = `
import { defineService, streamOf } from "servable";
import { z } from "zod";
export const countdown = defineService({
  name: "countdown",
  description: "Counts down to 1.",
  input: z.object({ from: z.int(), failAt: z.int().optional() }),
  output: z.object({ left: z.int() }),
  async *call({ from, failAt }) {
    for (let left = from; left > 0; left -= 1) {
      if (left === failAt) throw new Error("a secret of the service");
      yield { left };
    }
  },
});
export const total = defineService({
  name: "total",
  input: streamOf(z.object({ x: z.number() })),
  output: z.object({ sum: z.number() }),
  async call(items) {
    let sum = 0;
    for await (const { x } of items) sum += x;
    return { sum };
  },
});
export const forever = defineService({
  name: "forever",
  input: z.object({}),
  call: (_input, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
});
`;

let browser: Browser | undefined;
let server: Server | undefined;
let folder: string;
let context: BrowserContext | undefined;
/** Everything that the page complained of, but failed calls, which the browser reports as errors by itself. */
let complaints: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(path.join(root, "test/page/.services-"));
  const streams = path.join(folder, "streams.ts");
  await writeFile(streams, streamModule);
  server = await startServer("examples/double/double.ts", "examples/ocr/ocr.ts", streams, "--port", "0");
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM_PATH ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

afterEach(async () => {
  await context?.close();
  context = undefined;
  const found = complaints;
  complaints = [];
  expect(found).toEqual([]);
});

async function openPage(url: string, options: { width?: number; colorScheme?: "light" | "dark" } = {}): Promise<Page> {
  if (browser === undefined) throw new Error("there is no browser");
  context = await browser.newContext({
    viewport: { width: options.width ?? 1280, height: 900 },
    colorScheme: options.colorScheme ?? "light",
  });
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    const isFailedCall = message.text().startsWith("Failed to load resource: the server responded with a status of 4");
    if (["error", "warning"].includes(message.type()) && !isFailedCall) complaints.push(message.text());
  });
  // What runs in the page is given as text: this file is checked without a browser's types.
  const report = "(event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`)";
  await page.addInitScript({ content: `document.addEventListener("securitypolicyviolation", ${report});` });
  onTestFailed(async () => {
    await page.screenshot({ path: path.join(tmpdir(), "servable-page-test-failed.png"), fullPage: true }).catch(() => undefined);
  });
  await page.goto(url);
  return page;
}

function urlOf(running: Server | undefined): string {
  if (running === undefined) throw new Error("there is no server");
  return running.url;
}

/** The view of one service, opened by its place in the list. */
async function openService(page: Page, name: string): Promise<Locator> {
  await page.getByRole("navigation", { name: "Services" }).getByRole("link", { name }).click();
  const view = page.getByRole("region", { name, exact: true });
  await view.waitFor();
  return view;
}

const callButton = (view: Locator): Locator => view.getByRole("button", { name: "Call", exact: true });
const summaryOf = (view: Locator): Locator => view.getByRole("region", { name: "Answer" }).getByRole("status");

async function overflowOf(page: Page): Promise<unknown> {
  return await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
}

async function focusedText(page: Page): Promise<unknown> {
  return await page.evaluate("document.activeElement.textContent");
}

describe("the page", () => {
  test("lists the services with their fields, and says that the server is ready", async () => {
    const page = await openPage(urlOf(server));
    await page
      .getByRole("status")
      .filter({ hasText: /^ready$/ })
      .waitFor();
    const links = page.getByRole("navigation", { name: "Services" }).getByRole("link");
    expect(await links.locator("b").allTextContents()).toEqual(["double", "ocr", "countdown", "forever", "total"]);

    const view = await openService(page, "ocr");
    const output = view.getByRole("table", { name: "Output" });
    expect(await output.getByRole("rowheader").allTextContents()).toEqual(["lines", "lines[].text", "lines[].score", "lines[].box"]);
    const score = output.getByRole("row").filter({ hasText: "score" });
    expect(await score.getByRole("cell").allTextContents()).toEqual([
      "number",
      "required",
      "how sure the model is of the characters · ≥ 0 · ≤ 1",
    ]);
  });

  test("makes a JSON call, by button and by keyboard", async () => {
    const page = await openPage(`${urlOf(server)}/#double`);
    const view = page.getByRole("region", { name: "double", exact: true });
    const input = view.getByLabel("Input, as JSON");
    expect(JSON.parse(await input.inputValue())).toEqual({ x: 1 });
    await input.fill('{ "x": 21 }');
    await callButton(view).click();
    await summaryOf(view).getByText("200 OK").waitFor();
    expect(await view.locator(".answer .code").textContent()).toBe('{ "y": 42 }');
    expect(await summaryOf(view).textContent()).toMatch(/200 OK \d+ ms 8 B request [\w-]+/);

    await input.fill('{ "x": 4 }');
    await input.press("Control+Enter");
    await view.locator(".answer .code").getByText('{ "y": 8 }').waitFor();
  });

  test("says where a text is not JSON yet, and does not send it", async () => {
    const page = await openPage(`${urlOf(server)}/#double`);
    const view = page.getByRole("region", { name: "double", exact: true });
    let calls = 0;
    page.on("request", (sent) => (calls += sent.method() === "POST" ? 1 : 0));
    await view.getByLabel("Input, as JSON").fill('{\n  "x": 7,\n}');
    await view.getByText("Not JSON yet: line 3, column 1: a comma too many before this.").waitFor();
    await callButton(view).click();
    expect(await view.getByLabel("Input, as JSON").getAttribute("aria-invalid")).toBe("true");
    expect(calls).toBe(0);
  });

  test("shows a failing call with each field at its path", async () => {
    const page = await openPage(`${urlOf(server)}/#double`);
    const view = page.getByRole("region", { name: "double", exact: true });
    await view.getByLabel("Input, as JSON").fill('{ "x": "seven" }');
    await callButton(view).click();
    await summaryOf(view).getByText("400 Bad Request").waitFor();
    const fields = view.getByRole("list", { name: "Fields that are wrong" }).getByRole("listitem");
    expect(await fields.allTextContents()).toEqual([expect.stringMatching(/^x .*expected number/)]);
    await view.locator(".problem-detail").getByText("invalid_request").waitFor();
  });

  test("reads a picture and draws its boxes over the preview", async () => {
    const page = await openPage(urlOf(server));
    const view = await openService(page, "ocr");
    await callButton(view).click();
    await view.getByText("Choose a file first.").waitFor();

    await view.locator("input[type=file]").setInputFiles(receipt);
    await view.getByAltText("Preview of receipt.png").waitFor();
    await callButton(view).click();
    await summaryOf(view).getByText("200 OK").waitFor({ timeout: 30_000 });
    await view.getByRole("img", { name: /boxes over the picture/ }).waitFor();

    const texts = await view.locator(".found li > span:first-child").allTextContents();
    expect(texts.join("\n")).toContain("Harbour Street Bakery");
    const shapes = view.locator("svg polygon");
    expect(await shapes.count()).toBe(texts.length);
    const picture = await view.getByAltText("Preview of receipt.png").boundingBox();
    const shape = await shapes.first().boundingBox();
    if (picture === null || shape === null) throw new Error("the picture or its box is not seen");
    expect(shape.x).toBeGreaterThan(picture.x);
    expect(shape.y).toBeGreaterThan(picture.y);
    expect(shape.x + shape.width).toBeLessThan(picture.x + picture.width);
  });

  test("takes a file that is dropped, and one that is no picture", async () => {
    const page = await openPage(urlOf(server));
    const view = await openService(page, "ocr");
    const transfer = await page.evaluateHandle(`(() => {
      const data = new DataTransfer();
      data.items.add(new File(["not a picture"], "broken.png", { type: "image/png" }));
      return data;
    })()`);
    await view.getByText("Choose a file, drop one here").dispatchEvent("drop", { dataTransfer: transfer });
    await view.getByText("broken.png · image/png · 13 B").waitFor();
    await callButton(view).click();
    await summaryOf(view).getByText("400 Bad Request").waitFor();
    expect(await view.locator("svg polygon").count()).toBe(0);
  });

  test("shows a stream item by item, and how it failed", async () => {
    const page = await openPage(urlOf(server));
    const view = await openService(page, "countdown");
    const input = view.getByLabel("Input, as JSON");
    await input.fill('{ "from": 3 }');
    await callButton(view).click();
    await summaryOf(view).getByText("200 OK, complete").waitFor();
    expect(await view.locator(".items li").allTextContents()).toEqual(['{ "left": 3 }', '{ "left": 2 }', '{ "left": 1 }']);

    await input.fill('{ "from": 3, "failAt": 1 }');
    await callButton(view).click();
    await summaryOf(view).getByText("then the stream failed").waitFor();
    expect(await view.locator(".items li").allTextContents()).toEqual(['{ "left": 3 }', '{ "left": 2 }']);
    expect(await view.locator(".answer-body").textContent()).toContain("service_failed");
    expect(await view.locator(".answer-body").textContent()).not.toContain("secret");
  });

  test("sends a stream, one item a line", async () => {
    const page = await openPage(urlOf(server));
    const view = await openService(page, "total");
    const input = view.getByLabel("Items, each as JSON on a line of its own");
    await input.fill('{"x":1}\n{"x":');
    await view.getByText("Line 2 is not JSON yet: column 6: the text ends too early.").waitFor();
    await input.fill('{"x":1}\n{"x":2}\n{"x":39}');
    await callButton(view).click();
    await view.locator(".answer .code").getByText('{ "sum": 42 }').waitFor();
  });

  test("cancels a call, and keeps the keyboard's place", async () => {
    const page = await openPage(urlOf(server));
    const view = await openService(page, "forever");
    await callButton(view).focus();
    await page.keyboard.press("Enter");
    const cancel = view.getByRole("button", { name: "Cancel" });
    await cancel.waitFor();
    expect(await focusedText(page)).toBe("Cancel");
    await page.keyboard.press("Enter");
    await summaryOf(view).getByText("Cancelled").waitFor();
    expect(await focusedText(page)).toBe("Call");
  });

  test("gives a curl command that makes the same call", async () => {
    const page = await openPage(`${urlOf(server)}/#double`);
    const view = page.getByRole("region", { name: "double", exact: true });
    await view.getByLabel("Input, as JSON").fill('{ "x": 1.50 }');
    await view.getByText("This call with curl").click();
    expect(await view.locator(".curl .code").textContent()).toBe(
      [
        `curl -N '${urlOf(server)}/double'`,
        "-H 'content-type: application/json'",
        "-H 'accept: application/json, text/event-stream;q=0.9'",
        `--data-raw '{"x":1.50}'`,
      ].join(" \\\n  "),
    );
  });

  test("works beneath a prefix", async () => {
    const proxy = createServer((incoming, outgoing) => {
      const target = new URL(incoming.url?.replace(/^\/models\//, "/") ?? "/", urlOf(server));
      const forward = request(target, { method: incoming.method, headers: incoming.headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      incoming.pipe(forward);
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = proxy.address() as AddressInfo;
      const page = await openPage(`http://127.0.0.1:${port}/models/`);
      await page
        .getByRole("status")
        .filter({ hasText: /^ready$/ })
        .waitFor();
      const view = await openService(page, "double");
      await callButton(view).click();
      await summaryOf(view).getByText("200 OK").waitFor();
      expect(await view.locator(".curl .code").textContent()).toContain(`'http://127.0.0.1:${port}/models/double'`);
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  });

  test.each([
    { width: 360, colorScheme: "light" },
    { width: 360, colorScheme: "dark" },
    { width: 1280, colorScheme: "dark" },
  ] as const)("fits $width px, $colorScheme", async (options) => {
    const page = await openPage(urlOf(server), options);
    const view = await openService(page, "double");
    await view.getByText("This call with curl").click();
    await view.getByLabel("Input, as JSON").fill('{ "x": "seven" }');
    await callButton(view).click();
    await summaryOf(view).getByText("400 Bad Request").waitFor();
    expect(await overflowOf(page)).toBe(0);
    await openService(page, "ocr");
    expect(await overflowOf(page)).toBe(0);
    const ground = await page.evaluate("getComputedStyle(document.body).backgroundColor");
    expect(ground).toBe(options.colorScheme === "dark" ? "rgb(21, 23, 26)" : "rgb(247, 247, 245)");
  });
});

test("asks for a token where the server does, sends it, and says when the server has gone", async () => {
  const tokenFile = path.join(folder, "tokens");
  await writeFile(tokenFile, `${token}\n`, { mode: 0o600 });
  const guarded = await startServer("examples/double/double.ts", "--port", "0", "--token-file", tokenFile);
  try {
    const page = await openPage(guarded.url);
    await page.getByText("This server asks for a token.").waitFor();
    await page.getByLabel("Bearer token").fill("not the token");
    await page.keyboard.press("Enter");
    await page.getByText("The server does not know this token.").waitFor();
    await page.getByLabel("Bearer token").fill(token);
    await page.keyboard.press("Enter");

    const view = page.getByRole("region", { name: "double", exact: true });
    await callButton(view).click();
    await summaryOf(view).getByText("200 OK").waitFor();
    await view.getByText("This call with curl").click();
    const curl = await view.locator(".curl .code").textContent();
    expect(curl).toContain('-H "authorization: Bearer $TOKEN"');
    expect(curl).not.toContain(token);

    await guarded.stop();
    await page.getByText("The server does not answer.").waitFor({ timeout: 20_000 });
    await callButton(view).click();
    await summaryOf(view).getByText("No answer").waitFor();
    // The browser reports what a stopped server does not answer; that is this test's doing.
    complaints = complaints.filter((text) => !text.includes("net::ERR_"));
  } finally {
    await guarded.stop();
  }
});
