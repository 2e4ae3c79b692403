import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Server, makeFolder, post, removeFolder, untilExists } from "./support.ts";

let folder: string;
let server: Server;

beforeEach(async () => {
  folder = await makeFolder();
});
afterEach(async () => {
  await server.stop();
  await removeFolder(folder);
});

async function write(name: string, value: number): Promise<void> {
  // By way of a module beside it: that one is watched, too.
  await writeFile(join(folder, "lib", "value.ts"), `export const value: number = ${value};\n`);
  await writeFile(
    join(folder, name),
    `import { defineService } from "servable";
import { value } from "./lib/value.ts";
export const service = defineService({ name: "service", call: () => ({ value, pid: process.pid }) });
`,
  );
}

async function ask(url: string): Promise<{ readonly value: number; readonly pid: number }> {
  return (await post(`${url}/service`, null)).body as { value: number; pid: number };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe("servable serve --watch", () => {
  beforeEach(async () => {
    await mkdir(join(folder, "lib"));
    await write("service.ts", 1);
    server = new Server(["serve", "service.ts", "--watch", "--port", "0"], { cwd: folder });
  });

  test("serves anew after a change, and again after one that did not load", async () => {
    const first = await ask(await server.url());
    expect(first.value).toBe(1);

    await writeFile(join(folder, "lib", "value.ts"), "export const value: number = 2;\n");
    const second = await ask(await server.url(2));
    expect(second.value).toBe(2);
    expect(isAlive(first.pid)).toBe(false);
    expect(server.stderr).toBe("servable: lib/value.ts changed, starting again\n");

    await writeFile(join(folder, "service.ts"), "this is no TypeScript\n");
    await server.until(() => server.stderr.includes("waiting for a change"));
    expect(server.stderr).toMatch(/^servable: \.\/service\.ts could not be loaded: .*$/m);
    expect(isAlive(second.pid)).toBe(false);

    await write("service.ts", 3);
    const third = await ask(await server.url(3));
    expect(third.value).toBe(3);

    server.child.kill("SIGTERM");
    expect(await server.exited).toBe(0);
    expect(isAlive(third.pid)).toBe(false);
  });

  test("leaves nothing running when it is killed itself", async () => {
    const { pid } = await ask(await server.url());
    server.child.kill("SIGKILL");
    while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await server.exited).toBe("SIGKILL");
  });

  test("is not moved by what a service writes, or by what others keep beside it", async () => {
    const { pid } = await ask(await server.url());
    for (const name of ["node_modules", "dist", ".hidden"]) {
      await mkdir(join(folder, name));
      await writeFile(join(folder, name, "file.ts"), "1;\n");
    }
    await writeFile(join(folder, "requests.log"), "a line\n");
    // What is watched comes last, so that all the rest has been seen by then.
    await write("service.ts", 4);
    expect((await ask(await server.url(2))).value).toBe(4);
    expect(server.stderr.match(/changed/g)).toHaveLength(1);
    expect(isAlive(pid)).toBe(false);
  });
});

describe("servable run --watch", () => {
  test("follows the configuration, also to a module in another folder", async () => {
    await mkdir(join(folder, "lib"));
    await write("service.ts", 1);
    await mkdir(join(folder, "config"));
    const file = join(folder, "config", "servable.yaml");
    await writeFile(file, "services: [{ modul: ../service.ts }]\n");
    server = new Server(["run", "--config", "config/servable.yaml", "--watch", "--port", "0"], { cwd: folder });
    await server.until(() => server.stderr.includes("waiting for a change"));
    expect(server.stderr).toMatch(/there is no key services\[0\]\.modul; did you mean services\[0\]\.module\?/);

    await writeFile(file, "services: [{ module: ../service.ts }]\n");
    expect((await ask(await server.url())).value).toBe(1);
    await writeFile(join(folder, "lib", "value.ts"), "export const value: number = 2;\n");
    expect((await ask(await server.url(2))).value).toBe(2);
  });

  test("lets what is in flight finish before it starts again", async () => {
    await writeFile(
      join(folder, "wait.ts"),
      `import { defineService } from "servable";
import { existsSync, writeFileSync } from "node:fs";
export const wait = defineService({
  name: "wait",
  async call() {
    writeFileSync("begun", "");
    while (!existsSync("go")) await new Promise((resolve) => setTimeout(resolve, 20));
    return "done";
  },
});
`,
    );
    server = new Server(["run", "wait.ts", "--watch", "--port", "0", "--grace-ms", "60000"], { cwd: folder });
    const answer = post(`${await server.url()}/wait`, null);
    await untilExists(join(folder, "begun"), server);
    await writeFile(join(folder, "other.ts"), "export {};\n");
    await server.until(() => server.stderr.includes("other.ts changed"));
    await writeFile(join(folder, "go"), "");
    expect(await answer).toEqual({ status: 200, body: "done" });
    await server.url(2);
  });
});
