import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { builtFixture } from "../support/fixtures.ts";
import { openRaw, type RawConnection } from "../support/serving.ts";
import { Server, makeFolder, post, removeFolder, unseen, untilExists } from "./support.ts";

let folder: string;
let server: Server;
let url: string;

beforeEach(async () => {
  folder = await makeFolder();
  server = new Server(["serve", builtFixture("test/cli/services.ts"), "--port", "0"]);
  url = await server.url();
});
afterEach(async () => {
  await writeFile(join(folder, "go"), "");
  await server.stop();
  await removeFolder(folder);
});

/** Resolves when new requests are turned away. */
async function untilClosed(): Promise<void> {
  await server.until(async () => {
    const answer = await post(`${url}/hello`, null).catch(() => undefined);
    return answer === undefined || answer.status === 503;
  });
}

describe("a server that is asked to end", () => {
  test.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)(
    "by %s takes nothing new, finishes what is in flight, and ends with 0",
    async (signal) => {
      const answer = post(`${url}/wait`, { folder });
      await untilExists(join(folder, "begun"), server);
      server.child.kill(signal);
      // As npm does, which passes on a Ctrl+C that the terminal has sent already.
      server.child.kill(signal);
      await untilClosed();
      expect(server.hasExited).toBe(false);
      await writeFile(join(folder, "go"), "");
      expect(await answer).toEqual({ status: 200, body: "done" });
      expect(await server.exited).toBe(0);
      expect(server.log.map(({ msg }) => msg)).toContain("stopping: what is in flight finishes first");
      expect(server.stderr).toBe("");
    },
  );

  test("twice ends at once, and says by its exit code that it was made to", async () => {
    const cutOff = expect(post(`${url}/wait`, { folder })).rejects.toThrow("fetch failed");
    await untilExists(join(folder, "begun"), server);
    server.child.kill("SIGTERM");
    await untilClosed();
    const timer = setInterval(() => server.child.kill("SIGTERM"), 100);
    const code = await server.exited;
    clearInterval(timer);
    expect(code).toBe(128 + 15);
    await cutOff;
  });

  test("cuts off what outlives the grace time, and does not call that success", async () => {
    await server.stop();
    server = new Server(["serve", builtFixture("test/cli/services.ts"), "--port", "0", "--grace-ms", "50"]);
    url = await server.url();
    const answer = post(`${url}/wait`, { folder });
    await untilExists(join(folder, "begun"), server);
    server.child.kill("SIGTERM");
    expect(await answer).toMatchObject({ status: 503, body: { code: "unavailable" } });
    expect(await server.exited).toBe(1);
    expect(server.log.at(-1)).toMatchObject({ services: ["wait"], msg: "requests still ran when the grace time was over" });
  });

  test("does not wait for a thread that hears nothing", async () => {
    const cutOff = expect(post(`${url}/spin`, { folder })).rejects.toThrow("fetch failed");
    await untilExists(join(folder, "begun"), server);
    server.child.kill("SIGTERM");
    await untilClosed();
    const timer = setInterval(() => server.child.kill("SIGTERM"), 100);
    expect(await server.exited).toBe("SIGKILL");
    clearInterval(timer);
    await cutOff;
    expect(server.log.map(({ msg }) => msg)).toContain("stopping: what is in flight finishes first");
  });

  test.runIf(process.platform === "linux")("answers requests on connections that it had not seen yet", async () => {
    const open: RawConnection[] = [];
    await unseen(server, async () => {
      for (let index = 0; index < 16; index++) {
        const connection = await openRaw(Number(new URL(url).port));
        connection.write("POST /hello HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\r\nnull");
        open.push(connection);
      }
    });
    const answers = await Promise.all(open.map(({ closed }) => closed));
    expect(answers.map((text) => text.slice(0, "HTTP/1.1 200".length))).toEqual(open.map(() => "HTTP/1.1 200"));
    expect(await server.exited).toBe(0);
  });

  test("while it starts ends, too", async () => {
    await writeFile(
      join(folder, "slow.mjs"),
      `import { defineService } from "servable";
import { writeFileSync } from "node:fs";
export const slow = defineService({
  name: "slow",
  setup: ({ signal }) => new Promise((resolve) => { signal.addEventListener("abort", resolve); writeFileSync("begun", ""); setTimeout(() => {}, 1e9); }),
  call: () => 1,
});
`,
    );
    const starting = new Server(["serve", "slow.mjs", "--port", "0"], { cwd: folder });
    await untilExists(join(folder, "begun"), starting);
    starting.child.kill("SIGTERM");
    expect(await starting.exited).toBe(0);
    expect(starting.stderr).toBe("");
  });
});

describe("a service whose mistake nobody catches", () => {
  test("ends the server in good order with 1, when it is an exception", async () => {
    const answer = post(`${url}/wait`, { folder });
    await untilExists(join(folder, "begun"), server);
    expect(await post(`${url}/explode`, null)).toEqual({ status: 200, body: "lit" });
    await untilClosed();
    await writeFile(join(folder, "go"), "");
    expect(await answer).toEqual({ status: 200, body: "done" });
    expect(await server.exited).toBe(1);
    expect(server.log).toContainEqual(expect.objectContaining({ msg: "uncaught exception, stopping", level: 50 }));
    expect(server.stdout).toContain("out of reach");
  });

  test("is logged and no more, when it is a rejection", async () => {
    expect(await post(`${url}/forget`, null)).toEqual({ status: 200, body: "forgotten" });
    const line = await server.until(() => server.log.find(({ msg }) => msg === "unhandled rejection"));
    expect(line).toMatchObject({ level: 50, err: { message: "lost" } });
    expect(await post(`${url}/hello`, null)).toEqual({ status: 200, body: "hello" });
  });
});
