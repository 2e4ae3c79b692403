import { execFile } from "node:child_process";
import { chmod, mkdir, readFile, readdir, symlink, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkPackageName } from "../../src/cli/package-name.ts";
import { ownSpec, resolveSpec } from "../../src/cli/package-spec.ts";
import { makeFolder, removeFolder, root, runCli } from "./support.ts";

const execute = promisify(execFile);
let folder: string;

beforeEach(async () => {
  folder = await makeFolder();
});
afterEach(() => removeFolder(folder));

describe("servable init", () => {
  test("makes a project whose own test passes", async () => {
    const { code, stdout } = await runCli(["init", "my-service", "--no-install"], { cwd: folder });
    expect(code).toBe(0);
    expect(stdout).toContain("cd my-service\n  npm install\n  npm test");
    const project = join(folder, "my-service");
    const made = ["README.md", ".gitignore", ".npmrc", "package.json", "src", "test", "tsconfig.json"];
    expect((await readdir(project)).sort()).toEqual(made.sort());
    expect(await readFile(join(project, "README.md"), "utf8")).toMatch(/^# my-service\n/);

    const manifest = JSON.parse(await readFile(join(project, "package.json"), "utf8")) as {
      readonly name: string;
      readonly scripts: { readonly test: string };
      readonly dependencies: Record<string, string>;
      readonly devDependencies: Record<string, string>;
    };
    const own = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { dependencies: Record<string, string> };
    expect(manifest.name).toBe("my-service");
    // This checkout is where the tool itself runs from.
    expect(manifest.dependencies).toEqual({ servable: `file:${root.replace(/\/$/, "")}`, zod: own.dependencies.zod });
    expect(JSON.stringify(manifest)).not.toContain("{{");

    // Instead of an installation, which scripts/smoke.mjs does: the same packages, from where they are.
    await mkdir(join(project, "node_modules"));
    await symlink(root, join(project, "node_modules", "servable"), "dir");
    await symlink(join(root, "node_modules", ".bin"), join(project, "node_modules", ".bin"), "dir");
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_|VITEST)/.test(name)));
    const tested = await execute("npm", ["test"], { cwd: project, env });
    // Node 20 reports to a pipe as TAP, newer ones as to a terminal.
    expect(tested.stdout).toMatch(/^[#ℹ] pass 2$/m);
    expect(tested.stdout).toMatch(/^[#ℹ] fail 0$/m);
  });

  test("says what to do when npm fails, and leaves the files", async () => {
    const npm = join(folder, "bin", "npm");
    await mkdir(dirname(npm));
    await writeFile(npm, "#!/bin/sh\necho no network >&2\nexit 7\n");
    await chmod(npm, 0o755);
    const env = { PATH: [dirname(npm), process.env.PATH].join(delimiter) };
    const { code, stderr } = await runCli(["init", "my-service"], { cwd: folder, env });
    expect(stderr).toBe(
      "no network\nservable: npm install failed (exit code 7); the files are there. Mend what npm says above, then: cd my-service && npm install\n",
    );
    expect(code).toBe(1);
    expect(await readdir(join(folder, "my-service"))).toContain("package.json");
  });

  test("fills an empty folder, and one that only git knows", async () => {
    await mkdir(join(folder, "here", ".git"), { recursive: true });
    const { code, stdout } = await runCli(["init", ".", "--no-install"], { cwd: join(folder, "here") });
    expect(stdout).toMatch(/^Made \. with /);
    expect(stdout).not.toContain("cd ");
    expect(code).toBe(0);
  });

  test.each([
    ["a folder in use", ["used"], "used is not empty (it has file); give a folder that is, or does not exist yet."],
    ["a file", ["used/file"], "used/file is a file; give a folder that does not exist yet."],
    ["a name that npm refuses", ["My Service"], "'My Service' can't be a package's name: npm takes lower case only. Take my-service, say."],
    [
      "a tarball that is not there",
      ["new", "--servable", "./none.tgz"],
      "--servable names ./none.tgz, but there is no such file or folder.",
    ],
  ])("refuses %s in one line", async (_what, parameters, message) => {
    await mkdir(join(folder, "used"));
    await writeFile(join(folder, "used", "file"), "");
    const { code, stderr } = await runCli(["init", ...parameters, "--no-install"], { cwd: folder });
    expect(stderr).toBe(`servable: ${message}\n`);
    expect(code).toBe(2);
    expect(await readdir(folder)).toEqual(["used"]);
  });
});

describe("where a project takes servable from", () => {
  async function install(resolved: string | undefined): Promise<string> {
    const own = join(folder, "user", "node_modules", "servable");
    await mkdir(own, { recursive: true });
    const packages = { "node_modules/servable": { version: "0.1.0", resolved } };
    await writeFile(join(folder, "user", "node_modules", ".package-lock.json"), JSON.stringify({ packages }));
    return own;
  }

  test("is the tarball that this one was installed from", async () => {
    const own = await install("file:../a%20folder/servable-0.1.0.tgz");
    expect(ownSpec(own)).toBeUndefined();
    await mkdir(join(folder, "a folder"));
    await writeFile(join(folder, "a folder", "servable-0.1.0.tgz"), "");
    expect(ownSpec(own)).toBe(`file:${join(folder, "a folder", "servable-0.1.0.tgz")}`);
  });

  test("is the registry, where this one came from there, or nothing tells", async () => {
    expect(ownSpec(await install("https://registry.npmjs.org/servable/-/servable-0.1.0.tgz"))).toBeUndefined();
    expect(ownSpec(await install(undefined))).toBeUndefined();
    expect(ownSpec(join(folder, "other", "node_modules", "servable"))).toBeUndefined();
  });

  test("is the checkout, where this one runs from one", () => {
    expect(ownSpec(`${folder}/`)).toBe(`file:${folder}`);
  });

  test("is what the flag says; a path becomes absolute", async () => {
    await writeFile(join(folder, "servable.tgz"), "");
    expect(resolveSpec(join(folder, ".", "servable.tgz"))).toBe(`file:${folder}/servable.tgz`);
    expect(resolveSpec(`file:${folder}/../${folder.split("/").at(-1) ?? ""}/servable.tgz`)).toBe(`file:${folder}/servable.tgz`);
    for (const spec of ["^1.2.3", "latest", "https://example.com/servable.tgz", "github:a/b"]) expect(resolveSpec(spec)).toBe(spec);
    expect(() => resolveSpec(`file:${folder}/none.tgz`)).toThrow("there is no such file or folder");
  });
});

describe("checkPackageName", () => {
  test.each(["a", "my-service", "my.service_2", "x~y", "0"])("takes %s", (name) => {
    expect(checkPackageName(name)).toBe(name);
  });

  test.each([
    ["", "it is empty", "my-service"],
    ["Double", "npm takes lower case only", "double"],
    [".hidden", "it must start with a letter or a digit", "hidden"],
    ["größe", "npm takes letters, digits", "gr-e"],
    ["zod", "the project depends on a package of that name", "zod-service"],
    ["fs", "the name is reserved", "fs-service"],
    ["a".repeat(215), "it has more than 214 characters", "a".repeat(214)],
  ])("refuses '%s' and proposes another", (name, reason, proposal) => {
    expect(() => checkPackageName(name)).toThrow(reason);
    expect(() => checkPackageName(name)).toThrow(`Take ${proposal}, say.`);
  });
});
