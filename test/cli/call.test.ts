import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { builtFixture } from "../support/fixtures.ts";
import { Server, makeFolder, removeFolder, runCli, type CommandOptions } from "./support.ts";

let folder: string;
let server: Server;
let url: string;

beforeAll(async () => {
  folder = await makeFolder();
  server = new Server(["serve", builtFixture("test/cli/services.ts"), "--port", "0"]);
  url = await server.url();
});
afterAll(async () => {
  await server.stop();
  await removeFolder(folder);
});

function call(parameters: readonly string[], options: CommandOptions = {}): ReturnType<typeof runCli> {
  return runCli(["call", ...parameters], { cwd: folder, ...options, env: { SERVABLE_URL: url, ...options.env } });
}

describe("servable call", () => {
  test("prints JSON on one line", async () => {
    expect(await call(["double", '{"x":1}'])).toMatchObject({ code: 0, stdout: '{"y":2}\n', stderr: "" });
  });

  test("takes its input from a file, from standard input, or none", async () => {
    await writeFile(join(folder, "input.json"), '{ "x": 2 }\n');
    expect((await call(["double", "@input.json"])).stdout).toBe('{"y":4}\n');
    expect((await call(["double", "-"], { input: '{"x":3}' })).stdout).toBe('{"y":6}\n');
    expect((await call(["hello"])).stdout).toBe('"hello"\n');
  });

  test("prints a stream an item a line, and its failure after what came before", async () => {
    expect((await call(["count", '{"to":3}'])).stdout).toBe('{"i":1}\n{"i":2}\n{"i":3}\n');
    const broken = await call(["count", '{"to":20}']);
    expect(broken.stdout.split("\n")).toHaveLength(13);
    expect(broken).toMatchObject({ code: 1, stderr: expect.stringMatching(/^servable: service_failed: .*\(request [\w-]+\)\n$/) });
  });

  test("indents on demand, writes to a file on demand", async () => {
    expect((await call(["double", '{"x":1}', "--pretty"])).stdout).toBe('{\n  "y": 2\n}\n');
    expect((await call(["double", '{"x":1}', "--output", "out.json"])).stdout).toBe("");
    expect(await readFile(join(folder, "out.json"), "utf8")).toBe('{"y":2}\n');
  });

  test("sends files with the type of their extension, and hands bytes on as they are", async () => {
    await writeFile(join(folder, "bytes.bin"), Uint8Array.of(1, 2, 255));
    await writeFile(join(folder, "words.txt"), "some words");
    await writeFile(join(folder, "words"), "some words");
    expect([...(await call(["reverse", "--file", "bytes.bin"])).bytes]).toEqual([255, 2, 1]);
    await call(["reverse", "--file", "bytes.bin", "--output", "reversed.bin"]);
    expect([...(await readFile(join(folder, "reversed.bin")))]).toEqual([255, 2, 1]);
    expect((await call(["shout", "--file", "words.txt"])).stdout).toBe("SOME WORDS\n");
    expect((await call(["shout", "--file", "words", "--content-type", "text/plain; charset=utf-8"])).stdout).toBe("SOME WORDS\n");
    expect((await call(["shout", "plain", "--content-type", "text/plain"])).stdout).toBe("PLAIN\n");
  });

  test("sends headers", async () => {
    const { stdout } = await call(["headers", "--header", "x-one=1", "--header", "x-two: a=b", "--url", url]);
    expect(JSON.parse(stdout)).toMatchObject({ "x-one": "1", "x-two": "a=b" });
  });
});

describe("servable call says in one line what went wrong", () => {
  test("with code, detail, each failing field and the request", async () => {
    const { code, stdout, stderr } = await call(["double", '{"x":"1"}', "--header", "x-request-id=seven"]);
    expect(stderr).toMatch(/^servable: invalid_request: The input does not fit .* x: .*expected number.*\(request seven\)\n$/);
    expect([code, stdout]).toEqual([1, ""]);
  });

  test.each([
    ["an unknown service", ["nope"], /^servable: not_found: There is no service 'nope'\. There is: .*double/, 1],
    ["a type that it does not take", ["double", "x", "--content-type", "text/plain"], /^servable: unsupported_media_type: /, 1],
    [
      "nobody there",
      ["double", "--url", "http://127.0.0.1:2/"],
      /^servable: unavailable: Could not reach http:\/\/127\.0\.0\.1:2: connect ECONNREFUSED 127\.0\.0\.1:2\. Nothing listens there: start the server, or check the port\. To serve there: servable serve \.\/service\.ts; or give another --url\.$/m,
      1,
    ],
    ["no JSON", ["double", "{x:1}"], /^servable: The input is not JSON: .*Quote it for your shell/, 2],
    ["no JSON on standard input", ["double", "-"], /^servable: Standard input is not JSON/, 2],
    ["no file", ["double", "@none.json"], /^servable: The file none\.json can't be read: ENOENT/, 2],
    [
      "no known type",
      ["reverse", "--file", "words"],
      /^servable: The media type of words doesn't show in its name: say it with --content-type/,
      2,
    ],
    ["two inputs", ["reverse", "{}", "--file", "words.txt"], /^servable: Give JSON or --file, not both/, 2],
    ["no name of a service", ["a/b"], /^servable: 'a\/b' can't be a service/, 2],
    ["no URL", ["double", "--url", "there"], /^servable: 'there' is not a URL/, 2],
    ["no header", ["double", "--header", "x"], /^servable: option '--header .* is invalid\. It must be like x-name=value\.$/m, 2],
    ["no time", ["double", "--timeout-ms", "0"], /^servable: option '--timeout-ms .* is invalid\. It must be a whole number from 1/, 2],
  ])("%s", async (_what, parameters, message, exitCode) => {
    await writeFile(join(folder, "words"), "");
    const { code, stderr } = await call(parameters);
    expect(stderr).toMatch(message);
    expect(stderr.split("\n")).toHaveLength(2);
    expect(code).toBe(exitCode);
  });

  test("a wait that is too long", async () => {
    const { code, stderr } = await call(["wait", JSON.stringify({ folder }), "--timeout-ms", "300"]);
    await writeFile(join(folder, "go"), "");
    expect(stderr).toMatch(/^servable: deadline_exceeded: .*\n$/);
    expect(code).toBe(1);
  });
});
