import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { builtFixture } from "../support/fixtures.ts";
import { Server, makeFolder, post, removeFolder, root, runCli, servicesModule } from "./support.ts";

const builtServices = builtFixture("test/cli/services.ts");
let folder: string;
let servers: Server[];

beforeEach(async () => {
  folder = await makeFolder();
  servers = [];
});
afterEach(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await removeFolder(folder);
});

function serve(...parameters: string[]): Server {
  const server = new Server(["serve", ...parameters, "--port", "0"], { cwd: folder });
  servers.push(server);
  return server;
}

function moduleOf(name: string): string {
  return `import { defineService } from "servable";\nexport const service = defineService({ name: "${name}", call: () => 1 });\n`;
}

describe("servable serve", () => {
  test("serves every service of a TypeScript module and says so in one structured line", async () => {
    const server = serve(servicesModule);
    const url = await server.url();
    expect(await post(`${url}/double`, { x: 1 })).toEqual({ status: 200, body: { y: 2 } });
    const ready = server.log.find(({ msg }) => msg === "ready");
    expect(ready?.services).toContainEqual({ name: "double", placement: "inline", workers: 1 });
    expect(server.log[0]?.msg).toBe(`loading ${servicesModule}`);
    expect(server.stderr).toBe("");
  });

  test("runs TypeScript in worker threads, too, and its flags win over every service's policy", async () => {
    await writeFile(join(folder, "some.ts"), `export { hello, where } from ${JSON.stringify(servicesModule)};\n`);
    const server = serve("some.ts", "--placement", "thread", "--workers", "2", "--max-body-bytes", "100");
    const url = await server.url();
    const ready = server.log.find(({ msg }) => msg === "ready");
    expect(ready?.services).toContainEqual({ name: "where", placement: "thread", workers: 2 });
    expect(await post(`${url}/where`, null)).toEqual({ status: 200, body: { threadId: expect.toSatisfy((id: number) => id > 0) } });
    expect(await post(`${url}/hello`, "x".repeat(200))).toMatchObject({ status: 413 });
  });

  test("says so where --workers has no effect, however little it is to log", async () => {
    await writeFile(join(folder, "some.mjs"), `export { double, hello, spin } from ${JSON.stringify(builtServices)};\n`);
    const server = serve("some.mjs", "--workers", "2", "--log-level", "error");
    await server.until(() => server.stderr.includes("\n"));
    expect(server.stderr).toBe(
      "servable: workers has no effect on a service that runs inline (double, hello); ask for placement thread or process, too.\n",
    );
    expect(server.stdout).toBe("");
  });

  test("tells a person where it is, what runs, and a command to try", async () => {
    const server = serve(builtServices, "--log-format", "pretty");
    await server.until(() => server.stdout.includes("Press Ctrl+C to stop."));
    expect(server.stdout).toMatch(/Ready on\s+http:\/\/127\.0\.0\.1:\d+\n/);
    expect(server.stdout).toMatch(/^ {2}double +POST \/double +inline$/m);
    expect(server.stdout).toMatch(/^ {2}curl -H 'content-type: application\/json' -d '\{"x":1\}' http:\/\/127\.0\.0\.1:\d+\/double$/m);
  });

  test("serves several modules, and a page unless it is told not to", async () => {
    await writeFile(join(folder, "other.mjs"), moduleOf("other"));
    await writeFile(join(folder, "more.mjs"), moduleOf("more"));
    const url = await serve("more.mjs", "other.mjs", "--no-page").url();
    expect(await post(`${url}/more`, null)).toEqual({ status: 200, body: 1 });
    expect(await post(`${url}/other`, null)).toEqual({ status: 200, body: 1 });
    expect((await fetch(`${url}/`)).status).toBe(404);
  });

  test("asks for a token where it has a token file", async () => {
    await writeFile(join(folder, "tokens"), "secret\n");
    const url = await serve(builtServices, "--token-file", "tokens").url();
    expect((await post(`${url}/hello`, null)).status).toBe(401);
    const call = await runCli(["call", "hello", "--url", url], { env: { SERVABLE_TOKEN: "secret" } });
    expect(call).toMatchObject({ code: 0, stdout: '"hello"\n' });
  });
});

