import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { identityModel } from "../support/onnx-writer.ts";
import { ask, type HttpAnswer } from "./http.ts";
import { inParts } from "./http-cases.ts";
import { anyJson } from "./json-text.ts";
import { models } from "./models.ts";
import { hostileText, mutate, wholeText } from "./mutate.ts";
import type { Random } from "./random.ts";
import { Wrong, type FuzzCase, type Target } from "./target.ts";

const model = identityModel("FP32", ["n", 2]);
const config =
  'max_batch_size: 8\ninput { name: "x" data_type: TYPE_FP32 dims: 2 }\noutput { name: "y" data_type: TYPE_FP32 dims: [ 2 ] }\ndynamic_batching { }\n';
const request = Buffer.from('{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[3,4]}]}');

function control(target: Target, name: string, action: "load" | "unload", body = "", random?: Random): Promise<HttpAnswer> {
  const bytes = Buffer.from(body);
  const parts = random === undefined ? [bytes] : inParts(random, bytes);
  return ask(target, { method: "POST", path: `/v2/repository/models/${name}/${action}`, parts });
}

/** With a name that no other case uses at the same time; what was loaded under it is gone afterwards. */
async function withName(target: Target, use: (name: string) => Promise<void>): Promise<void> {
  const name = target.freeNames.pop();
  if (name === undefined) throw new Error("more cases at once than names");
  try {
    await use(name);
  } finally {
    await control(target, name, "unload");
    await rm(join(target.server.repository, name), { recursive: true, force: true });
    target.freeNames.push(name);
  }
}

/** What is said of a load that failed has to say why. */
function checkLoad({ status, body }: HttpAnswer, mayLoad: boolean): void {
  if (status === 200) {
    if (!mayLoad) throw new Wrong("a load succeeded that had nothing to load");
    return;
  }
  const { error } = JSON.parse(body.toString()) as { readonly error: string };
  if (!error.includes("load")) throw new Wrong(`a load that failed does not say so: ${error}`);
}

/** A folder whose model or configuration is broken: the load fails and says so. */
export const brokenFolders: FuzzCase = (random, target) =>
  withName(target, async (name) => {
    const folder = join(target.server.repository, name);
    await mkdir(join(folder, "1"), { recursive: true });
    const file = join(folder, "1", "model.onnx");
    const half = model.subarray(0, Math.floor(model.length / 2));
    const [content, sound] = random.from([
      [half, false],
      [random.bytes(random.size(5_000)), false],
      [Buffer.alloc(0), false],
      ["folder", false],
      ["missing", false],
      [mutate(random, model), true],
      [model.subarray(0, random.below(model.length)), true],
    ] as const);
    if (content === "folder") await mkdir(file);
    else if (content !== "missing") await writeFile(file, content);
    if (random.chance(0.3)) await writeFile(join(folder, "config.pbtxt"), config);
    checkLoad(await control(target, name, "load"), sound);
  });

/** A config.pbtxt that is none. The model beside it is whole. */
export const brokenConfigs: FuzzCase = (random, target) =>
  withName(target, async (name) => {
    const folder = join(target.server.repository, name);
    await mkdir(join(folder, "1"), { recursive: true });
    await writeFile(join(folder, "1", "model.onnx"), model);
    const text = random.from([
      () => random.bytes(1 + random.size(3_000)),
      () => mutate(random, Buffer.from(config)),
      () => Buffer.from("parameters { key: ".repeat(random.from([10, 100_000]))),
      () => Buffer.from("input { ".repeat(random.from([5, 50_000]))),
      () => Buffer.from(`name: ${JSON.stringify(hostileText(random))}\n${config}`),
      () => Buffer.from(`default_model_filename: ${JSON.stringify(hostileText(random))}\n${config}`),
      () => Buffer.from(config.replace("8", random.from(["-1", "0", "99999999999", "1e9", '"8"', "[8]"]))),
      () => Buffer.from(config.replace(random.from(["FP32", "2", "x"]), hostileText(random))),
      () => Buffer.from(`${config}instance_group { count: ${random.from(["0", "-1", "2147483647", "2147483648"])} kind: KIND_CPU }\n`),
      () =>
        Buffer.from(`${config}version_policy { specific { versions: [${random.from(["", "1", "2", "-1", "9223372036854775807"])}] } }\n`),
      () =>
        Buffer.from(
          `${config}parameters { key: ${JSON.stringify(hostileText(random))} value { string_value: ${JSON.stringify(hostileText(random))} } }\n`,
        ),
      () => Buffer.from(`output { name: "y" label_filename: ${JSON.stringify(hostileText(random))} data_type: TYPE_FP32 dims: 2 }`),
    ])();
    await writeFile(join(folder, "config.pbtxt"), text);
    checkLoad(await control(target, name, "load"), true);
  });

