import { createHash } from "node:crypto";
import { createServer, type RequestListener } from "node:http";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { packArchive, type ArchiveFile } from "../../src/storage/archive/pack.ts";
import { bytesSource } from "../../src/storage/sources.ts";

/** A folder for one test. */
export async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(path.join(tmpdir(), "servable-storage-"));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** An HTTP server for one test. */
export async function withServer<T>(listener: RequestListener, work: (url: string) => Promise<T>): Promise<T> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

export async function gather(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of content) parts.push(Uint8Array.from(part));
  return Buffer.concat(parts);
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Texts by path as files of an archive. */
export function filesOf(files: Readonly<Record<string, string>>): ArchiveFile[] {
  return Object.entries(files).map(([name, text]) => ({ path: name, source: bytesSource(Buffer.from(text)) }));
}

/** A small model repository as a .tar.gz. */
export function smallArchive(
  files: Readonly<Record<string, string>> = { "mlp/config.pbtxt": 'name: "mlp"', "mlp/1/model.onnx": "x" },
): Promise<Buffer> {
  return gather(packArchive(filesOf(files), "tar.gz"));
}

/** What is beneath a folder, in order. */
export async function listing(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)) + (entry.isDirectory() ? "/" : "")).sort();
}

/** The header of an entry, made by hand: libraries refuse to write most of what has to be refused. */
export interface RawEntry {
  readonly name: string | Uint8Array;
  readonly type?: string;
  readonly size?: number;
  readonly content?: Uint8Array;
  readonly link?: string;
  readonly mode?: number;
  /** Written as it is, where a size has to be a lie. */
  readonly sizeField?: string;
}

export function rawHeader({ name, type = "0", size, content, link = "", mode = 0o644, sizeField }: RawEntry): Buffer {
  const block = Buffer.alloc(512);
  block.set(typeof name === "string" ? Buffer.from(name).subarray(0, 100) : name, 0);
  block.write(`${mode.toString(8).padStart(7, "0")}\0`, 100);
  block.write("0000000\0", 108);
  block.write("0000000\0", 116);
  block.write(sizeField ?? `${(size ?? content?.byteLength ?? 0).toString(8).padStart(11, "0")}\0`, 124, "latin1");
  block.write("00000000000\0", 136);
  block.write(type, 156);
  block.write(link, 157);
  block.write("ustar\x0000", 257);
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

/** A tar of entries as they are, right or wrong. */
export function rawTar(entries: readonly RawEntry[], hasEnd = true): Buffer {
  const parts = entries.flatMap((entry) => {
    const { content = Buffer.alloc(0) } = entry;
    return [rawHeader(entry), content, Buffer.alloc((512 - (content.byteLength % 512)) % 512)];
  });
  return Buffer.concat(hasEnd ? [...parts, Buffer.alloc(1024)] : parts);
}

/** One record of a pax header. */
export function paxRecord(key: string, value: string): Buffer {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (`${length}${rest}`.length !== length) length = `${length}${rest}`.length;
  return Buffer.from(`${length}${rest}`, "latin1");
}

export function gzipped(bytes: Uint8Array): Buffer {
  return gzipSync(bytes);
}
