/**
 * Makes a checkout ready to run: installs what package-lock.json names, then builds dist/. Both are skipped where they are
 * already done. Plain Node with no dependency, because it runs before there is any. `prestart`, `pretest` and the like call it.
 *
 * usage: node scripts/setup.mjs [--build]   (--build: build also where dist/ is up to date)
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const at = (...parts) => path.join(root, ...parts);
const say = (line) => process.stderr.write(`setup: ${line}\n`);

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  say(`Node ${process.versions.node} is too old: install Node 20.19 or newer.`);
  process.exit(1);
}

try {
  await install();
  await build(process.argv.includes("--build"));
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exit(1);
}

async function install() {
  const reason = whyInstall();
  if (reason === undefined) {
    say("dependencies are installed");
    return;
  }
  say(`installing dependencies with npm ci: ${reason}. The first time takes a minute or two.`);
  // npm hands its configuration to scripts as npm_config_*; newer versions warn of one that they don't know, so it goes in by the name
  // that onnxruntime-node itself reads. It skips the download of GPU parts, which come from outside the npm registry.
  const { npm_config_onnxruntime_node_install: mode, ...environment } = process.env;
  environment.ONNXRUNTIME_NODE_INSTALL ??= mode ?? "skip";
  const npm = process.env.npm_execpath;
  const [command, before, shell] = npm?.endsWith(".js") ? [process.execPath, [npm], false] : ["npm", [], process.platform === "win32"];
  await run(command, [...before, "ci", "--include=dev", "--no-fund", "--no-audit"], { label: "installing", shell, env: environment });
}

/** Why an installation is needed; undefined where what is installed is what the lock file says. */
function whyInstall() {
  const lock = JSON.parse(readFileSync(at("package-lock.json"), "utf8")).packages;
  const own = JSON.parse(readFileSync(at("package.json"), "utf8"));
  for (const kind of ["dependencies", "devDependencies", "peerDependencies"]) {
    if (!sameEntries(own[kind], lock[""][kind])) return "package.json and package-lock.json differ";
  }
  // npm writes this file last, so an installation that was broken off has none.
  const marker = at("node_modules", ".package-lock.json");
  if (!existsSync(marker)) return "there are none yet";
  const installed = JSON.parse(readFileSync(marker, "utf8")).packages;
  for (const [location, entry] of Object.entries(lock)) {
    if (location === "") continue;
    const found = installed[location];
    if (found === undefined ? !entry.optional && !entry.devOptional : found.version !== entry.version) {
      return `${location.slice("node_modules/".length)} is not at ${entry.version}`;
    }
  }
  return undefined;
}

function sameEntries(a = {}, b = {}) {
  const text = (entries) => JSON.stringify(Object.entries(entries).sort(([x], [y]) => (x < y ? -1 : 1)));
  return text(a) === text(b);
}

async function build(force) {
  await run(process.execPath, [at("scripts", "proto.mjs")], { label: "making the gRPC messages" });
  const stamp = at("dist", ".stamp");
  const digest = sourceDigest();
  if (!force && existsSync(stamp) && readFileSync(stamp, "utf8") === digest) {
    say("dist/ is up to date");
    return;
  }
  say("building dist/ with tsc");
  // Built beside dist/ and moved there at the end: a build that fails leaves the last good one, and no deleted file lives on.
  const fresh = at(".cache", "dist");
  rmSync(fresh, { recursive: true, force: true });
  const tsc = at("node_modules", "typescript", "bin", "tsc");
  await run(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", fresh], { label: "building" });
  for (const file of filesIn(at("src"))) {
    if (file.endsWith(".ts") && !file.endsWith(".d.ts")) continue;
    const target = path.join(fresh, path.relative(at("src"), file));
    mkdirSync(path.dirname(target), { recursive: true });
    copyFileSync(file, target);
  }
  const main = path.join(fresh, "cli", "main.js");
  if (existsSync(main)) chmodSync(main, 0o755);
  writeFileSync(path.join(fresh, ".stamp"), digest);
  rmSync(at("dist"), { recursive: true, force: true });
  renameSync(fresh, at("dist"));
}

/** A hash of everything that dist/ is made from. */
function sourceDigest() {
  const hash = createHash("sha256");
  const typescript = JSON.parse(readFileSync(at("node_modules", "typescript", "package.json"), "utf8")).version;
  hash.update(`typescript ${typescript}\n`);
  for (const file of [at("tsconfig.json"), at("tsconfig.build.json"), at("scripts", "setup.mjs"), ...filesIn(at("src"))]) {
    hash.update(`${path.relative(root, file).replaceAll("\\", "/")}\n`).update(readFileSync(file));
  }
  return hash.digest("hex");
}

function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}

/** Runs a command with its output shown, and says every 10 seconds that it is still at it. */
function run(command, parameters, { label, ...options }) {
  const begin = Date.now();
  const timer = setInterval(() => say(`… still ${label}, ${Math.round((Date.now() - begin) / 1000)} s`), 10_000);
  return new Promise((resolve, reject) => {
    const child = spawn(command, parameters, { cwd: root, stdio: ["ignore", 2, 2], ...options });
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      if (code === 0) {
        say(`done ${label} in ${((Date.now() - begin) / 1000).toFixed(0)} s`);
        resolve();
      } else reject(new Error(`${label} failed (${signal ?? `exit ${code}`}): see above.`));
    });
  }).finally(() => clearInterval(timer));
}
