/** Words that an object of options may have, and what is said of others: plain JavaScript has no compiler to say it. */
import { ServableError } from "./errors.ts";

/** What a key may hold: anything, or anything but nothing; an object of known keys; or a list of such objects. */
type Known = true | "needed" | KnownKeys | readonly [KnownKeys];

/** The keys that there are. */
export interface KnownKeys {
  readonly [key: string]: Known;
}

/** The keys of options: `{ … } satisfies KeysOf<Options>` names each of them, and no other. */
export type KeysOf<T> = Readonly<Record<keyof T, Known>>;

/**
 * @param known - the keys that there are, and those of objects beneath them
 * @param whose - to begin a sentence with
 * @param path - where the options stand in what is theirs; empty for the whole of it
 * @throws ServableError `invalid_config` naming the first key that there is not, or that is needed and missing
 */
export function refuseUnknownKeys(options: unknown, known: KnownKeys, whose: string, path = ""): void {
  const what = path === "" ? whose : `${whose}: its ${path}`;
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    const wanted = path === "" ? "takes an object with options" : "must be an object";
    throw wrong(`${what} ${wanted}, not ${kindOf(options)}. ${listOf(known)}`);
  }
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const held = Object.hasOwn(known, key) ? known[key] : undefined;
    if (held === undefined) {
      const near = pathBelow(key, known) ?? nearestKey(key, Object.keys(known));
      throw wrong(`${what} has no option '${key}'${near === undefined ? `. ${listOf(known)}` : `; did you mean '${near}'?`}`);
    }
    if (held === true || held === "needed") continue;
    const below = path === "" ? key : `${path}.${key}`;
    if (!isList(held)) {
      refuseUnknownKeys(value, held, whose, below);
      continue;
    }
    if (!Array.isArray(value)) throw wrong(`${whose}: its ${below} must be a list, not ${kindOf(value)}.`);
    value.forEach((item, index) => {
      refuseUnknownKeys(item, held[0], whose, `${below}[${index}]`);
    });
  }
  for (const key in known) {
    if (known[key] === "needed" && Reflect.get(options, key) === undefined) throw wrong(`${what} needs the option '${key}'.`);
  }
}

/** Where, a level or more down, there is such a key: the nearest one. */
function pathBelow(key: string, known: KnownKeys): string | undefined {
  const places: { readonly path: string; readonly held: Known }[] = [{ path: "", held: known }];
  // What is found is appended, and so comes after all that is as near.
  for (const { path, held } of places) {
    if (held === true || held === "needed" || isList(held)) continue;
    if (path !== "" && Object.hasOwn(held, key)) return `${path}${key}`;
    for (const [name, below] of Object.entries(held)) places.push({ path: `${path}${name}.`, held: below });
  }
  return undefined;
}

function listOf(known: KnownKeys): string {
  return `There is: ${Object.keys(known).join(", ")}.`;
}

function isList(held: Known): held is readonly [KnownKeys] {
  return Array.isArray(held);
}

/** What a value is, for messages. */
export function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  return Array.isArray(value) ? "a list" : typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function wrong(message: string): ServableError {
  return new ServableError("invalid_config", message);
}

/** The key that was probably meant; undefined where none is near. */
export function nearestKey(key: string, candidates: readonly string[]): string | undefined {
  const plain = (text: string): string => text.toLowerCase().replaceAll(/[-_ ]/g, "");
  const mostEdits = Math.max(1, Math.floor(key.length / 3));
  const ranked = candidates
    .map((candidate) => ({ candidate, edits: editDistance(plain(key), plain(candidate)) }))
    .filter(({ edits }) => edits <= mostEdits)
    .sort((a, b) => a.edits - b.edits);
  return ranked[0]?.candidate;
}

/** How many letters must change, or change places, to make one word of the other (optimal string alignment). */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, index) => index)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Infinity;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const replaced = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(Math.min(replaced, at(i - 1, j) + 1, at(i, j - 1) + 1, isSwap ? at(i - 2, j - 2) + 1 : Infinity));
    }
  }
  return at(a.length, b.length);
}
