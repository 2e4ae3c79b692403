/** Models written in TypeScript: what a folder with a `model.ts` comes to, in real workers. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { InferInput, InferRequest } from "servable/server";
import { failureOf, openRepository, requestOf, serveRepository } from "./support.ts";

const floats = (values: readonly number[], shape: readonly number[] = [values.length], name = "x"): InferInput => ({
  name,
  dataType: "FP32",
  shape,
  data: Float32Array.from(values),
});
const ask = (values: readonly number[], more: Partial<InferRequest> = {}): Partial<InferRequest> => ({ inputs: [floats(values)], ...more });

/** y = factor · x */
const times = (factor: number, more = ""): string => `
  import { defineModel } from "servable/server";
  const factor: number = ${factor};
  export default defineModel({
    inputs: { x: { dataType: "FP32", dims: [-1] } },
    outputs: { y: { dataType: "FP32", dims: [-1] } },
    ${more}
    run: ({ x }) => ({ y: { ...x, data: x.data.map((value) => factor * value) } }),
  });
`;

describe("a folder with a model.ts and nothing else", () => {
  test("is served, with what the model declares as its configuration", async () => {
    await using served = await serveRepository({ "m/1/model.ts": times(2) });
    const { outputs, modelVersion } = await served.infer("m", ask([1, 2]));
    expect([modelVersion, outputs]).toEqual(["1", [{ name: "y", dataType: "FP32", shape: [2], data: Float32Array.of(2, 4) }]]);
    expect(served.server.model("m", "").config).toMatchObject({
      name: "m",
      backend: "typescript",
      maxBatchSize: 0,
      defaultModelFilename: "model.ts",
      input: [{ name: "x", dataType: "TYPE_FP32", dims: [-1] }],
      output: [{ name: "y", dataType: "TYPE_FP32", dims: [-1] }],
      instanceGroup: [{ name: "m", kind: "KIND_CPU", count: 1 }],
    });
    expect(served.server.modelMetadata("m", "")).toMatchObject({
      platform: "typescript",
      inputs: [{ name: "x", datatype: "FP32", shape: [-1] }],
    });
  });

  test("with maxBatchSize it gets the batch's axis and dynamic batching", async () => {
    await using served = await serveRepository({ "m/1/model.ts": times(2, "maxBatchSize: 8,") });
    expect(served.server.model("m", "").config).toMatchObject({ maxBatchSize: 8, dynamicBatching: { preferredBatchSize: [8] } });
    const { outputs } = await served.infer("m", { inputs: [floats([1, 2, 3, 4], [2, 2])] });
    expect(outputs[0]).toMatchObject({ shape: [2, 2], data: Float32Array.of(2, 4, 6, 8) });
  });

  test("may be JavaScript, CommonJS too, and a plain object", async () => {
    const declared = `inputs: { x: { dataType: "FP32", dims: [-1] } }, outputs: { y: { dataType: "FP32", dims: [1] } }`;
    const run = `run: ({ x }) => ({ y: { dataType: "FP32", shape: [1], data: Float32Array.of(x.data.length) } })`;
    await using served = await serveRepository({
      "esm/1/model.js": `import { Tensor } from "servable"; export default { ${declared}, ${run}, Tensor };`,
      "mjs/1/model.mjs": `export const model = { ${declared}, ${run} };`,
      "cjs/config.pbtxt": `backend: "typescript" default_model_filename: "model.cjs"`,
      "cjs/1/model.cjs": `module.exports = { ${declared}, ${run} };`,
    });
    for (const name of ["esm", "mjs", "cjs"])
      expect((await served.infer(name, ask([5, 6, 7]))).outputs[0]?.data).toEqual(Float32Array.of(3));
  });
});

