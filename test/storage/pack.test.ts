import { execFileSync } from "node:child_process";
import { chmod, link, mkdir, symlink, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { filesBeneath } from "../../src/storage/archive/folder-files.ts";
import { packArchive } from "../../src/storage/archive/pack.ts";
import { unpackArchive } from "../../src/storage/archive/unpack.ts";
import { readFile } from "node:fs/promises";
import { filesOf, gather, listing, sha256, withFolder } from "./support.ts";

async function makeTree(folder: string, order: readonly string[], time: Date): Promise<void> {
  for (const name of order) {
    const file = path.join(folder, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, `content of ${name}`);
    await utimes(file, time, time);
  }
}

const names = ["mlp/config.pbtxt", "mlp/1/model.onnx", "mlp/1/deep/er/weights.bin", "ä/1/ü.txt"];

test.each(["tar", "tar.gz"] as const)("the same content gives the same %s, whoever wrote it, when and in which order", async (format) => {
  await withFolder(async (folder) => {
    const [a, b] = [path.join(folder, "a"), path.join(folder, "b")];
    await makeTree(a, names, new Date(1_000_000_000_000));
    await makeTree(b, [...names].reverse(), new Date());
    for (const name of names) await chmod(path.join(b, name), 0o600);
    // A second name of a file is a file as any other.
    await link(path.join(a, "mlp/config.pbtxt"), path.join(folder, "elsewhere"));
    const digests = await Promise.all([a, b].map(async (tree) => sha256(await gather(packArchive(await filesBeneath(tree), format)))));
    expect(digests[0]).toBe(digests[1]);
    await writeFile(path.join(b, "mlp/config.pbtxt"), "other");
    expect(sha256(await gather(packArchive(await filesBeneath(b), format)))).not.toBe(digests[0]);
  });
});

test("its digest stays what it was, and gzip's header tells neither time nor system", async () => {
  const files = filesOf({ "b.txt": "b", "a/x.txt": "x" });
  expect(sha256(await gather(packArchive(files, "tar")))).toBe("dc9ae6e741a2850999d79b2e1c762c55530254faf9b78bdab29e7236ca3bf679");
  const zipped = await gather(packArchive(files, "tar.gz"));
  expect([...zipped.subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
});

test("tar itself reads it: names, modes, contents", async () => {
  await withFolder(async (folder) => {
    const long = `${"long-folder/".repeat(20)}file.txt`;
    const files = [
      ...filesOf({ "a/plain.txt": "plain", [long]: "deep", "ü/ä.txt": "umlaut", "empty.bin": "" }),
      ...filesOf({ "run.sh": "#!/bin/sh" }).map((file) => ({ ...file, executable: true })),
    ];
    const archive = path.join(folder, "x.tar.gz");
    await writeFile(archive, await gather(packArchive(files, "tar.gz")));
    await mkdir(path.join(folder, "out"));
    execFileSync("tar", ["-xzf", archive, "-C", path.join(folder, "out")]);
    expect(await readFile(path.join(folder, "out", long), "utf8")).toBe("deep");
    expect(await readFile(path.join(folder, "out", "ü/ä.txt"), "utf8")).toBe("umlaut");
    const listed = execFileSync("tar", ["-tvzf", archive, "--full-time", "--numeric-owner"], {
      encoding: "utf8",
      env: { ...process.env, TZ: "UTC" },
    });
    expect(listed).toMatch(/^-rwxr-xr-x 0\/0 +9 1980-01-01 00:00:00 run\.sh$/m);
    expect(listed).toMatch(/^-rw-r--r-- 0\/0 +5 1980-01-01 00:00:00 a\/plain\.txt$/m);
    expect(listed).toMatch(/^drwxr-xr-x 0\/0 +0 1980-01-01 00:00:00 a\/$/m);
  });
});

test("links are followed as long as they stay in the folder", async () => {
  await withFolder(async (folder) => {
    const tree = path.join(folder, "tree");
    await makeTree(tree, ["store/model.onnx"], new Date());
    await symlink("store", path.join(tree, "1"));
    expect((await filesBeneath(tree)).map((file) => file.path)).toEqual(["1/model.onnx", "store/model.onnx"]);
    await symlink("..", path.join(tree, "store/up"));
    await expect(filesBeneath(tree)).rejects.toThrow(/leaves|folders deep/);
    await withFolder(async (other) => {
      await symlink("/etc/passwd", path.join(other, "leak"));
      await expect(filesBeneath(other)).rejects.toThrow("is a link that leaves");
    });
  });
});

test("a name that is none, is there twice, or a file that changes: an error", async () => {
  for (const name of ["../x", "/x", "a//b", "a\\b", "a\nb", "", "a/./b"]) {
    expect(() => packArchive(filesOf({ [name]: "" }), "tar"), name).toThrow("can't be the name of an artifact");
  }
  expect(() => packArchive([...filesOf({ a: "1" }), ...filesOf({ a: "2" })], "tar")).toThrow("twice");
  const [file] = filesOf({ a: "123" });
  if (file === undefined) throw new Error("unreachable");
  const changed = { ...file, source: { ...file.source, bytes: 5 } };
  await expect(gather(packArchive([changed], "tar"))).rejects.toThrow("changed while it was packed");
});

test("whatever is packed comes out again", async () => {
  const segment = fc.stringMatching(/^[a-zA-Z0-9äöü _-][a-zA-Z0-9äöü ._-]{0,40}$/u);
  const tree = fc.dictionary(
    fc.array(segment, { minLength: 1, maxLength: 5 }).map((parts) => parts.join("/")),
    fc.uint8Array({ maxLength: 2000 }),
    {
      minKeys: 1,
      maxKeys: 12,
      noNullPrototype: true,
    },
  );
  await fc.assert(
    fc.asyncProperty(tree, fc.constantFrom("tar" as const, "tar.gz" as const), async (files, format) => {
      const keys = Object.keys(files);
      const folded = keys.flatMap((key) => key.split("/").map((_, index, parts) => parts.slice(0, index + 1).join("/")));
      // Names that differ by case, or are a file and a folder, are refused: those are tested elsewhere.
      fc.pre(new Set(folded.map((key) => key.normalize("NFC").toLowerCase())).size === new Set(folded).size);
      fc.pre(!keys.some((key) => keys.some((other) => other.startsWith(`${key}/`))));
      await withFolder(async (folder) => {
        const sources = keys.map((key) => {
          const bytes = files[key] ?? new Uint8Array();
          return {
            path: key,
            source: { bytes: bytes.byteLength, read: (start: number, end: number) => parts(bytes.subarray(start, end)) },
          };
        });
        const archive = path.join(folder, "x");
        await writeFile(archive, await gather(packArchive(sources, format)));
        await unpackArchive(archive, path.join(folder, "out"));
        const found = (await listing(path.join(folder, "out"))).filter((name) => !name.endsWith("/"));
        expect(found).toEqual([...keys].sort());
        for (const key of keys) expect(new Uint8Array(await readFile(path.join(folder, "out", key)))).toEqual(files[key]);
      });
    }),
    { numRuns: 60 },
  );
});

async function* parts(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += 700) yield bytes.subarray(at, at + 700);
}