describe("servable serve says in one line why it can't", () => {
  const broken: Readonly<Record<string, string>> = {
    "empty.ts": "export const nothing = 1;\n",
    "throws.ts": 'throw new Error("no luck");\nexport {};\n',
    "one.mjs": moduleOf("one"),
    "same.mjs": moduleOf("one"),
    "setup.ts":
      'import { defineService } from "servable";\nexport const sick = defineService({ name: "sick", setup() { throw new Error("no model"); }, call: () => 1 });\n',
    tokens: "",
  };
  const cases: readonly (readonly [what: string, parameters: readonly string[], message: RegExp, code: number])[] = [
    ["no file", ["nowhere.ts"], /There is no file .*nowhere\.ts/, 1],
    ["no service", ["empty.ts"], /empty\.ts exports no service \(it exports: nothing\)/, 1],
    ["a module that throws", ["throws.ts"], /throws\.ts could not be loaded: no luck/, 1],
    ["two services of one name", ["one.mjs", "same.mjs"], /Two services are named 'one' \(\.\/one\.mjs and \.\/same\.mjs\)/, 1],
    ["the same module twice", ["one.mjs", "./one.mjs"], /Two services are named 'one' \(\.\/one\.mjs twice\)/, 1],
    ["a failing setup", ["setup.ts"], /Service 'sick' could not be set up: no model/, 1],
    ["a failing setup on a thread", ["setup.ts", "--placement", "thread"], /Service 'sick' could not be set up: no model/, 1],
    ["strangers without a token", ["one.mjs", "--host", "0.0.0.0"], /0\.0\.0\.0 .*--token-file.*--allow-unauthenticated/, 1],
    ["no token in the token file", ["one.mjs", "--token-file", "tokens"], /tokens has no token/, 1],
    ["no certificate", ["one.mjs", "--tls-cert", "a.pem", "--tls-key", "b.pem"], /certificate a\.pem can't be read/, 1],
    ["half of TLS", ["one.mjs", "--tls-cert", "a.pem"], /--tls-cert needs --tls-key/, 2],
    ["no module", [], /missing required argument 'module'/, 2],
    ["an unknown option", ["--prot", "1", "one.mjs"], /unknown option '--prot' \(Did you mean --port\?\)/, 2],
    ["a port that is none", ["one.mjs", "--port", "70000"], /--port .*'70000' is invalid.*from 0 to 65535/, 2],
    ["no workers", ["one.mjs", "--workers", "0"], /--workers .*'0' is invalid.*from 1 to 1024/, 2],
    ["a fraction", ["one.mjs", "--queue", "1.5"], /--queue .*'1\.5' is invalid.*at least 0/, 2],
    ["a deadline beyond every timer", ["one.mjs", "--deadline-ms", "99999999999"], /--deadline-ms .* is invalid/, 2],
    ["a strange placement", ["one.mjs", "--placement", "moon"], /--placement .*'moon' is invalid\. Allowed choices are inline, thread/, 2],
    ["an origin with a path", ["one.mjs", "--cors-origin", "https://a.b/c"], /--cors-origin .* is invalid/, 2],
    ["a strange log level", ["one.mjs", "--log-level", "loud"], /--log-level .*'loud' is invalid/, 2],
  ];

  test.each(cases)("%s", async (_what, parameters, message, code) => {
    for (const [name, text] of Object.entries(broken)) await writeFile(join(folder, name), text);
    const address = parameters.includes("--port") ? [] : ["--port", "0"];
    const result = await runCli(["serve", ...parameters, ...address], { cwd: folder });
    expect(result.stderr).toMatch(message);
    expect(result.stderr.split("\n")).toEqual([expect.stringMatching(/^servable: /), ""]);
    expect(result.code).toBe(code);
  });

  test("a taken port", async () => {
    const other = createServer();
    other.listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    await writeFile(join(folder, "one.mjs"), moduleOf("one"));
    const result = await runCli(["serve", "one.mjs", "--port", String(port)], { cwd: folder });
    other.close();
    expect(result.stderr).toMatch(new RegExp(`^servable: Port ${port} .* is taken by another program.*\\n$`));
    expect(result.code).toBe(1);
  });

  test("and prints the stack only for those who ask", async () => {
    await writeFile(join(folder, "throws.ts"), broken["throws.ts"] ?? "");
    const byFlag = await runCli(["serve", "throws.ts", "--debug"], { cwd: folder });
    const byVariable = await runCli(["serve", "throws.ts"], { cwd: folder, env: { SERVABLE_DEBUG: "1" } });
    for (const { stderr } of [byFlag, byVariable]) expect(stderr).toMatch(/^servable: .*no luck\n[^]*\n\s+at .*throws\.ts/);
  });
});

describe("servable", () => {
  test("tells its version and its commands", async () => {
    const { default: manifest } = (await import(join(root, "package.json"), { with: { type: "json" } })) as {
      default: { version: string };
    };
    expect(await runCli(["--version"])).toMatchObject({ code: 0, stdout: `${manifest.version}\n` });
    const help = await runCli(["--help"]);
    expect(help.code).toBe(0);
    for (const verb of ["serve", "run", "call", "init"]) expect(help.stdout).toMatch(new RegExp(`^ {2}${verb} .*`, "m"));
    expect(help.stdout).toContain("Examples:");
    expect((await runCli(["call", "--help"])).stdout).toContain("--debug");
  });

  test("ends with 2 for a command that it does not know", async () => {
    expect(await runCli(["sevre"])).toMatchObject({ code: 2, stderr: "servable: unknown command 'sevre' (Did you mean serve?)\n" });
    expect(await runCli([])).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining("Usage:") });
  });
});