describe("what a model knows", () => {
  test("its place, its parameters, its requests, its log", async () => {
    await using served = await serveRepository({
      "m/config.pbtxt": `backend: "typescript" parameters { key: "greeting" value { string_value: "hello" } }`,
      "m/2/words.txt": "from a file",
      "m/2/helper.ts": `export const twice = (text: string): string => text + text;`,
      "m/2/model.ts": `
        import { readFile } from "node:fs/promises";
        import { join } from "node:path";
        import { defineModel } from "servable/server";
        import { twice } from "./helper.ts";
        export default defineModel({
          inputs: { text: { dataType: "BYTES", dims: [1] }, mark: { dataType: "BYTES", dims: [1], optional: true } },
          outputs: { text: { dataType: "BYTES", dims: [-1] } },
          async setup(place) {
            place.log.info({ place: place.name + place.version }, "set up");
            return { words: await readFile(join(place.folder, "words.txt"), "utf8"), greeting: place.parameters.greeting ?? "" };
          },
          run({ text, mark }, { state, requests: [{ id, parameters, rows }], log }) {
            log.warn({ id }, "ran");
            const parts = [state.greeting, state.words, twice(String(text.data[0])), String(mark?.data[0]), id, String(parameters.big), String(rows)];
            return { text: { dataType: "BYTES", shape: [parts.length], data: parts } };
          },
          close(state) { if (state.words === "") throw new Error("no state"); },
        });`,
    });
    const text = (value: string, name = "text"): InferInput => ({ name, dataType: "BYTES", shape: [1], data: [value] });
    const all = { id: "r7", parameters: { big: 2n ** 60n, priority: 1 } };
    const first = await served.infer("m", { ...all, inputs: [text("ab"), text("!", "mark")] });
    expect(first.outputs[0]?.data).toEqual(["hello", "from a file", "abab", "!", "r7", String(2n ** 60n), "1"]);
    const second = await served.infer("m", { inputs: [text("c")] });
    expect(second.outputs[0]?.data).toEqual(["hello", "from a file", "cc", "undefined", "", "undefined", "1"]);
    expect(served.lines).toContainEqual({
      level: "info",
      message: "set up",
      fields: { model: "m", version: "2", service: "model", place: "m2" },
    });
    expect(served.lines).toContainEqual({
      level: "warn",
      message: "ran",
      fields: { model: "m", version: "2", service: "model", id: "r7" },
    });
  });

  test("each request whose rows are put together, by its own facts", async () => {
    await using served = await serveRepository({
      "m/config.pbtxt": `backend: "typescript" max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 200000 preferred_batch_size: [ 4 ] }`,
      "m/1/model.ts": `
        import { defineModel } from "servable/server";
        export default defineModel({
          inputs: { x: { dataType: "FP32", dims: [1] } },
          outputs: { y: { dataType: "FP32", dims: [2] } },
          run({ x }, { requests }) {
            const own = requests.flatMap(({ parameters, rows }) => Array.from({ length: rows }, () => [Number(parameters.factor), requests.length]));
            return { y: { dataType: "FP32", shape: [x.data.length, 2], data: Float32Array.from(own.flatMap(([f = 0, n = 0], row) => [f * x.data[row]!, n])) } };
          },
        });`,
    });
    const send = (values: readonly number[], factor: number) =>
      served.infer("m", { inputs: [floats(values, [values.length, 1])], parameters: { factor } });
    const answers = await Promise.all([send([1], 10), send([2, 3], 100), send([4], 1000)]);
    expect(answers.map(({ outputs }) => [...(outputs[0]?.data as Float32Array)])).toEqual([
      [10, 3],
      [200, 3, 300, 3],
      [4000, 3],
    ]);
    expect(served.server.statistics("m", "")[0]).toMatchObject({ inference_count: 4, execution_count: 1 });
  });

  test("instance_group says how many there are", async () => {
    await using served = await serveRepository({
      "m/config.pbtxt": `backend: "typescript" instance_group { count: 3 kind: KIND_CPU }`,
      "m/1/model.ts": `
        import { threadId } from "node:worker_threads";
        import { defineModel } from "servable/server";
        export default defineModel({
          inputs: { x: { dataType: "FP32", dims: [1] } },
          outputs: { place: { dataType: "INT32", dims: [2] } },
          setup: ({ instance }) => instance,
          async run(_inputs, { state }) {
            await new Promise((resolve) => setTimeout(resolve, 150));
            return { place: { dataType: "INT32", shape: [2], data: Int32Array.of(state, threadId) } };
          },
        });`,
    });
    const answers = await Promise.all([0, 1, 2].map(() => served.infer("m", ask([1]))));
    const places = answers.map(({ outputs }) => outputs[0]?.data as Int32Array);
    expect(new Set(places.map(([instance]) => instance))).toEqual(new Set([0, 1, 2]));
    expect(new Set(places.map(([, thread]) => thread)).size).toBe(3);
  });

  test("its signal, when nobody waits any more", async () => {
    await using served = await serveRepository({
      "m/1/model.ts": `
        import { defineModel } from "servable/server";
        export default defineModel({
          inputs: { x: { dataType: "FP32", dims: [1] } },
          outputs: { y: { dataType: "FP32", dims: [1] } },
          async run({ x }, { signal, log }) {
            if (x.data[0] === 1) return { y: x };
            await new Promise((_, reject) => signal.addEventListener("abort", () => { log.info("told"); reject(signal.reason); }));
          },
        });`,
    });
    const admission = served.server.model("m", "").admit({});
    const answer = failureOf(admission.infer(requestOf("m", ask([2]))));
    await pause(200);
    admission.cancel();
    expect((await answer).status).toBe("cancelled");
    // The only instance is free again.
    expect((await served.infer("m", ask([1]))).outputs[0]?.data).toEqual(Float32Array.of(1));
    expect(served.lines.map(({ message }) => message)).toContain("told");
    expect(served.lines.map(({ message }) => message)).not.toContain("the model failed");
  });

  test("with the parameter placement, a process of its own", async () => {
    await using served = await serveRepository({
      "m/config.pbtxt": `backend: "typescript" parameters { key: "placement" value { string_value: "process" } }`,
      "m/1/model.ts": `
        import { defineModel } from "servable/server";
        export default defineModel({
          inputs: { x: { dataType: "FP32", dims: [1] } },
          outputs: { pid: { dataType: "INT32", dims: [1] } },
          run: () => ({ pid: { dataType: "INT32", shape: [1], data: Int32Array.of(process.pid) } }),
        });`,
    });
    const pid = async () => ((await served.infer("m", ask([1]))).outputs[0]?.data as Int32Array)[0];
    expect(await pid()).not.toBe(process.pid);
    expect(await pid()).toBe(await pid());
  });
});

