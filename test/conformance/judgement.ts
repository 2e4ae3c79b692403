/** Whether `servable triton config --check` judges a repository as the server does that loads it. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { TritonModelServer, type TritonModelServerOptions } from "servable/triton";
import type { ServerName } from "./environment.ts";
import { addSub } from "../support/add-sub.ts";
import { failureOf, writeModel } from "./processes.ts";
import type { Tally } from "./tally.ts";

const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

const tensors = `input [ { name: "a" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "b" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "sum" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "difference" data_type: TYPE_FP32 dims: [ 2 ] } ]
`;
const usual = `backend: "onnxruntime"\nmax_batch_size: 8\n${tensors}`;
const cpu = "instance_group [ { kind: KIND_CPU } ]\n";

/**
 * Configurations by the name of their model; those that begin with `good` load. What only a machine can tell, its GPUs and which backends are
 * installed, is not among them.
 */
const configs: Readonly<Record<string, string>> = {
  good: usual + cpu,
  good_comment: `# of a person\n${usual}${cpu}parameters: { key: "a", value: { string_value: 'b' "c\\x41" } }`,
  good_batching: `${usual}${cpu}dynamic_batching { preferred_batch_size: [ 2, 8 ] max_queue_delay_microseconds: 100 }`,
  good_priorities: `${usual}${cpu}dynamic_batching { priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 2 value { timeout_action: DELAY } } }`,
  good_versions: `${usual}${cpu}version_policy { specific { versions: [ 1 ] } }`,
  good_reshape:
    usual.replace('"a" data_type: TYPE_FP32 dims: [ 2 ]', '"a" data_type: TYPE_FP32 dims: [ 1, 2 ] reshape { shape: [ 2 ] }') + cpu,
  another_name: `name: "somebody"\n${usual}${cpu}`,
  negative_batch: usual.replace("8", "-8") + cpu,
  no_field: `${usual}${cpu}no_such_field: 1`,
  no_text: "\0\x01\x02\xff{{{",
  no_version: `${usual}${cpu}version_policy { specific { versions: [ 7 ] } }`,
  no_type: usual.replace('"a" data_type: TYPE_FP32', '"a"') + cpu,
  zero_dim: usual.replace('"a" data_type: TYPE_FP32 dims: [ 2 ]', '"a" data_type: TYPE_FP32 dims: [ 0 ]') + cpu,
  no_dims: usual.replace('"a" data_type: TYPE_FP32 dims: [ 2 ]', '"a" data_type: TYPE_FP32') + cpu,
  twice: usual.replace('"b"', '"a"') + cpu,
  large_preferred: `${usual}${cpu}dynamic_batching { preferred_batch_size: [ 9 ] }`,
  wrong_priority: `${usual}${cpu}dynamic_batching { priority_levels: 2 default_priority_level: 3 }`,
  wrong_reshape:
    usual.replace('"a" data_type: TYPE_FP32 dims: [ 2 ]', '"a" data_type: TYPE_FP32 dims: [ 2 ] reshape { shape: [ 3 ] }') + cpu,
  no_step: `platform: "ensemble"\n${tensors}ensemble_scheduling { step [ { model_name: "nobody" model_version: -1 input_map { key: "a" value: "a" } output_map { key: "sum" value: "sum" } } ] }`,
  no_steps: `platform: "ensemble"\n${tensors}ensemble_scheduling { }`,
  two_schedulers: `${usual}${cpu}dynamic_batching { } sequence_batching { }`,
};

/** Has the same repository loaded and checked. */
export async function checkJudgement(server: ServerName, scratch: string, options: TritonModelServerOptions, tally: Tally): Promise<void> {
  const models = path.join(scratch, "judged");
  for (const [name, text] of Object.entries(configs)) {
    // 2.51 loads a model with two inputs of one name, whose runs then fail.
    if (name !== "twice" || server === "servable") writeModel(models, name, addSub, text);
  }
  await tally.check(`--check finds fault with the models that ${server} does not load, and with no other`, async () => {
    const failure = await failureOf(new TritonModelServer({ ...options, artifact: models }));
    const refused = Object.keys(failure.details.models as Readonly<Record<string, string>>).sort();
    const { code, stdout } = await new Promise<{ code: unknown; stdout: string }>((resolve) => {
      execFile(process.execPath, [cli, "triton", "config", "--check", models], (thrown, stdout) => {
        resolve({ code: thrown?.code, stdout });
      });
    });
    const faulty = new Set([...stdout.matchAll(/^(\w+): error: /gm)].map(([, name = ""]) => name));
    assert.deepEqual([...faulty].sort(), refused);
    assert.ok(refused.length > 0 && refused.every((name) => !name.startsWith("good")), refused.join(", "));
    assert.equal(code, 3);
  });
}
