/** Services that offline runs are tested with. What they give depends on the row alone. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { Tensor, defineInference, defineService, type Model, type NamedArrays } from "servable";
import { z } from "zod";

const folderOf = (): string => process.env.OFFLINE_TEST_FOLDER ?? "";

/** Takes a while that differs from row to row, so that answers come in another order, and fails some rows. */
export const jitter = defineService({
  name: "jitter",
  input: z.object({ x: z.number() }),
  output: z.object({ y: z.number() }),
  policy: { concurrency: 16 },
  async call({ x }) {
    await pause((x * 7_919) % 5);
    if (x % 17 === 0) throw new Error("unlucky");
    return { y: 2 * x };
  },
});

/** Says that it has begun, and answers when it is let go. */
export const gate = defineService({
  name: "gate",
  input: z.object({ x: z.number() }),
  output: z.number(),
  async call({ x }) {
    writeFileSync(join(folderOf(), `begun-${x}`), "");
    while (!existsSync(join(folderOf(), "go"))) await pause(10);
    return x;
  },
});

/** Counts texts, and says at its end how much memory the process had at most. */
export const lengths = defineService({
  name: "lengths",
  input: z.object({ text: z.string() }),
  output: z.number(),
  call: ({ text }) => text.length,
  close: () => {
    writeFileSync(join(folderOf(), "peak"), String(process.resourceUsage().maxRSS));
  },
});

/** A model on a thread whose requests are put together. */
function doubler(): Model {
  const run = async (inputs: NamedArrays): Promise<NamedArrays> => {
    const x = inputs.x?.as("FP32").data ?? new Float32Array();
    if (x.includes(666)) process.exit(3);
    await pause(2);
    if (x.includes(13)) throw new Error("unlucky");
    return {
      y: new Tensor(
        "FP32",
        [x.length, 1],
        x.map((value) => 2 * value),
      ),
    };
  };
  return { name: "doubler", inputs: [], outputs: [], run, close: () => undefined };
}

export const batched = defineInference({
  name: "batched",
  input: z.object({ x: z.number() }),
  output: z.object({ y: z.number() }),
  model: doubler,
  policy: { batching: { maxRows: 8 } },
  preprocess: ({ x }: { x: number }) => ({ x: new Tensor("FP32", [1, 1], Float32Array.of(x)) }),
  postprocess: (outputs: NamedArrays) => ({ y: outputs.y?.as("FP32").data[0] ?? Number.NaN }),
});

/** Dies of a 666, with everything that is in it; of a 13 the first time only. */
export const mortal = defineService({
  name: "mortal",
  policy: { placement: "thread" },
  input: z.object({ x: z.number(), pad: z.string().optional() }),
  output: z.object({ y: z.number() }),
  async call({ x }) {
    await pause(1);
    if (x === 666) process.exit(3);
    const died = join(folderOf(), "died");
    if (x === 13 && !existsSync(died)) {
      writeFileSync(died, "");
      process.exit(3);
    }
    return { y: 2 * x };
  },
});