describe("failures", () => {
  test("of a run are told in the log; clients learn what was meant for them", async () => {
    await using served = await serveRepository({
      "m/1/model.ts": `
        import { ServableError } from "servable";
        import { defineModel } from "servable/server";
        export default defineModel({
          inputs: { x: { dataType: "FP32", dims: [1] } },
          outputs: { y: { dataType: "FP32", dims: [1] } },
          run({ x }) {
            switch (x.data[0]) {
              case 0: throw new Error("secret");
              case 1: throw new ServableError("invalid_request", "x must not be 1");
              case 2: return { y: { dataType: "FP32", shape: [2], data: new Float32Array(2) } };
              case 3: return { z: x } as never;
              case 4: return {};
              case 5: return (async function* () { yield { y: x }; })();
              case 6: return { y: { dataType: "INT8", shape: [1], data: new Int8Array(1) } } as never;
              case 7: return undefined as never;
            }
            return { y: x };
          },
        });`,
    });
    const failure = async (value: number) => (await failureOf(served.infer("m", ask([value])))).message;
    expect(await failure(0)).toBe("The model 'm' failed. The server's log tells more.");
    expect(served.lines.some((line) => JSON.stringify(line).includes("secret"))).toBe(true);
    expect(await failureOf(served.infer("m", ask([1])))).toEqual({ status: "invalid_request", message: "x must not be 1" });
    expect(await failure(2)).toBe("The model 'm' gave its output 'y' as FP32 [2] instead of FP32 [1].");
    expect(await failure(3)).toBe("The model 'm' gave 'z', which is none of its outputs (y).");
    expect(await failure(4)).toBe("The model 'm' did not give its output 'y'.");
    expect(await failure(5)).toContain("model_transaction_policy { decoupled: true }");
    expect(await failure(6)).toBe("The model 'm' gave its output 'y' as INT8 [1] instead of FP32 [1].");
    expect(await failure(7)).toBe("The model 'm' gave undefined instead of its outputs by name.");
    expect((await served.infer("m", ask([8]))).outputs[0]?.data).toEqual(Float32Array.of(8));
  });

  test("a crash of a worker fails what was in it, and another one takes its place", async () => {
    await using served = await serveRepository({
      "m/config.pbtxt": `backend: "typescript" instance_group { count: 2 kind: KIND_CPU }`,
      "m/1/model.ts": `
        import { defineModel } from "servable/server";
        export default defineModel({
          inputs: { x: { dataType: "FP32", dims: [1] } },
          outputs: { y: { dataType: "FP32", dims: [1] } },
          async run({ x }) {
            await new Promise((resolve) => setTimeout(resolve, 200));
            if (x.data[0] === 13) process.exit(1);
            return { y: x };
          },
        });`,
    });
    const [bad, good] = await Promise.all([failureOf(served.infer("m", ask([13]))), served.infer("m", ask([1]))]);
    expect(bad.status).toBe("worker_crashed");
    expect(good.outputs[0]?.data).toEqual(Float32Array.of(1));
    expect((await Promise.all([2, 3].map((value) => served.infer("m", ask([value]))))).length).toBe(2);
  });

  test.each([
    ["a syntax error", "export default defineModel({ run( });", /model\.ts could not be loaded: line 1, column \d+: /],
    ["a module that throws", `throw new Error("no licence");`, /model\.ts could not be loaded: no licence$/],
    ["no default export", "export const other = 1;", /model\.ts has no default export; it exports other\./],
    ["an export that is no model", "export default { inputs: {} };", /the export of model\.ts: This is no model: it has no function `run`/],
    [
      "an unknown data type",
      `export default { inputs: { x: { dataType: "FLOAT", dims: [1] } }, run() {} };`,
      /`inputs\.x\.dataType` must be one of/,
    ],
    ["no outputs", `export default { inputs: { x: { dataType: "FP32", dims: [1] } }, run() {} };`, /does not say what its outputs are/],
    ["a setup that throws", times(1, `setup() { throw new Error("no weights"); },`), /no weights/],
  ])("%s fails the load, and says why", async (_name, source, reason) => {
    await using served = await openRepository({ "m/1/model.ts": source }, { exitOnError: false });
    await served.server.start();
    const [line] = await served.server.index("", false);
    expect(line).toMatchObject({ name: "m", version: "1", state: "UNAVAILABLE" });
    expect(line?.reason).toMatch(reason);
    expect(line?.reason).not.toContain(served.folder);
  });

  test("a configuration that the model does not fit", async () => {
    const config = `backend: "typescript" input { name: "x" data_type: TYPE_INT32 dims: [ 4 ] } output { name: "z" data_type: TYPE_FP32 dims: [ -1 ] }`;
    await using served = await openRepository({ "m/config.pbtxt": config, "m/1/model.ts": times(1) }, { exitOnError: false });
    await served.server.start();
    const [line] = await served.server.index("", false);
    expect(line?.reason).toBe(
      "model 'm' is not what its configuration says: its input 'x' is FP32 [-1], and configured as INT32 [4]; it has no output 'z'; its output 'y' is not configured",
    );
  });
});

