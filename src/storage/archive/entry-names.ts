import type { ResolvedArchiveLimits } from "./limits.ts";

/** What of an entry's header counts. */
export interface EntryHeader {
  readonly path: string;
  readonly type: string;
  readonly bytes: number;
}

const fileTypes: ReadonlySet<string> = new Set(["File", "OldFile", "ContiguousFile"]);
const refusedTypes: Readonly<Record<string, string>> = {
  Link: "a hard link",
  SymbolicLink: "a symbolic link",
  CharacterDevice: "a device",
  BlockDevice: "a device",
  FIFO: "a named pipe",
  SparseFile: "a sparse file",
  GNUDumpDir: "a folder's dump",
  ContinuationFile: "a part of a file from another archive",
};
const maxNameBytes = 255;

/**
 * Looks at the entries of one archive, in their order, before any of them is written: what has no business in a model repository, or would come to stand
 * where something else does, is refused.
 */
export class EntryNames {
  readonly #limits: ResolvedArchiveLimits;
  /** Paths as the most forgiving file system sees them, and as they are written. */
  readonly #seen = new Map<string, { readonly path: string; readonly isFolder: boolean; isImplied: boolean }>();
  #entries = 0;
  #bytes = 0;

  constructor(limits: ResolvedArchiveLimits) {
    this.#limits = limits;
  }

  /** @returns what is wrong with an entry; undefined where nothing is */
  problem({ path, type, bytes }: EntryHeader): string | undefined {
    const { maxEntries, maxBytes } = this.#limits;
    this.#entries += 1;
    if (this.#entries > maxEntries) return `it holds more than ${maxEntries} files and folders (limits.maxEntries)`;
    const shown = JSON.stringify(path.length > 100 ? `${path.slice(0, 100)}…` : path);
    const isFolder = type === "Directory";
    if (!isFolder && !fileTypes.has(type))
      return `${shown} is ${refusedTypes[type] ?? `of the type ${type}`}; only files and folders are taken`;
    const wrong = this.#pathProblem(path);
    if (wrong !== undefined) return `${shown} ${wrong}`;
    if (!Number.isSafeInteger(bytes) || bytes < 0) return `${shown} has no sound size`;
    this.#bytes += bytes;
    if (this.#bytes > maxBytes) return `its files have more than ${maxBytes} bytes (limits.maxBytes)`;
    const parts = path.split("/").filter((part) => part !== "" && part !== ".");
    // The folder that everything is in may be named.
    if (parts.length === 0) return isFolder ? undefined : `${shown} has no name`;
    return this.#place(parts, isFolder, shown);
  }

  #pathProblem(path: string): string | undefined {
    const { maxPathBytes } = this.#limits;
    if (Buffer.byteLength(path) > maxPathBytes) return `is a path of more than ${maxPathBytes} bytes (limits.maxPathBytes)`;
    if (/[\u0000-\u001f\u007f]/.test(path)) return "has control characters in its name";
    if (path.includes("\ufffd")) return "is not UTF-8";
    if (path.includes("\\")) return "has a backslash in its name";
    if (/^\/|^[a-z]:/i.test(path)) return "is an absolute path";
    const parts = path.split("/");
    if (parts.includes("..")) return "leaves the folder ('..')";
    if (parts.some((part) => Buffer.byteLength(part) > maxNameBytes)) return `has a name of more than ${maxNameBytes} bytes in it`;
    if (parts.some((part) => part.startsWith("GNUSparseFile."))) return "is a sparse file; only files and folders are taken";
    return undefined;
  }

  #place(parts: readonly string[], isFolder: boolean, shown: string): string | undefined {
    for (let length = 1; length <= parts.length; length += 1) {
      const path = parts.slice(0, length).join("/");
      const isWhole = length === parts.length;
      const key = path.normalize("NFC").toLowerCase();
      const before = this.#seen.get(key);
      if (before === undefined) {
        this.#seen.set(key, { path, isFolder: !isWhole || isFolder, isImplied: !isWhole });
        if (this.#seen.size > this.#limits.maxEntries)
          return `it holds more than ${this.#limits.maxEntries} files and folders (limits.maxEntries)`;
        continue;
      }
      if (before.path !== path)
        return `${shown} and ${JSON.stringify(before.path)} are the same name where case or Unicode form doesn't count`;
      if (!isWhole) {
        if (!before.isFolder) return `${shown} is beneath ${JSON.stringify(path)}, which is a file`;
        continue;
      }
      // A folder may follow what is in it, and then be named once.
      if (!isFolder || !before.isFolder || !before.isImplied) return `${shown} stands in it twice`;
      before.isImplied = false;
    }
    return undefined;
  }
}
