import { Readable } from "node:stream";
import { createGzip } from "node:zlib";
import { Header, Pax } from "tar";
import { ServableError } from "../../errors.ts";
import type { ArtifactSource } from "../storage.ts";
import { checkArtifactName } from "../uri.ts";

/** One file of an archive. */
export interface ArchiveFile {
  /** Relative, with `/`. */
  readonly path: string;
  readonly source: ArtifactSource;
  /** @default false */
  readonly executable?: boolean | undefined;
}

/** How an archive is packed. */
export type ArchiveFormat = "tar" | "tar.gz";

const blockBytes = 512;
/** Some readers know no time before 1980, and zero would be 1970. */
const fixedTime = new Date(Date.UTC(1980, 0, 1));
/** Where gzip's header names the system that made it, and what stands for none. */
const gzipSystemAt = 9;
const unknownSystem = 255;

/**
 * Packs files into a tar. Order, times, owners and modes don't depend on where they come from, so the same content gives the same bytes everywhere. What gzip
 * makes of them is the same for one version of Node on one kind of machine.
 *
 * @throws ServableError `invalid_argument` for a name that is none, or that is there twice
 */
export function packArchive(files: readonly ArchiveFile[], format: ArchiveFormat): AsyncIterable<Uint8Array> {
  const sorted = [...files].sort((a, b) => compareBytes(a.path, b.path));
  sorted.forEach(({ path }, index) => {
    checkArtifactName(path);
    if (path === sorted[index - 1]?.path) throw new ServableError("invalid_argument", `${path} would be in the archive twice.`);
  });
  const tar = tarOf(sorted);
  return format === "tar" ? tar : gzipOf(tar);
}

/** The order must not depend on anybody's language. */
function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

async function* tarOf(files: readonly ArchiveFile[]): AsyncGenerator<Uint8Array> {
  const folders = new Set<string>();
  for (const { path, source, executable } of files) {
    const parts = path.split("/");
    for (let length = 1; length < parts.length; length += 1) {
      const folder = parts.slice(0, length).join("/");
      if (folders.has(folder)) continue;
      folders.add(folder);
      yield headerOf(`${folder}/`, "Directory", 0, 0o755);
    }
    yield headerOf(path, "File", source.bytes, executable === true ? 0o755 : 0o644);
    let bytes = 0;
    for await (const part of source.read(0, source.bytes)) {
      bytes += part.byteLength;
      yield part;
    }
    if (bytes !== source.bytes) throw new ServableError("invalid_argument", `${path} changed while it was packed.`);
    const rest = bytes % blockBytes;
    if (rest > 0) yield Buffer.alloc(blockBytes - rest);
  }
  yield Buffer.alloc(2 * blockBytes);
}

function headerOf(path: string, type: "File" | "Directory", size: number, mode: number): Buffer {
  const facts = { path, type, size, mode, mtime: fixedTime, uid: 0, gid: 0, uname: "", gname: "" };
  const header = new Header(facts);
  const needsPax = header.encode();
  const block = header.block ?? Buffer.alloc(0);
  return needsPax ? Buffer.concat([new Pax({ path, size, mtime: fixedTime }).encode(), block]) : block;
}

async function* gzipOf(tar: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const stream = Readable.from(tar, { objectMode: false });
  const gzip = createGzip({ level: 6, chunkSize: 256 * 1024 });
  stream.on("error", (thrown) => gzip.destroy(thrown));
  let position = 0;
  try {
    for await (const part of stream.pipe(gzip) as AsyncIterable<Buffer>) {
      if (position <= gzipSystemAt && gzipSystemAt < position + part.byteLength) part[gzipSystemAt - position] = unknownSystem;
      position += part.byteLength;
      yield part;
    }
  } finally {
    stream.destroy();
    gzip.destroy();
  }
}