test("a model with state: what the server keeps for it, and tells it of the sequence, it declares and its clients don't see", async () => {
  await using served = await serveRepository({
    "sum/config.pbtxt": `backend: "typescript" instance_group { count: 2 kind: KIND_CPU } sequence_batching { max_sequence_idle_microseconds: 20000000
      control_input { name: "start" control { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } }
      state { input_name: "before" output_name: "after" data_type: TYPE_FP32 dims: [ 1 ] initial_state { name: "zero" data_type: TYPE_FP32 dims: [ 1 ] zero_data: true } }
    }`,
    "sum/1/model.ts": `
      import { defineModel } from "servable/server";
      const one = { dataType: "FP32", dims: [1] } as const;
      export default defineModel({
        inputs: { x: one, before: one, start: { dataType: "INT32", dims: [1] } },
        outputs: { sum: one, after: one },
        run({ x, before, start }) {
          const sum = Float32Array.of((start.data[0] === 1 ? 1000 : 0) + before.data[0]! + x.data[0]!);
          return { sum: { ...x, data: sum }, after: { ...x, data: sum } };
        },
      });`,
  });
  const { config } = served.server.model("sum", "");
  expect([config.input?.map(({ name }) => name), config.output?.map(({ name }) => name)]).toEqual([["x"], ["sum"]]);
  const send = async (sequence: number, value: number, start = false) =>
    (await served.infer("sum", ask([value], { parameters: { sequence_id: sequence, sequence_start: start } }))).outputs[0]?.data[0];
  expect([await send(1, 1, true), await send(2, 5, true), await send(1, 2), await send(2, 6)]).toEqual([1001, 1005, 1003, 1011]);
});

test("a load picks up changed code, and code that it imports; what does not load leaves what serves", async () => {
  await using served = await serveRepository(
    {
      "m/1/model.ts": times(2).replace("= 2", "= helper").replace("import {", `import { helper } from "./helper.ts"; import {`),
      "m/1/helper.ts": "export const helper = 2;",
    },
    { control: "explicit", loadModels: ["m"] },
  );
  const answer = async () => ((await served.infer("m", ask([1]))).outputs[0]?.data as Float32Array)[0];
  expect(await answer()).toBe(2);
  await writeFile(join(served.folder, "m/1/helper.ts"), "export const helper = 31;");
  await served.server.load("", "m", {});
  expect(await answer()).toBe(31);
  await writeFile(join(served.folder, "m/1/helper.ts"), "export const helper = ;");
  const failure = await failureOf(served.server.load("", "m", {}));
  expect(failure.message).toMatch(/^load failed for model 'm': version 1 is at UNAVAILABLE state: .*Unexpected ";"/);
  expect(await answer()).toBe(31);
});
