/**
 * Holds the parser and the writers of configurations to protobuf's own, on the real model_config.proto, both ways: what is written here must
 * mean the same there, and what is written there must be read here and written back with the same meaning.
 *
 * usage: tsx test/conformance/config-text/run.ts --python PATH [--count 2000] [--seed 1]
 * (PATH: a Python that has `tritonclient[grpc]`)
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import fc from "fast-check";
import { modelConfigToJson, parseModelConfig, writeModelConfig } from "../../../src/triton.ts";
import { anyConfig } from "../../triton/config-arbitrary.ts";

const { values } = parseArgs({
  options: {
    python: { type: "string", default: "python3" },
    count: { type: "string", default: "2000" },
    seed: { type: "string", default: "1" },
  },
});
const count = Number(values.count);

function reference(args: readonly string[], input: unknown): string[] {
  const script = fileURLToPath(new URL("reference.py", import.meta.url));
  const { status, stdout, stderr, error } = spawnSync(values.python, [script, ...args], {
    input: JSON.stringify(input),
    encoding: "utf8",
    maxBuffer: 2 ** 30,
  });
  if (status !== 0) throw new Error(`${values.python} failed: ${error?.message ?? stderr}`);
  return JSON.parse(stdout) as string[];
}

const ours = fc.sample(anyConfig, { numRuns: count, seed: Number(values.seed) }).map(writeModelConfig);
const theirs = reference(["make", values.seed, values.count], null);
for (const [whose, texts] of [
  ["written here", ours],
  ["written by protobuf", theirs],
] as const) {
  const rows = texts.map((text) => {
    const config = parseModelConfig(text);
    return [text, writeModelConfig(config), modelConfigToJson(config)];
  });
  const reasons = reference(["compare"], rows);
  for (const reason of reasons.slice(0, 20)) process.stdout.write(`${reason}\n`);
  process.stdout.write(`${rows.length} configurations ${whose}: ${reasons.length} differences\n`);
  if (reasons.length > 0 || rows.length !== count) process.exitCode = 1;
}
