import { hostileText } from "./mutate.ts";
import type { Random } from "./random.ts";

/** JSON, or nearly. Text and not values, since what breaks readers is often what no value is written as. */
export function anyJson(random: Random, depth = 3): string {
  const kind = random.below(depth > 0 ? 9 : 6);
  switch (kind) {
    case 0:
      return random.from(["null", "true", "false", "NaN", "Infinity", "-Infinity", "nul", "TRUE", "''", "undefined", ""]);
    case 1:
      return String(random.from([0, 1, 2, 3, 8, 100, -1, 1.5, 255, 65_536, 2 ** 31, 2 ** 32]));
    case 2:
      return random.from(numbers);
    case 3:
    case 4:
      return JSON.stringify(hostileText(random));
    case 5:
      return random.from(["[]", "{}", "[[]]", "[{}]", '{"":0}', "[,]", "{,}", "[1,]", '{"a":1,}']);
    case 6:
    case 7:
      return `[${random.list(random.below(5), () => anyJson(random, depth - 1)).join(",")}]`;
    default:
      return `{${random.list(random.below(4), () => `${JSON.stringify(random.from(names))}:${anyJson(random, depth - 1)}`).join(",")}}`;
  }
}

const numbers: readonly string[] = [
  ...["-0", "0.1", "1e1", "1e400", "-1e400", "1e-400", "00", "01", "+1", ".5", "5.", "0x10", "1e", "--1", "1_000"],
  ...[
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
  ],
  ...["4294967295", "4294967296", "2147483647", "2147483648", "-2147483649", "1".repeat(400), `0.${"3".repeat(400)}`],
];

const names: readonly string[] = [
  ...["name", "datatype", "shape", "data", "parameters", "inputs", "outputs", "id", "binary_data_size", "binary_data", "classification"],
  ...[
    "binary_data_output",
    "shared_memory_region",
    "sequence_id",
    "priority",
    "timeout",
    "triton_x",
    "__proto__",
    "constructor",
    "",
    "x",
    "config",
  ],
];

/** Lists or objects in each other, many. */
export function nested(random: Random, levels: number): string {
  const [open, close] = random.from([
    ["[", "]"],
    ['{"a":', "}"],
    ["[[", "]]"],
  ] as const);
  // Some are left open.
  return open.repeat(levels) + random.from(["", "1", '"x"']) + (random.chance(0.7) ? close.repeat(levels) : "");
}
