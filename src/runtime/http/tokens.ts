import { createHash, timingSafeEqual } from "node:crypto";
import { readFileSync, unwatchFile, watchFile } from "node:fs";
import { ServableError, messageOf } from "../../errors.ts";
import type { Logger } from "../../service/service.ts";

const hashPrefix = "sha256:";
const checkEveryMs = 1_000;

/**
 * Bearer tokens from a file: one a line, as it is or as `sha256:` and 64 hex digits; empty lines and lines that begin with `#`
 * don't count. Only hashes are kept. The file is read again when it changes, so that tokens can be changed while it runs.
 */
export class TokenFile {
  readonly #path: string;
  readonly #log: Logger;
  #hashes: readonly Buffer[];

  /** @throws ServableError `invalid_config` for a file that can't be read or has no token */
  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
    this.#hashes = read(path);
    if (this.#hashes.length === 0)
      throw new ServableError("invalid_config", `The token file ${path} has no token in it; write one a line.`);
    // Polled: a watch would miss the swapped symlink by which Kubernetes changes a mounted secret.
    watchFile(path, { interval: checkEveryMs, persistent: false }, this.#reload);
  }

  /** Whether an Authorization header carries one of the tokens; takes the same time whichever it is. */
  accepts(authorization: string | undefined): boolean {
    const token = /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1];
    if (token === undefined) return false;
    const hash = hashOf(token);
    let found = false;
    for (const known of this.#hashes) found = timingSafeEqual(known, hash) || found;
    return found;
  }

  /** Stops watching the file. */
  close(): void {
    unwatchFile(this.#path, this.#reload);
  }

  readonly #reload = (): void => {
    try {
      this.#hashes = read(this.#path);
      this.#log.info({ tokens: this.#hashes.length }, "token file read again");
    } catch (thrown) {
      this.#log.error({ reason: messageOf(thrown) }, "token file not read again; the tokens stay as they were");
    }
  };
}

function reasonOf(thrown: unknown): string {
  return thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT" ? "there is no such file." : messageOf(thrown);
}

function read(path: string): readonly Buffer[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (thrown) {
    throw new ServableError("invalid_config", `The token file ${path} can't be read: ${reasonOf(thrown)}`, { cause: thrown });
  }
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line, index) => {
      if (!line.startsWith(hashPrefix)) return hashOf(line);
      const digits = line.slice(hashPrefix.length);
      if (!/^[0-9a-f]{64}$/i.test(digits)) {
        throw new ServableError("invalid_config", `Token ${index + 1} in ${path} begins with sha256: but 64 hex digits do not follow.`);
      }
      return Buffer.from(digits, "hex");
    });
}

function hashOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
