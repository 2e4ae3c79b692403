import { ServableError } from "../../errors.ts";
import type { KeysOf } from "../../known-keys.ts";

/** How much an archive may hold. All are finite. */
export interface ArchiveLimits {
  /** Bytes of the archive as it is stored. @default 32 GiB */
  readonly maxArchiveBytes?: number | undefined;
  /** Bytes of all files that it holds. @default 64 GiB */
  readonly maxBytes?: number | undefined;
  /** Files and folders. @default 100000 */
  readonly maxEntries?: number | undefined;
  /** Bytes of one path. @default 1024 */
  readonly maxPathBytes?: number | undefined;
  /** How many times its own size it may unpack to, from 64 MiB on; models hardly get to 20, zeros to 1000. @default 200 */
  readonly maxRatio?: number | undefined;
}

/** The keys of {@link ArchiveLimits}. */
export const limitKeys: KeysOf<ArchiveLimits> = {
  maxArchiveBytes: true,
  maxBytes: true,
  maxEntries: true,
  maxPathBytes: true,
  maxRatio: true,
};

/** {@link ArchiveLimits} with every default filled in. */
export type ResolvedArchiveLimits = { readonly [K in keyof ArchiveLimits]-?: number };

const GiB = 1024 ** 3;

/** Fills in the defaults. @throws ServableError `invalid_argument` */
export function resolveArchiveLimits(limits: ArchiveLimits = {}): ResolvedArchiveLimits {
  const resolved = {
    maxArchiveBytes: limits.maxArchiveBytes ?? 32 * GiB,
    maxBytes: limits.maxBytes ?? 64 * GiB,
    maxEntries: limits.maxEntries ?? 100_000,
    maxPathBytes: limits.maxPathBytes ?? 1024,
    maxRatio: limits.maxRatio ?? 200,
  };
  for (const [name, value] of Object.entries(resolved)) {
    if (!Number.isFinite(value) || value < 1)
      throw new ServableError("invalid_argument", `limits.${name} must be a number from 1 on, not ${value}.`);
  }
  return Object.freeze(resolved);
}
