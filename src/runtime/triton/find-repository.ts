import { stat } from "node:fs/promises";
import path from "node:path";
import type { EngineLogger } from "../../engine/observer.ts";
import { ServableError } from "../../errors.ts";
import { downloadArtifact, type ArtifactProgress } from "../../storage/download.ts";
import { publicUri } from "../../storage/uri.ts";
import type { ResolvedTritonOptions } from "./options.ts";

/** A model repository on this machine. */
export interface FoundRepository {
  readonly folder: string;
  /** Whether it is a folder that the user named, and not one that others share and nobody may write to. */
  readonly isUsers: boolean;
}

/**
 * Finds the repository that an artifact is: a folder, or what an archive holds, which is downloaded and unpacked.
 *
 * @throws ServableError `load_failed`, `not_found`, and what else a download throws
 */
export async function findRepository(
  { artifact, download }: Pick<ResolvedTritonOptions, "artifact" | "download">,
  log: EngineLogger,
  signal: AbortSignal,
): Promise<FoundRepository> {
  const folder = path.resolve(artifact);
  const facts = await stat(folder).catch(() => undefined);
  if (facts?.isDirectory() === true) return { folder, isUsers: true };
  const isPath = !/^[a-z][a-z0-9+.-]+:/i.test(artifact);
  if (isPath && facts === undefined && !artifact.includes("#sha256=")) {
    throw new ServableError("load_failed", `There is no folder or archive ${folder}, which should be a model repository.`);
  }
  const since = performance.now();
  const onProgress = download.onProgress ?? loggedProgress(artifact, log);
  const downloaded = await downloadArtifact(artifact, { ...download, onProgress, signal });
  const ms = Math.round(performance.now() - since);
  log.info({ artifact: publicUri(artifact), digest: downloaded.digest, ms }, "the artifact is there");
  return { folder: downloaded.folder, isUsers: false };
}

const progressMs = 5_000;

/** Where nobody else listens, the log tells how far it is: often enough to see that it moves, seldom enough to be read. */
function loggedProgress(artifact: string, log: EngineLogger): (progress: ArtifactProgress) => void {
  let told = performance.now();
  return (progress) => {
    if (performance.now() - told < progressMs) return;
    told = performance.now();
    log.info({ artifact: publicUri(artifact), ...progress }, "the artifact is on its way");
  };
}
