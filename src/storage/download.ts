import { createHash, randomUUID } from "node:crypto";
import { lstat, mkdir, readdir, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { ServableError } from "../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../known-keys.ts";
import { limitKeys, resolveArchiveLimits, type ArchiveLimits } from "./archive/limits.ts";
import { unpackArchive } from "./archive/unpack.ts";
import { fetchArchive } from "./fetch-archive.ts";
import { fileFailure, systemCode } from "./file-failure.ts";
import { isRunning, withLock } from "./folder-lock.ts";
import { openStorage, storageKeys, type StorageOptions } from "./open-storage.ts";
import type { Storage } from "./storage.ts";
import { isSha256, parseArtifactUri, publicUri } from "./uri.ts";

/** How far a download is. */
export interface ArtifactProgress {
  /** `cached`: it was there already. */
  readonly stage: "download" | "unpack" | "cached";
  /** Of the archive while it is downloaded, of what is in it while it is unpacked. */
  readonly bytes: number;
  /** Where it is known. */
  readonly total?: number | undefined;
}

/** How an artifact is downloaded. */
export interface DownloadOptions {
  /** The folder that keeps what was downloaded, each artifact in a folder of its own. */
  readonly folder: string;
  /** What the archive must have. @default what the URI says after `#sha256=`; without either every archive is taken */
  readonly sha256?: string | undefined;
  readonly limits?: ArchiveLimits | undefined;
  /** Hears how far it is. */
  readonly onProgress?: ((progress: ArtifactProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** How often in a row a transfer may break off without having gained anything. @default 4 */
  readonly retries?: number | undefined;
  /** How long a transfer may give nothing. @default 60000 */
  readonly idleMs?: number | undefined;
  /** For storages that need to know more than a URI. */
  readonly storage?: StorageOptions | undefined;
}

/** The keys of {@link DownloadOptions}. */
export const downloadKeys: KeysOf<DownloadOptions> = {
  folder: "needed",
  sha256: true,
  limits: limitKeys,
  onProgress: true,
  signal: true,
  retries: true,
  idleMs: true,
  storage: storageKeys,
};

/** What was downloaded. */
export interface DownloadedArtifact {
  /** Holds what the archive holds. Others may use it, too: it must not be written to. */
  readonly folder: string;
  /** The SHA-256 of the archive. */
  readonly digest: string;
}

const partialPrefix = ".partial-";

/**
 * Downloads an archive (tar or tar.gz), checks its SHA-256, and unpacks it. What has the digest already is not downloaded again; processes that want the
 * same artifact at the same time wait for the first one. A folder of the cache is there only as a whole.
 *
 * @param from - the artifact's URI, or a storage whose own URI is the artifact's
 * @throws ServableError `not_found`, `unauthenticated`, `unavailable` (after all retries), and `load_failed` for what was downloaded and is wrong
 */
export async function downloadArtifact(from: string | Storage, options: DownloadOptions): Promise<DownloadedArtifact> {
  refuseUnknownKeys(options, downloadKeys, "downloadArtifact");
  const storage = openStorage(from, withIdle(options));
  const uri = typeof from === "string" ? from : storage.uriOf();
  const sha256 = wantedDigest(options.sha256, parseArtifactUri(uri).sha256);
  const limits = resolveArchiveLimits(options.limits);
  const cache = path.resolve(options.folder);
  options.signal?.throwIfAborted();
  await mkdir(cache, { recursive: true }).catch((thrown: unknown) => {
    throw fileFailure(thrown, "written", cache);
  });
  const known = sha256 === undefined ? undefined : await cached(cache, sha256, options);
  if (known !== undefined) return known;
  // Without a digest those wait for each other who have the same address.
  const key = sha256 ?? createHash("sha256").update(uri).digest("hex");
  return withLock(path.join(cache, `.${key}.lock`), options.signal, async () => {
    const since = sha256 === undefined ? undefined : await cached(cache, sha256, options);
    if (since !== undefined) return since;
    await removeAbandoned(cache);
    const partial = path.join(cache, `${partialPrefix}${process.pid}-${encodeURIComponent(hostname())}-${randomUUID()}`);
    try {
      await mkdir(partial);
      return await downloadTo(cache, partial, storage, { ...options, sha256, limits });
    } finally {
      await rm(partial, { recursive: true, force: true }).catch(() => undefined);
    }
  });
}

/** Until an answer's head is there it is the storage that waits. */
function withIdle({ storage, idleMs }: DownloadOptions): StorageOptions | undefined {
  if (idleMs === undefined) return storage;
  const { http, s3 } = storage ?? {};
  return { ...storage, http: { ...http, idleMs: http?.idleMs ?? idleMs }, s3: { ...s3, idleMs: s3?.idleMs ?? idleMs } };
}

async function downloadTo(cache: string, partial: string, storage: Storage, options: DownloadOptions): Promise<DownloadedArtifact> {
  const { sha256, signal, onProgress } = options;
  const limits = resolveArchiveLimits(options.limits);
  const title = publicUri(storage.uriOf());
  const archive = path.join(partial, "archive");
  const digest = await fetchArchive(storage, archive, {
    maxBytes: limits.maxArchiveBytes,
    retries: options.retries ?? 4,
    idleMs: options.idleMs ?? 60_000,
    title,
    signal,
    onProgress: (bytes, total) => onProgress?.({ stage: "download", bytes, total }),
  });
  if (sha256 !== undefined && digest !== sha256) {
    throw new ServableError("load_failed", `${title} is not what it should be: its SHA-256 is ${digest}, and not ${sha256}.`);
  }
  const known = sha256 === undefined ? await cached(cache, digest, options) : undefined;
  if (known !== undefined) return known;
  const content = path.join(partial, "content");
  await unpackArchive(archive, content, { limits, title, signal, onProgress: (bytes) => onProgress?.({ stage: "unpack", bytes }) });
  return { folder: await place(content, path.join(cache, digest)), digest };
}

function wantedDigest(asked: string | undefined, ofUri: string | undefined): string | undefined {
  if (asked !== undefined && !isSha256(asked)) throw new ServableError("invalid_argument", "sha256 must be 64 hexadecimal digits.");
  const digest = asked?.toLowerCase() ?? ofUri;
  if (digest !== undefined && ofUri !== undefined && digest !== ofUri) {
    throw new ServableError("invalid_argument", `sha256 is ${digest}, and the artifact's URI says ${ofUri}.`);
  }
  return digest;
}

async function cached(cache: string, digest: string, { onProgress }: DownloadOptions): Promise<DownloadedArtifact | undefined> {
  const folder = path.join(cache, digest);
  const facts = await lstat(folder).catch(() => undefined);
  if (facts === undefined) return undefined;
  if (!facts.isDirectory())
    throw new ServableError("load_failed", `${folder} is where an artifact should be, and is no folder: delete it.`);
  onProgress?.({ stage: "cached", bytes: 0 });
  return { folder, digest };
}

async function place(content: string, folder: string): Promise<string> {
  try {
    await rename(content, folder);
  } catch (thrown) {
    const code = systemCode(thrown);
    // Somebody was faster, with the same content.
    if (code !== "ENOTEMPTY" && code !== "EEXIST" && code !== "EPERM") throw fileFailure(thrown, "written", folder);
  }
  return folder;
}

/** What processes left behind that were killed. */
async function removeAbandoned(cache: string): Promise<void> {
  const names = await readdir(cache).catch(() => []);
  for (const name of names) {
    const [, pid, host] = /^\.partial-(\d+)-(.*)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.exec(name) ?? [];
    if (pid === undefined || host !== encodeURIComponent(hostname()) || isRunning(Number(pid))) continue;
    await rm(path.join(cache, name), { recursive: true, force: true }).catch(() => undefined);
  }
}
