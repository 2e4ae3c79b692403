import { ServableError } from "../../errors.ts";
import type { ModelVersionPolicy } from "../model-config.ts";

/** Which versions a policy picks. */
export interface VersionSelection {
  /** From the lowest up. */
  readonly versions: readonly number[];
  /** Those that the policy names and that are not there. */
  readonly missing: readonly string[];
}

/** Picks the versions that a policy asks for from those that are there: the latest one where there is no policy, all where it names none of the three. */
export function selectVersions(policy: ModelVersionPolicy | undefined, versions: readonly number[]): VersionSelection {
  const sorted = [...new Set(versions)].sort((a, b) => a - b);
  const { latest, specific } = policy ?? { latest: { numVersions: 1 } };
  if (specific !== undefined) {
    const asked = new Set((specific.versions ?? []).map(String));
    const there = new Set(sorted.map(String));
    return {
      versions: sorted.filter((version) => asked.has(String(version))),
      missing: [...asked].filter((version) => !there.has(version)),
    };
  }
  if (latest === undefined) return { versions: sorted, missing: [] };
  const count = latest.numVersions ?? 0;
  return { versions: count === 0 ? [] : sorted.slice(-count), missing: [] };
}

/** What a load fails with when the policy picks nothing; the text is Triton's. */
export function noVersionError(name: string): ServableError {
  return new ServableError("load_failed", `at least one version must be available under the version policy of model '${name}'`);
}
