/** Words that an object of options may have, and what is said of others: plain JavaScript has no compiler to say it. */
import { ServableError } from "./errors.ts";

/** The keys of options: `{ … } satisfies KeysOf<Options>` names each of them, and no other. */
export type KeysOf<T> = Readonly<Record<keyof T, true>>;

/**
 * @param known - the keys that there are
 * @param what - whose they are, to begin a sentence with
 * @param elsewhere - keys that belong a level down, by where
 * @throws ServableError `invalid_config` naming the first key that there is not
 */
export function refuseUnknownKeys(
  options: object,
  known: Readonly<Record<string, true>>,
  what: string,
  elsewhere: Readonly<Record<string, Readonly<Record<string, true>>>> = {},
): void {
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined || Object.hasOwn(known, key)) continue;
    const names = Object.keys(known);
    const below = Object.keys(elsewhere).find((place) => Object.hasOwn(elsewhere[place] ?? {}, key));
    const near = below === undefined ? nearestKey(key, names) : `${below}.${key}`;
    throw new ServableError(
      "invalid_config",
      `${what} has no option '${key}'${near === undefined ? `. There is: ${names.join(", ")}.` : `; did you mean '${near}'?`}`,
    );
  }
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
