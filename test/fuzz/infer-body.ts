import { deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import type { DataType } from "../../src/tensor/data-type.ts";
import { anyJson, nested } from "./json-text.ts";
import { batchOf, type FuzzModel, type FuzzTensor } from "./models.ts";
import { hostileText, mutate } from "./mutate.ts";
import type { Random } from "./random.ts";

/** How often what goes wrong. All zero makes a sound request. */
export interface Mistakes {
  /** A member of the JSON. */
  readonly member: number;
  /** The bytes of the JSON. */
  readonly json: number;
  /** The bytes of the binary tensors, and their sizes. */
  readonly binary: number;
  /** The header that says where they begin. */
  readonly header: number;
  /** The compression. */
  readonly encoding: number;
}

/** A request of an inference over HTTP. */
export interface InferBody {
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

const elementBytes: Readonly<Record<Exclude<DataType, "BYTES">, number>> = {
  ...{ BOOL: 1, UINT8: 1, INT8: 1, UINT16: 2, INT16: 2, FP16: 2, BF16: 2 },
  ...{ UINT32: 4, INT32: 4, FP32: 4, UINT64: 8, INT64: 8, FP64: 8 },
};

/** Elements as the wire has them. */
export function tensorBytes(random: Random, dataType: DataType, count: number): Buffer {
  if (dataType === "BOOL") return Buffer.from(random.list(count, () => random.below(2)));
  if (dataType !== "BYTES") return random.bytes(count * elementBytes[dataType]);
  return Buffer.concat(
    random.list(count, () => {
      const element = Buffer.from(hostileText(random).slice(0, 50));
      const length = Buffer.alloc(4);
      length.writeUInt32LE(element.length);
      return Buffer.concat([length, element]);
    }),
  );
}

/** The shape of a sound request, and how many elements it has. */
export function shapeOf(random: Random, { dims }: FuzzTensor, batch: number): { readonly shape: number[]; readonly count: number } {
  const shape = dims.map((length) => (length === -1 ? random.below(6) : length));
  if (batch > 0) shape.unshift(batch);
  return { shape, count: shape.reduce((product, length) => product * length, 1) };
}

function valuesOf(random: Random, dataType: DataType, count: number): string {
  const value = (): string => {
    if (dataType === "BYTES") return JSON.stringify(hostileText(random).slice(0, 50));
    if (dataType === "BOOL") return String(random.chance(0.5));
    if (dataType.startsWith("FP")) return String(random.below(1_000) / 8);
    return String(random.below(100));
  };
  return `[${random.list(count, value).join(",")}]`;
}

/** Makes a request for a model, with mistakes. */
export function inferBody(random: Random, model: FuzzModel, mistakes: Mistakes): InferBody {
  const slot = (sound: string): string => (random.chance(mistakes.member) ? wrongMember(random) : sound);
  const batch = batchOf(random, model);
  const tensors: Buffer[] = [];
  const inputs = model.inputs.map((input) => {
    const { shape, count } = shapeOf(random, input, batch);
    const head = `"name":${slot(JSON.stringify(input.name))},"datatype":${slot(`"${input.dataType}"`)},"shape":${slot(JSON.stringify(shape))}`;
    if (input.dataType !== "FP16" && input.dataType !== "BF16" && random.chance(0.4)) {
      return `{${head},"data":${slot(valuesOf(random, input.dataType, count))}}`;
    }
    let bytes = tensorBytes(random, input.dataType, count);
    let size = String(bytes.length);
    if (random.chance(mistakes.binary)) [bytes, size] = wrongTensor(random, bytes);
    tensors.push(bytes);
    return `{${head},"parameters":${slot(`{"binary_data_size":${slot(size)}}`)}}`;
  });
  if (random.chance(mistakes.member)) inputs.push(random.from([...inputs, anyJson(random)]));
  const members = [`"inputs":${slot(`[${inputs.join(",")}]`)}`];
  if (random.chance(0.3)) members.push(`"id":${slot('"7"')}`);
  if (random.chance(0.3) || model.stateful === true) members.push(`"parameters":${slot(parametersOf(random, slot))}`);
  if (random.chance(0.4)) members.push(`"outputs":${slot(`[${model.outputs.map((name) => outputOf(random, slot, name)).join(",")}]`)}`);
  let json: Buffer = Buffer.from(`{${members.join(",")}}`);
  if (random.chance(mistakes.json)) json = mutate(random, json);
  const headers: Record<string, string> = {};
  if (tensors.length > 0 || random.chance(0.1)) headers["inference-header-content-length"] = String(json.length);
  if (random.chance(mistakes.header)) setHeaderLength(random, headers, json.length);
  if (random.chance(0.15))
    headers["accept-encoding"] = random.from(["gzip", "deflate", "gzip;q=0.5, identity", "br", "*", ";;q=,", "gzip;q=x"]);
  let body: Buffer = Buffer.concat([json, ...tensors]);
  if (random.chance(mistakes.binary / 2))
    body = Buffer.from(random.chance(0.5) ? body.subarray(0, random.below(body.length + 1)) : mutate(random, body));
  return { headers, body: random.chance(mistakes.encoding) ? compressed(random, headers, body) : body };
}

function wrongMember(random: Random): string {
  return random.chance(0.02) ? nested(random, random.from([50, 99, 100, 101, 5_000])) : anyJson(random);
}

function parametersOf(random: Random, slot: (sound: string) => string): string {
  const all = [
    '"binary_data_output":true',
    '"priority":1',
    '"timeout":5000',
    '"sequence_id":5',
    '"sequence_start":true',
    '"sequence_end":true',
    '"own":"x"',
  ];
  const some = all.filter(() => random.chance(0.4)).map((text) => text.replace(/:(.*)$/, (_all, value: string) => `:${slot(value)}`));
  return `{${some.join(",")}}`;
}

function outputOf(random: Random, slot: (sound: string) => string, name: string): string {
  const parameters = random.from(["{}", '{"binary_data":true}', '{"binary_data":false}', `{"classification":${slot("2")}}`]);
  return `{"name":${slot(JSON.stringify(name))},"parameters":${slot(parameters)}}`;
}

/** Bytes that are not what their size, or their own lengths, say. */
function wrongTensor(random: Random, bytes: Buffer): [Buffer, string] {
  switch (random.below(5)) {
    case 0:
      return [bytes.subarray(0, random.below(bytes.length + 1)), String(bytes.length)];
    case 1:
      return [bytes, random.from(lyingSizes)];
    case 2: {
      const mutated = mutate(random, bytes);
      return [mutated, String(mutated.length)];
    }
    case 3: {
      // A string's length that lies.
      const lying = Buffer.from(bytes);
      if (lying.length >= 4) lying.writeUInt32LE(random.from([0, 1, 5, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffc]));
      return [lying, String(lying.length)];
    }
    default:
      return [Buffer.alloc(0), "0"];
  }
}

const lyingSizes: readonly string[] = [
  ...["0", "1", "7", "-1", "1.5", '"8"', "null", "2147483648", "4294967296", "9007199254740992", "9223372036854775807"],
  ...["9223372036854775808", "18446744073709551615", "18446744073709551616", "1e400", "[8]", "{}"],
];

function setHeaderLength(random: Random, headers: Record<string, string>, length: number): void {
  const texts = [
    "0",
    "-1",
    "+1",
    "",
    " ",
    "abc",
    "NaN",
    "Infinity",
    "1e3",
    "0x10",
    "1.5",
    "1 2",
    "1,2",
    "9".repeat(30),
    "4294967296",
    "67108865",
  ];
  const near = [length - 1, length + 1, length * 2, length + 1_000_000, random.below(length + 1)].map(String);
  headers["inference-header-content-length"] = random.from([...texts, ...near]);
}

function compressed(random: Random, headers: Record<string, string>, body: Buffer): Buffer {
  const encoding = random.from(["gzip", "deflate", "gzip", "deflate", "br", "identity", "GZIP", "gzip, deflate", "x", ""]);
  headers["content-encoding"] = encoding;
  const packed = random.from([
    () => gzipSync(body),
    () => deflateSync(body),
    () => deflateRawSync(body),
    () => body,
    () => gzipSync(gzipSync(body)),
  ])();
  switch (random.below(4)) {
    case 0:
      return packed.subarray(0, random.below(packed.length + 1));
    case 1:
      return mutate(random, packed);
    default:
      return packed;
  }
}
