/**
 * Holds the parser and the writers of configurations to protobuf's own, on the real model_config.proto, both ways: what is written here must
 * mean the same there, and what is written there must be read here and written back with the same meaning.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { modelConfigToJson, parseModelConfig, writeModelConfig } from "servable/triton";
import { anyConfig } from "../../triton/config-arbitrary.ts";
import type { Tally } from "../tally.ts";

const script = fileURLToPath(new URL("reference.py", import.meta.url));

/**
 * Tries it with generated configurations that reach every field.
 *
 * @param python - one that has `tritonclient[grpc]`
 * @param count - how many each way
 */
export async function checkConfigTexts(python: string, count: number, seed: number, tally: Tally): Promise<void> {
  const ask = (args: readonly string[], input: unknown): string[] => {
    const { status, stdout, stderr, error } = spawnSync(python, [script, ...args], {
      input: JSON.stringify(input),
      encoding: "utf8",
      maxBuffer: 2 ** 30,
    });
    if (status !== 0) throw new Error(`${python} failed: ${error?.message ?? stderr}`);
    return JSON.parse(stdout) as string[];
  };
  const check = (texts: readonly string[]): void => {
    assert.equal(texts.length, count);
    const rows = texts.map((text) => {
      const config = parseModelConfig(text);
      return [text, writeModelConfig(config), modelConfigToJson(config)];
    });
    const reasons = ask(["compare"], rows);
    assert.deepEqual(reasons.slice(0, 20), [], `${reasons.length} of ${count} mean something else`);
  };
  await tally.check(`${count} configurations that were written here mean the same to protobuf's own reader`, () => {
    check(fc.sample(anyConfig, { numRuns: count, seed }).map(writeModelConfig));
  });
  await tally.check(`${count} configurations that protobuf wrote are read here, and written back with the same meaning`, () => {
    check(ask(["make", String(seed), String(count)], null));
  });
}
