/** Rate limiters of a replication: how many executions go on at once with them and without. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { OpenInferenceClient } from "servable/client";
import { TritonModelServer, writeModelConfig, type ModelInstanceGroup, type TritonModelServerOptions } from "servable/triton";
import { here, type ServerName } from "./environment.ts";
import type { Tally } from "./tally.ts";

const names = ["seen_by_one", "seen_by_other"] as const;
const instances = 2;
const requests = 8;

/** A group whose instances each need so much of what there is. */
const group = (count: number): ModelInstanceGroup => ({
  count: instances,
  kind: "KIND_CPU",
  rateLimiter: { resources: [{ name: "room", count, global: true }], priority: 1 },
});

/**
 * Two models, of two instances each, whose executions tell how many of them, of both, they have seen at once. Of a resource there is as much as one
 * instance needs, of those that need the most.
 */
export async function checkRateLimits(server: ServerName, scratch: string, options: TritonModelServerOptions, tally: Tally): Promise<void> {
  const [models, running] = [path.join(scratch, "limited"), path.join(scratch, "running")];
  const atOnce = async (
    wanted: number,
    replication: TritonModelServerOptions["modelNamesToReplication"],
    askedInTurn: readonly (readonly string[])[] = [names],
  ): Promise<readonly number[]> => {
    rmSync(running, { recursive: true, force: true });
    mkdirSync(running);
    for (const name of names) writeSeeing(server, models, name, running, wanted);
    const limited = new TritonModelServer({ ...options, artifact: models, modelNamesToReplication: replication });
    try {
      await limited.start();
      if (server === "triton") {
        const flags = readFileSync(`/proc/${limited.status.pid ?? 0}/cmdline`, "utf8").split("\0");
        assert.equal(flags.includes("--rate-limit=execution_count"), replication !== undefined);
      }
      const client = new OpenInferenceClient(limited.url);
      const most: number[] = [];
      for (const asked of askedInTurn) {
        const seen = await Promise.all(
          Array.from({ length: requests }, async (_, index) => {
            const { outputs } = await client.infer(asked[index % asked.length] ?? "", { x: { shape: [1], data: Int32Array.of(index) } });
            return Number(outputs.seen?.data[0]);
          }),
        );
        most.push(Math.max(...seen));
      }
      return most;
    } finally {
      await limited.stop();
    }
  };
  await tally.check("without rate limiters all instances of two models run at once", async () => {
    assert.deepEqual(await atOnce(instances * names.length, undefined), [instances * names.length]);
  });
  await tally.check("rate limiters of a replication let one of them run at a time", async () => {
    assert.deepEqual(await atOnce(2, { [names[0]]: [group(1)], [names[1]]: [group(1)] }), [1]);
  });
  await tally.check("and two where there is room for two", async () => {
    // The other one needs two, and so there are.
    const replication = { [names[0]]: [group(1)], [names[1]]: [group(2)] };
    assert.deepEqual(await atOnce(2, replication, [[names[0]], [names[1]]]), [2, 1]);
  });
}

/** Writes a model that says how many executions it has seen at once, and waits a while until these are as many as wanted. */
function writeSeeing(server: ServerName, models: string, name: string, running: string, wanted: number): void {
  const [backend, file] = server === "triton" ? ["python", "model.py"] : ["typescript", "model.ts"];
  mkdirSync(path.join(models, name, "1"), { recursive: true });
  writeFileSync(path.join(models, name, "1", file), readFileSync(path.join(here, "seeing", file)));
  const text = writeModelConfig({
    name,
    backend,
    input: [{ name: "x", dataType: "TYPE_INT32", dims: [1] }],
    output: [{ name: "seen", dataType: "TYPE_INT32", dims: [1] }],
    instanceGroup: [{ count: instances, kind: "KIND_CPU" }],
    parameters: { folder: { stringValue: running }, wanted: { stringValue: String(wanted) } },
  });
  writeFileSync(path.join(models, name, "config.pbtxt"), text);
}
