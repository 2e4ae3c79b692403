/** What goes wrong with a server that is really there: each has its own reason, and nothing is left. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { TritonModelServer, type TritonModelServerOptions } from "servable/triton";
import type { KeptLine } from "./environment.ts";
import { addSub, addSubConfig } from "../support/add-sub.ts";
import { copies, failureOf, groupOf, until, writeModel } from "./processes.ts";
import type { Tally } from "./tally.ts";

/**
 * Tries them all.
 *
 * @param scratch - a folder that may be written into
 * @param options - of a server over a repository with the model `add_sub`
 * @param lines - what the servers log
 */
export async function checkFaults(
  scratch: string,
  options: TritonModelServerOptions,
  lines: readonly KeptLine[],
  tally: Tally,
): Promise<void> {
  await tally.check("tells why a model did not load", () => brokenModels(scratch, options));
  await tally.check("tells that a port is taken", () => portTaken(options));
  await tally.check("a flag that does not exist is the reason", async () => {
    const failure = await failureOf(new TritonModelServer({ ...options, arguments: ["--no-such-flag=1"] }));
    assert.equal(failure.code, "load_failed");
    assert.match(failure.message, /no-such-flag/);
  });
  await tally.check("one that hangs before it is ready is killed, and what it said is told", () => hangsInLoading(options, lines));
  await tally.check("one that does not heed SIGTERM is killed after its grace, which is told", () => ignoresSigterm(options));
  await tally.check("nothing outlives a process that is killed", () => killedParent(options));
}

async function brokenModels(scratch: string, options: TritonModelServerOptions): Promise<void> {
  const models = path.join(scratch, "broken");
  writeModel(models, "add_sub", addSub, addSubConfig.asPbtext());
  writeModel(models, "broken", Buffer.from("no model"), addSubConfig.asPbtext().replaceAll("add_sub", "broken"));
  writeModel(models, "unreadable", addSub, "max_batch_size: zz");
  writeModel(models, "strange", addSub, 'backend: "nobody_knows"');
  const failure = await failureOf(new TritonModelServer({ ...options, artifact: models }));
  assert.equal(failure.code, "load_failed");
  const reasons = failure.details.models as Readonly<Record<string, string>>;
  process.stdout.write(
    `  ${Object.entries(reasons)
      .map(([model, why]) => `${model}: ${why}`)
      .join("\n  ")}\n`,
  );
  assert.deepEqual(Object.keys(reasons).sort(), ["broken", "strange", "unreadable"]);
  assert.match(reasons.broken ?? "", /protobuf/i);
  assert.match(reasons.unreadable ?? "", /zz/);
  assert.match(reasons.strange ?? "", /nobody_knows/);
}

async function portTaken(options: TritonModelServerOptions): Promise<void> {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const address = other.address();
  const grpc = typeof address === "object" && address !== null ? address.port : 0;
  // The first looks before it starts anything; the second has its server find out.
  const failure = await failureOf(new TritonModelServer({ ...options, ports: { http: 0, grpc, metrics: 0 } }));
  assert.equal(failure.code, "address_in_use");
  const late = new TritonModelServer({
    ...options,
    ports: { http: 18_730, grpc: 18_731, metrics: 18_732 },
    arguments: [`--grpc-port=${grpc}`],
  });
  const found = await failureOf(late);
  assert.equal(found.code, "address_in_use");
  assert.ok(found.message.includes(String(grpc)), found.message);
  other.close();
}

/** A process that is stopped does nothing any more, as one that waits for a device for ever. */
async function hangsInLoading(options: TritonModelServerOptions, lines: readonly KeptLine[]): Promise<void> {
  const before = lines.length;
  const server = new TritonModelServer({ ...options, modelNamesToReplication: { add_sub: 2 }, startTimeoutMs: 3_000 });
  const failure = failureOf(server);
  const started = (): KeptLine | undefined => lines.slice(before).find(({ text }) => text.startsWith("starting "));
  await until(() => started() !== undefined, 10_000);
  const { pid } = started()?.fields as { readonly pid: number };
  process.kill(pid, "SIGSTOP");
  const { code, message } = await failure;
  assert.equal(code, "load_failed");
  assert.match(message, /not ready within 3000 ms and was killed/);
  assert.deepEqual(groupOf(pid), []);
  assert.deepEqual(copies(), []);
}

async function ignoresSigterm(options: TritonModelServerOptions): Promise<void> {
  const server = new TritonModelServer({ ...options, modelNamesToReplication: { add_sub: 2 }, graceMs: 1_000 });
  await server.start();
  const { pid = 0 } = server.status;
  process.kill(pid, "SIGSTOP");
  await server.stop();
  assert.equal(server.status.state, "stopped");
  assert.match(server.status.reason ?? "", /did not end within 1000 ms of SIGTERM, and was killed/);
  assert.deepEqual(groupOf(pid), []);
  assert.deepEqual(copies(), []);
}

async function killedParent(options: TritonModelServerOptions): Promise<void> {
  const { log: _, ...rest } = options;
  const script = `
    import { TritonModelServer } from "servable/triton";
    const server = new TritonModelServer({ ...${JSON.stringify(rest)}, modelNamesToReplication: { add_sub: 2 } });
    await server.start();
    process.stdout.write("\\nPID " + server.status.pid + "\\n");
    setInterval(() => undefined, 1_000);`;
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const parent = spawn(process.execPath, ["--input-type=module", "--eval", script], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  parent.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  try {
    await until(() => /^PID \d+$/m.test(said), 60_000);
    const pid = Number(/^PID (\d+)$/m.exec(said)?.[1]);
    assert.ok(groupOf(pid).length > 0);
    parent.kill("SIGKILL");
    await until(() => groupOf(pid).length === 0, 10_000);
    await until(() => copies().length === 0, 5_000);
  } finally {
    parent.kill("SIGKILL");
  }
}