/** A version that disappears while it is loaded, and one that comes back. */
export const vanishing: FuzzCase = (random, target) =>
  withName(target, async (name) => {
    const folder = join(target.server.repository, name);
    await mkdir(join(folder, "1"), { recursive: true });
    await writeFile(join(folder, "1", "model.onnx"), model);
    if (random.chance(0.5)) await writeFile(join(folder, "config.pbtxt"), config);
    const load = control(target, name, "load");
    await pause(random.from([0, 0, 1, 2, 5, 20, 60]));
    await rm(join(folder, random.from(["", "1", "1/model.onnx"])), { recursive: true, force: true });
    const answer = await load;
    checkLoad(answer, true);
    const infer = await ask(target, { method: "POST", path: `/v2/models/${name}/infer`, parts: [request] });
    // What is loaded needs its files no more.
    if ((answer.status === 200) !== (infer.status === 200))
      throw new Wrong(`the load gave ${answer.status}, and then a request ${infer.status}`);
  });

/** A load with a configuration, and files, that come from outside. */
export const overrides: FuzzCase = (random, target) =>
  withName(target, async (free) => {
    const name = random.chance(0.75) ? free : random.from(["..", ".", "%2e%2e", "a%00b", "..%2f..", "x".repeat(400), "..;", "~", "-"]);
    const files: Record<string, string> = {};
    for (let left = random.below(4); left > 0; left--) files[`file:${overridePath(random)}`] = overrideContent(random);
    const parameters = { ...files, ...(random.chance(0.8) ? { config: overrideConfig(random) } : {}) };
    let body: Buffer = Buffer.from(random.chance(0.9) ? JSON.stringify({ parameters }) : anyJson(random));
    if (random.chance(0.2)) body = mutate(random, body);
    const answer = await control(target, name, "load", body.toString("latin1"), random);
    if (answer.status === 200) await control(target, name, "unload");
    const strays = await target.server.strays();
    if (strays.length > 0) throw new Wrong(`a load wrote outside the repository: ${strays.join(", ")}`);
  });

/** Every one that leads out leads to where strays are looked for. */
function overridePath(random: Random): string {
  const out = `${"../".repeat(random.between(1, 3))}stray-${random.next()}`;
  return random.from([
    ...[
      "1/model.onnx",
      "1/model.onnx",
      "1/model.onnx",
      "config.pbtxt",
      "1/../1/model.onnx",
      "1",
      "1/",
      "",
      ".",
      "./",
      "a\0b",
      "1/a\0b",
      "x\\..\\y",
    ],
    ...[
      out,
      `1/${out}`,
      `./${out}`,
      `1/./${out}`,
      `..\\stray`,
      "a/".repeat(3_000),
      "x".repeat(5_000),
      `${"d/".repeat(60)}x`,
      "1/model.onnx/x",
      "__proto__",
    ],
  ]);
}

function overrideContent(random: Random): string {
  const whole = Buffer.from(model).toString("base64");
  return random.from([
    whole,
    whole,
    whole.slice(0, 51),
    "",
    "****",
    "=",
    random.bytes(random.size(200_000)).toString("base64"),
    hostileText(random),
  ]);
}

function overrideConfig(random: Random): string {
  const whole = '{"backend":"onnxruntime","max_batch_size":8}';
  return random.from([
    () => whole,
    () => whole,
    () => anyJson(random),
    () => mutate(random, Buffer.from(whole)).toString(),
    () => hostileText(random),
  ])();
}

/** Loads and unloads of what there is not, under names that are none. */
export const strangers: FuzzCase = async (random, target) => {
  const name = encodeURIComponent(wholeText(random)) || "x";
  // What cases are aimed at stays.
  if (models.some((one) => one.name === name)) return;
  const path = `/v2/repository/${random.chance(0.1) ? "other/" : ""}models/${name.slice(0, 12_000)}/${random.from(["load", "unload"])}`;
  await ask(target, { method: "POST", path, parts: random.chance(0.5) ? [] : [Buffer.from(anyJson(random))] });
};
