import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Server, makeFolder, post, removeFolder, runCli } from "./support.ts";

let folder: string;
let servers: Server[];

beforeEach(async () => {
  folder = await makeFolder();
  servers = [];
  await mkdir(join(folder, "project"));
  await writeFile(
    join(folder, "project", "services.ts"),
    `import { Service, defineService } from "servable";
export class Times extends Service<number, number> {
  static readonly definition = { name: "times" } as const;
  readonly #factor: number;
  constructor(factor = 1) { super(); this.#factor = factor; }
  override call(value: number): number { return value * this.#factor; }
}
export const hello = defineService({ name: "hello", call: () => "hello" });
`,
  );
});
afterEach(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await removeFolder(folder);
});

async function configure(text: string): Promise<string> {
  await writeFile(join(folder, "project", "servable.yaml"), text);
  return join("project", "servable.yaml");
}

function run(parameters: readonly string[], cwd = folder): Server {
  const server = new Server(["run", ...parameters], { cwd });
  servers.push(server);
  return server;
}

describe("servable run", () => {
  test("serves what a configuration says: a class with its arguments, a policy, the page, the log", async () => {
    const config = await configure(`
services:
  - module: ./services.ts
    export: Times
    arguments: [3]
    policy: { placement: thread, maxBodyBytes: 10 }
http: { port: 0, page: false }
log: { format: json }
`);
    const server = run(["--config", config]);
    const url = await server.url();
    expect(await post(`${url}/times`, 14)).toEqual({ status: 200, body: 42 });
    expect(await post(`${url}/times`, "x".repeat(20))).toMatchObject({ status: 413 });
    expect(await post(`${url}/hello`, null)).toMatchObject({ status: 404, body: { services: ["times"] } });
    expect((await fetch(`${url}/`)).status).toBe(404);
    expect(server.log.at(-1)).toBeDefined();
    expect(server.log.find(({ msg }) => msg === "ready")?.services).toEqual([{ name: "times", placement: "thread", workers: 1 }]);
  });

  test("lets flags win over the file, and finds ./servable.yaml by itself", async () => {
    await configure(
      "services: [{ module: services.ts, export: hello, policy: { maxBodyBytes: 3 } }]\nhttp: { port: 1 }\nlog: { level: silent }\n",
    );
    const server = run(["--port", "0", "--max-body-bytes", "100", "--log-level", "info"], join(folder, "project"));
    expect(await post(`${await server.url()}/hello`, "a longer text")).toEqual({ status: 200, body: "hello" });
  });

  test("serves one module, too", async () => {
    const url = await run(["project/services.ts", "--port", "0"]).url();
    expect(await post(`${url}/times`, 2)).toEqual({ status: 200, body: 2 });
  });

  test.each([
    [
      "a wrong key",
      "services: [{ module: services.ts, export: hello }]\nhttp: { prot: 1 }\n",
      "project/servable.yaml:2:9: there is no key http.prot; did you mean http.port?",
    ],
    [
      "no such export",
      "services: [{ module: services.ts, export: hallo }]\n",
      "./project/services.ts has no export 'hallo'. It exports: Times, hello.",
    ],
    [
      "several services",
      "services: [{ module: services.ts }]\n",
      "./project/services.ts exports 2 services (Times, hello); say which one with `export`.",
    ],
    [
      "one service twice",
      "services: [{ module: services.ts, export: hello }, { module: services.ts, export: hello }]\n",
      "Two services are named 'hello' (./project/services.ts twice); names must differ, since each is a route.",
    ],
  ])("refuses %s in one line", async (_what, text, message) => {
    const config = await configure(text);
    const result = await runCli(["run", "--config", config, "--port", "0"], { cwd: folder });
    expect(result.stderr).toBe(`servable: ${message}\n`);
    expect(result.code).toBe(1);
  });

  test("wants to know what to run", async () => {
    expect(await runCli(["run"], { cwd: folder })).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^servable: Say what to run.*servable\.yaml here\.\n$/),
    });
    const both = await runCli(["run", "a.ts", "--config", "b.yaml"], { cwd: folder });
    expect(both).toMatchObject({ code: 2, stderr: expect.stringMatching(/^servable: Give run a module or --config, not both.*\n$/) });
  });
});
