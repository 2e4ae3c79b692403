import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { builtFixture } from "../support/fixtures.ts";
import { Server, makeFolder, post, removeFolder, untilExists } from "./support.ts";

describe("a server whose npm is killed", () => {
  interface Pids {
    readonly pid: number;
    readonly parent: number;
  }
  let folder: string;
  let started: { readonly shelled: Server; readonly pids: readonly number[] }[];

  beforeEach(async () => {
    folder = await makeFolder();
    started = [];
    const lines = [
      'import { defineService } from "servable";',
      `export { wait } from ${JSON.stringify(builtFixture("test/cli/services.ts"))};`,
      'export const pids = defineService({ name: "pids", call: () => ({ pid: process.pid, parent: process.ppid }) });',
    ];
    await writeFile(join(folder, "some.mjs"), lines.join("\n"));
  });
  afterEach(async () => {
    for (const { shelled, pids } of started) if (!shelled.hasExited) pids.forEach(endAtOnce);
    await Promise.all(started.map(({ shelled }) => shelled.exited));
    await removeFolder(folder);
  });

  async function start(env: Readonly<Record<string, string>>, ...flags: string[]): Promise<{ shelled: Server; url: string }> {
    const shelled = new Server(["serve", "some.mjs", "--port", "0", ...flags], { cwd: folder, env, underShell: true });
    const at = await shelled.url();
    const { pid, parent } = (await post(`${at}/pids`, null)).body as Pids;
    // Without a supervisor the parent is the shell.
    started.push({ shelled, pids: flags.includes("--watch") ? [pid, parent] : [pid] });
    return { shelled, url: at };
  }

  test.each([
    ["ends in good order", [], { npm_lifecycle_event: "start" }],
    ["ends in good order, its supervisor, too", ["--watch", "--grace-ms", "30000"], { npm_execpath: "/usr/lib/npx-cli.js" }],
  ])("%s", async (_what, flags, env) => {
    const { shelled, url: at } = await start(env, ...flags);
    const answer = post(`${at}/wait`, { folder });
    await untilExists(join(folder, "begun"), shelled);
    shelled.child.kill("SIGKILL");
    await shelled.until(() => `${shelled.stdout}${shelled.stderr}`.includes("npm, which started this, is gone"));
    await writeFile(join(folder, "go"), "");
    expect(await answer).toEqual({ status: 200, body: "done" });
    // The pipes are closed when nobody holds them any more: neither the server nor its supervisor.
    expect(await shelled.exited).toBe("SIGKILL");
    const next = createServer().listen(Number(new URL(at).port), "127.0.0.1");
    await once(next, "listening");
    next.close();
  });

  test("lives on where it was no npm", async () => {
    const alone = await start({});
    alone.shelled.child.kill("SIGKILL");
    // As long as it takes one that minds.
    const { shelled } = await start({ npm_lifecycle_event: "start" });
    shelled.child.kill("SIGKILL");
    await shelled.exited;
    expect(await post(`${alone.url}/pids`, null)).toMatchObject({ status: 200 });
  });
});

function endAtOnce(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended, as it should.
  }
}
