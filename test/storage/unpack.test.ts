import { execFileSync } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ArchiveLimits } from "../../src/storage/archive/limits.ts";
import { unpackArchive } from "../../src/storage/archive/unpack.ts";
import { ServableError } from "../../src/errors.ts";
import { sized } from "../support/sizes.ts";
import { gzipped, listing, paxRecord, rawHeader, rawTar, smallArchive, withFolder, type RawEntry } from "./support.ts";

/** Unpacks, and looks that a failure leaves nothing, inside or outside, and no file open. */
async function failure(archive: Uint8Array, limits: ArchiveLimits = {}): Promise<string> {
  return withFolder(async (folder) => {
    const file = path.join(folder, "a.tar");
    await writeFile(file, archive);
    return failureOf(file, folder, limits);
  });
}

async function failureOf(file: string, folder: string, limits: ArchiveLimits): Promise<string> {
  const out = path.join(folder, "deep", "er", "out");
  await mkdir(path.dirname(out), { recursive: true });
  const before = await listing(folder);
  const open = openFiles(folder);
  const thrown: unknown = await unpackArchive(file, out, { limits, title: "it" }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(await listing(folder)).toEqual(before);
  expect(openFiles(folder)).toEqual(open);
  if (!ServableError.isInstance(thrown)) throw new Error(`it was taken, or failed with ${String(thrown)}`);
  expect(thrown.code).toBe("load_failed");
  return thrown.message;
}

function openFiles(folder: string): string[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith(folder) ? [target] : [];
    } catch {
      return [];
    }
  });
}

const text = (content: string): Uint8Array => Buffer.from(content);
const good: RawEntry = { name: "good/model.onnx", content: text("x".repeat(700)) };
const pax = (...records: readonly Buffer[]): RawEntry => ({ name: "PaxHeader", type: "x", content: Buffer.concat(records) });

