import type { z } from "zod";
import { formatPath } from "../errors.ts";
import { nearestKey } from "../known-keys.ts";
import type { ConfigFile, ConfigPath } from "./config-file.ts";

/** The keys of each object of the file, by its path; `[]` stands for any index. */
export type KnownKeys = Readonly<Record<string, readonly string[]>>;

/** The sentences that say what is wrong, and where: one for each wrong key, or one for a wrong value. */
export function describeIssue(issue: z.core.$ZodIssue, file: ConfigFile, known: KnownKeys): readonly string[] {
  const path = issue.path.map((key) => (typeof key === "number" ? key : String(key)));
  if (issue.code === "unrecognized_keys") return issue.keys.map((key) => describeKey(path, key, file, known));
  const value = valueAt(file.value, path);
  const name = path.length === 0 ? "the file" : formatPath(path);
  const isMissing = issue.code === "invalid_type" && value === undefined;
  if (isMissing) return [`${file.positionOf(path.slice(0, -1))}: ${name} is missing; it must be ${typeName(issue.expected)}.`];
  return [`${file.positionOf(path)}: ${name} ${demand(issue, value)}.`];
}

function describeKey(path: ConfigPath, key: string, file: ConfigFile, known: KnownKeys): string {
  const wrong = formatPath([...path, key]);
  const place = path
    .map((part) => (typeof part === "number" ? "[]" : `.${part}`))
    .join("")
    .replace(/^\./, "");
  const here = known[place] ?? [];
  const near = nearestKey(key, here);
  const elsewhere = Object.keys(known).find((other) => known[other]?.includes(key));
  const hint =
    near !== undefined
      ? `did you mean ${formatPath([...path, near])}?`
      : elsewhere !== undefined
        ? `did you mean ${elsewhere === "" ? key : `${elsewhere}.${key}`}?`
        : `known there: ${here.join(", ")}.`;
  return `${file.positionOfKey(path, key)}: there is no key ${wrong}; ${hint}`;
}

function valueAt(value: unknown, path: ConfigPath): unknown {
  let inner = value;
  for (const key of path) {
    if (typeof inner !== "object" || inner === null) return undefined;
    inner = Reflect.get(inner, key);
  }
  return inner;
}

/** What a wrong value should have been, to stand behind its name. */
function demand(issue: z.core.$ZodIssue, value: unknown): string {
  switch (issue.code) {
    case "invalid_type":
      return `must be ${typeName(issue.expected)}, not ${typeName(typeOf(value))}`;
    case "invalid_value":
      return `must be one of ${issue.values.map(String).join(", ")}; it is ${JSON.stringify(value)}`;
    case "too_big":
    case "too_small": {
      // Of texts and lists the schema says it in its own words.
      if (typeof value !== "number") return issue.message;
      return issue.code === "too_big"
        ? `must be at most ${issue.maximum}; it is ${value}`
        : `must be at least ${issue.minimum}; it is ${value}`;
    }
    default:
      return issue.code === "custom" ? issue.message : `is wrong: ${issue.message}`;
  }
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

const typeNames: Readonly<Record<string, string>> = {
  array: "a list",
  boolean: "true or false",
  int: "a whole number",
  null: "empty",
  number: "a number",
  object: "an object with keys",
  string: "a text",
};

function typeName(type: string): string {
  return typeNames[type] ?? type;
}
