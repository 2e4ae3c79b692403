import type { ModelStatistics } from "../protocol/model-info.ts";
import type { ServedVersion } from "./served-version.ts";
import type { FailureReason } from "./statistics.ts";

/** What metrics tell of one version of a model: counts since it was loaded, and how it is now. */
export interface ModelReport {
  readonly name: string;
  readonly version: string;
  readonly statistics: ModelStatistics;
  readonly failures: Readonly<Record<FailureReason, number>>;
  /** Requests that wait for their turn. */
  readonly pending: number;
  readonly loadSeconds: number;
  /** Whether its responses are kept. */
  readonly cached: boolean;
  /** The configuration's own labels. */
  readonly tags: Readonly<Record<string, string>>;
}

/** The report of a version. */
export function modelReportOf(version: ServedVersion, loadMs: number): ModelReport {
  const { name, statistics, pending, config } = version;
  return {
    name,
    version: version.version,
    statistics: statistics.report(name, version.version),
    failures: statistics.failures,
    pending,
    loadSeconds: loadMs / 1_000,
    cached: version.cached ?? false,
    tags: config.metricTags ?? {},
  };
}