describe("refused, with a reason of its own", () => {
  test.each<[string, RawEntry[], string]>([
    ["..", [{ name: "../evil", content: text("x") }], `"../evil" leaves the folder ('..')`],
    [".. further in", [{ name: "a/../../evil", content: text("x") }], `leaves the folder ('..')`],
    [".. that would stay inside", [{ name: "a/../b", content: text("x") }], `leaves the folder ('..')`],
    [".. in a pax header", [pax(paxRecord("path", "../evil")), { name: "good", content: text("x") }], `"../evil" leaves the folder`],
    [
      ".. in a GNU long name",
      [{ name: "././@LongLink", type: "L", content: text("../evil\0") }, { name: "good" }],
      `"../evil" leaves the folder`,
    ],
    ["an absolute path", [{ name: "/etc/evil", content: text("x") }], `"/etc/evil" is an absolute path`],
    ["a path of Windows", [{ name: "C:/evil", content: text("x") }], "is an absolute path"],
    ["a backslash", [{ name: "..\\evil", content: text("x") }], "has a backslash in its name"],
    ["a symbolic link", [{ name: "link", type: "2", link: "/etc" }], `"link" is a symbolic link; only files and folders are taken`],
    [
      "a link and a file through it",
      [
        { name: "link", type: "2", link: ".." },
        { name: "link/evil", content: text("x") },
      ],
      "is a symbolic link",
    ],
    ["a hard link", [good, { name: "hard", type: "1", link: "good/model.onnx" }], `"hard" is a hard link`],
    ["a character device", [{ name: "null", type: "3" }], `"null" is a device`],
    ["a block device", [{ name: "sda", type: "4" }], `"sda" is a device`],
    ["a named pipe", [{ name: "pipe", type: "6" }], `"pipe" is a named pipe`],
    ["a sparse file", [{ name: "sparse", type: "S" }], "something of the type SparseFile"],
    ["a sparse file of pax", [{ name: "./GNUSparseFile.1/x", content: text("x") }], "is a sparse file"],
    ["a type that nobody knows", [{ name: "what", type: "Z" }], "something of the type"],
    ["the same name twice", [good, good], `"good/model.onnx" stands in it twice`],
    ["the same name in other words", [good, { ...good, name: "./good//model.onnx" }], "stands in it twice"],
    [
      "the same folder twice",
      [
        { name: "a/", type: "5" },
        { name: "a", type: "5" },
      ],
      "stands in it twice",
    ],
    [
      "names that differ by case",
      [good, { ...good, name: "GOOD/other" }],
      `"GOOD/other" and "good" are the same name where case or Unicode form doesn't count`,
    ],
    ["names that differ by their Unicode form", [{ name: "a\u0308" }, { name: "\u00e4" }], "are the same name"],
    ["a file beneath a file", [{ name: "a" }, { name: "a/b" }], `"a/b" is beneath "a", which is a file`],
    ["a file where a folder is", [{ name: "a/b" }, { name: "a" }], "stands in it twice"],
    ["a NUL in a pax name", [pax(paxRecord("path", "good\0evil")), { name: "x" }], "a name in it has a NUL"],
    ["a NUL in a GNU name", [{ name: "././@LongLink", type: "L", content: text("good\0evil\0") }, { name: "x" }], "a name in it has a NUL"],
    ["a control character", [{ name: "a\u001b[2Jb" }], "has control characters in its name"],
    ["a name that is not UTF-8", [{ name: Uint8Array.of(0x61, 0xff, 0xfe) }], "is not UTF-8"],
    ["a very long path", [pax(paxRecord("path", "a/".repeat(600) + "b")), { name: "x" }], "is a path of more than 1024 bytes"],
    ["a very long name", [pax(paxRecord("path", "a".repeat(300))), { name: "x" }], "has a name of more than 255 bytes in it"],
    ["a header of megabytes", [pax(paxRecord("comment", "a".repeat(1_100_000))), good], "a header that is too long"],
    ["a size that is none", [{ ...good, sizeField: "77777777777\0" }], "cut off"],
    ["10 GB that are not there", [{ name: "zeros", size: 8_589_934_591 }], "cut off"],
  ])("%s", async (_, entries, reason) => {
    const message = await failure(rawTar(entries));
    expect(message).toContain(reason);
    expect(message).toContain("it is no archive that can be unpacked");
    // The other way round: what is good before it is gone, too.
    expect(await failure(rawTar([{ name: "first/model.onnx", content: text("first") }, ...entries]))).toContain(reason);
    expect(await failure(gzipped(rawTar(entries)))).toContain(reason);
  });

  test.each<[string, () => Uint8Array | Promise<Uint8Array>, string]>([
    ["nothing", () => new Uint8Array(), "no archive"],
    ["one byte", () => Uint8Array.of(1), "no archive"],
    ["some text", () => text("hello ".repeat(1000)), "checksum"],
    ["an error page", () => text("<html><body>404 not found</body></html>"), "no archive"],
    ["only zeros", () => Buffer.alloc(100_000), "no archive"],
    ["a tar that ends in an entry", () => rawTar([good]).subarray(0, 900), "it is cut off"],
    ["a tar that ends between entries", () => rawTar([good], false), "it is cut off"],
    ["a tar that ends in a header", () => rawTar([good, good]).subarray(0, 512 + 1024 + 100), "it is cut off"],
    ["a gzip that ends early", async () => (await smallArchive()).subarray(0, -20), "it is cut off"],
    ["a gzip of which there is only the header", async () => (await smallArchive()).subarray(0, 10), "it is cut off"],
    ["a gzip with a wrong checksum", async () => flipped(await smallArchive(), -6), "its compression is damaged"],
    ["a gzip in a gzip", async () => gzipped(await smallArchive()), "it is compressed twice"],
    ["a header with a wrong checksum", () => flipped(rawTar([good, { name: "b" }]), 512 + 1024 + 3), "wrong checksum"],
    ["much behind its end", () => Buffer.concat([rawTar([good]), Buffer.alloc(8 * 1024 * 1024, 1)]), "there is more behind its end"],
  ])("%s", async (_, make, reason) => {
    expect(await failure(await make())).toContain(reason);
  });
});

