import { fileURLToPath } from "node:url";
import { ServableError } from "../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../known-keys.ts";
import { FolderStorage } from "./folder-storage.ts";
import { HttpStorage, httpKeys, type HttpStorageOptions } from "./http-storage.ts";
import { s3Keys, type S3StorageOptions } from "./s3-options.ts";
import { S3Storage } from "./s3-storage.ts";
import type { Storage } from "./storage.ts";
import { parseArtifactUri, publicUri } from "./uri.ts";

/** What storages of each kind need to know. */
export interface StorageOptions {
  readonly http?: HttpStorageOptions | undefined;
  readonly s3?: S3StorageOptions | undefined;
}

/** The keys of {@link StorageOptions}. */
export const storageKeys: KeysOf<StorageOptions> = { http: httpKeys, s3: s3Keys };

/**
 * Opens the storage that a URI names: a folder (a path, or `file:`), an HTTP server (`http:`, `https:`), or an S3-compatible store (`s3://bucket/prefix`).
 * A storage that somebody wrote himself is taken as it is.
 *
 * @throws ServableError `invalid_argument` for what is none of these, `invalid_config` for an option that there is not
 *
 * @example
 * ```ts
 * import { openStorage } from "servable/triton";
 *
 * const storage = openStorage("s3://models/production", { s3: { endpoint: "http://127.0.0.1:8333" } });
 * const { content } = await storage.read("mlp.tar.gz");
 * ```
 */
export function openStorage(uri: string | Storage, options: StorageOptions = {}): Storage {
  refuseUnknownKeys(options, storageKeys, "openStorage");
  if (typeof uri !== "string") return uri;
  const { uri: place } = parseArtifactUri(uri);
  // One letter is a drive of Windows.
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(place)?.[1]?.toLowerCase();
  switch (scheme) {
    case undefined:
      if (place === "" || place.includes("\0")) throw new ServableError("invalid_argument", "The URI of a storage must not be empty.");
      return new FolderStorage(place);
    case "file":
      return new FolderStorage(pathOf(place));
    case "http":
    case "https":
      if (!URL.canParse(place)) throw new ServableError("invalid_argument", `${publicUri(place)} is no URL.`);
      return new HttpStorage(place, options.http);
    case "s3":
      return new S3Storage(place, options.s3);
    default:
      throw new ServableError(
        "invalid_argument",
        `${publicUri(place)} can't be opened: there are storages for paths, file:, http:, https: and s3:, not for ${scheme}:.`,
      );
  }
}

function pathOf(uri: string): string {
  try {
    return fileURLToPath(uri);
  } catch (thrown) {
    throw new ServableError("invalid_argument", `${uri} names no file on this machine; it must be like file:///folder/file.`, {
      cause: thrown,
    });
  }
}