describe("too much", () => {
  const zerosGiB = sized(0.5, 10);
  const maxBytes = sized(0.25, 1) * 1024 ** 3;
  test(`${zerosGiB} GiB of zeros, compressed, with a header that tells so`, async () => {
    await withFolder(async (folder) => {
      const file = path.join(folder, "zeros.tar.gz");
      await writeFile(file, zeros(zerosGiB));
      expect(await failureOf(file, folder, { maxBytes })).toContain(`more than ${maxBytes} bytes (limits.maxBytes)`);
      // Nothing is unpacked to find that out.
      const onlyHeader = rawTar([{ name: "zeros", size: 8_589_934_591 }]);
      expect(await failure(onlyHeader, { maxBytes })).toContain(`more than ${maxBytes} bytes (limits.maxBytes)`);
      // By default it is the ratio that gives it away.
      expect(await failureOf(file, folder, {})).toContain("more than 200 times its size (limits.maxRatio)");
    });
  }, 120_000);

  test("zeros behind the end, which no header tells", async () => {
    const bomb = gzipped(Buffer.concat([rawTar([good]), Buffer.alloc(300 * 1024 * 1024)]));
    expect(await failure(bomb)).toMatch(/behind its end|times its size/);
  });

  const entryCount = sized(50_000, 1_000_000);
  test(`${entryCount} entries`, async () => {
    await withFolder(async (folder) => {
      const file = path.join(folder, "many.tar");
      await writeFile(file, manyEntries(entryCount));
      expect(await failureOf(file, folder, { maxEntries: 5_000 })).toContain("more than 5000 files and folders (limits.maxEntries)");
    });
  }, 120_000);

  test("100,000 headers that belong to nothing", async () => {
    const header = rawTar([pax(paxRecord("comment", "x"))], false);
    const many = gzipped(Buffer.concat(Array.from({ length: 100_000 }, () => header)));
    expect(await failure(many, { maxBytes: 1024 * 1024, maxEntries: 1_000 })).toContain("limits.maxBytes");
  });

  test("folders count that are only told by what is in them", async () => {
    const entries = Array.from({ length: 30 }, (_, index) => ({ name: `${index}/a/b/c/d` }));
    expect(await failure(rawTar(entries), { maxEntries: 100 })).toContain("more than 100 files and folders");
  });

  test("the archive itself", async () => {
    expect(await failure(rawTar([good]), { maxArchiveBytes: 1000 })).toContain("it may have 1000 (limits.maxArchiveBytes)");
  });

  test("limits that are none", async () => {
    await expect(unpackArchive("x", "y", { limits: { maxBytes: Number.NaN } })).rejects.toThrow(
      "limits.maxBytes must be a number from 1 on",
    );
  });
});

describe("taken", () => {
  test("modes are plain, whatever the archive says; the folder itself may be named; folders may come late", async () => {
    await withFolder(async (folder) => {
      const file = path.join(folder, "a.tar");
      const entries: RawEntry[] = [
        { name: "./", type: "5", mode: 0o700 },
        { name: "m/1/run", content: text("x"), mode: 0o4777 },
        { name: "m/1/model", content: text("x"), mode: 0o000 },
        { name: "m/", type: "5", mode: 0o1777 },
        { name: "old", type: "\0", content: text("old") },
      ];
      await writeFile(file, rawTar(entries));
      const out = path.join(folder, "out");
      await unpackArchive(file, out);
      expect(await listing(out)).toEqual(["m/", "m/1/", "m/1/model", "m/1/run", "old"]);
      const mode = async (name: string): Promise<number> => (await stat(path.join(out, name))).mode & 0o7777 & ~0o022;
      expect([await mode("m"), await mode("m/1/run"), await mode("m/1/model")]).toEqual([0o755, 0o755, 0o644]);
      await expect(unpackArchive(file, out)).rejects.toThrow("is there already");
    });
  });

  test("what GNU tar writes, of either format", async () => {
    await withFolder(async (folder) => {
      await mkdir(path.join(folder, "in", "long-folder-name".repeat(10)), { recursive: true });
      await writeFile(path.join(folder, "in", "long-folder-name".repeat(10), "x".repeat(150)), "deep");
      for (const format of ["gnu", "pax"]) {
        const file = path.join(folder, `${format}.tar`);
        execFileSync("tar", [`--format=${format}`, "-cf", file, "-C", path.join(folder, "in"), "."]);
        await unpackArchive(file, path.join(folder, format));
        expect(await readFile(path.join(folder, format, "long-folder-name".repeat(10), "x".repeat(150)), "utf8")).toBe("deep");
      }
    });
  });

  test("it can be given up", async () => {
    await withFolder(async (folder) => {
      const file = path.join(folder, "a.tar");
      await writeFile(file, rawTar([{ name: "big", content: Buffer.alloc(5 * 1024 * 1024) }]));
      const giving = new AbortController();
      const unpacking = unpackArchive(file, path.join(folder, "out"), {
        signal: giving.signal,
        onProgress: (bytes) => {
          if (bytes > 1024 * 1024) giving.abort(new Error("enough"));
        },
      });
      await expect(unpacking).rejects.toThrow("enough");
      expect(await listing(folder)).toEqual(["a.tar"]);
      expect(openFiles(folder)).toEqual([]);
    });
  });

  test("a folder that can't be written to", async () => {
    if (process.getuid?.() === 0) return;
    await withFolder(async (folder) => {
      const file = path.join(folder, "a.tar");
      await writeFile(file, rawTar([good]));
      await chmod(folder, 0o500);
      await expect(unpackArchive(file, path.join(folder, "out"))).rejects.toThrow("may not be written by this user");
      await chmod(folder, 0o700);
    });
  });
});

test("whatever bytes are changed, it is refused or unpacked within its folder", async () => {
  const whole = rawTar([
    good,
    { name: "b/c", content: text("hello") },
    pax(paxRecord("path", "d/e")),
    { name: "x", content: text("long") },
  ]);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      fc.boolean(),
      async (changes, mends) => {
        const archive = Buffer.from(whole);
        for (const [at, byte] of changes) archive[at] = byte;
        // With its checksums mended more of it gets through.
        if (mends) for (const at of [0, 512 + 1024, 512 + 1024 + 1024, 512 + 1024 + 2048]) mend(archive.subarray(at, at + 512));
        await withFolder(async (folder) => {
          const file = path.join(folder, "a.tar");
          await writeFile(file, archive);
          const out = path.join(folder, "out");
          const thrown: unknown = await unpackArchive(file, out).catch((reason: unknown) => reason);
          const names = await listing(folder);
          if (thrown === undefined) expect(names.filter((name) => name !== "a.tar" && !name.startsWith("out/"))).toEqual([]);
          else expect([ServableError.isInstance(thrown), names]).toEqual([true, ["a.tar"]]);
        });
      },
    ),
    { numRuns: 150 },
  );
}, 60_000);

function mend(block: Buffer): void {
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
}

function flipped(bytes: Uint8Array, at: number): Buffer {
  const changed = Buffer.from(bytes);
  const index = at < 0 ? changed.length + at : at;
  changed[index] = (changed[index] ?? 0) ^ 0x55;
  return changed;
}

/** A .tar.gz of one file of zeros. It is made of members, of which all but the first are the same. */
function zeros(gibibytes: number): Buffer {
  // Sizes of 8 GiB and more are written as binary numbers.
  const sizeField = Buffer.alloc(12);
  sizeField[0] = 0x80;
  sizeField.writeBigUInt64BE(BigInt(gibibytes * 1024 ** 3), 4);
  const header = rawHeader({ name: "zeros", sizeField: sizeField.toString("latin1") });
  const member = gzipped(Buffer.alloc(64 * 1024 * 1024));
  return Buffer.concat([gzipped(header), ...Array.from({ length: gibibytes * 16 }, () => member), gzipped(Buffer.alloc(1024))]);
}

/** A tar of empty files, whose headers differ by the digits of their names. */
function manyEntries(count: number): Buffer {
  const header = rawHeader({ name: "f0000000" });
  const archive = Buffer.alloc(count * 512 + 1024);
  const digitsOf = (text: string): number => Array.from(text).reduce((total, digit) => total + Number(digit), 0);
  const base = parseInt(header.toString("latin1", 148, 154), 8);
  for (let index = 0; index < count; index += 1) {
    const at = index * 512;
    const digits = String(index).padStart(7, "0");
    header.copy(archive, at);
    archive.write(digits, at + 1);
    archive.write((base + digitsOf(digits)).toString(8).padStart(6, "0"), at + 148);
  }
  return archive;
}
