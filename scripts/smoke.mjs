/**
 * The packed tarball as a user meets it: installed in an empty folder, first without the optional peers, then with them.
 * Each step says what it saw; the first that fails ends it.
 *
 * usage: node scripts/smoke.mjs
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const execute = promisify(execFile);
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
// Not what npm hands to its scripts: a user starts with nothing of this project's configuration.
const env = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(npm_(package|lifecycle|config_(local_prefix|onnxruntime))|INIT_CWD|SERVABLE_)/.test(name),
  ),
);
const own = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));
const folder = mkdtempSync(path.join(tmpdir(), "servable-smoke-"));
const at = (...parts) => path.join(folder, ...parts);
const servable = at("node_modules", ".bin", "servable");

const double = `import { defineService } from "servable";
import { z } from "zod";
export const double = defineService({
  name: "double", input: z.object({ x: z.number() }), output: z.object({ y: z.number() }),
  call: ({ x }) => ({ y: 2 * x }),
});
`;

/** Compiled by a user with no optional peer, and without skipLibCheck: our own declarations are checked, too. */
const user = `import { Service, ServableError, type ServiceContext } from "servable";
import { createClient } from "servable/client";
import type { double } from "./double.ts";
export class Shout extends Service<string, string> {
  override call(text: string, context: ServiceContext): string {
    if (context.signal.aborted) throw new ServableError("cancelled", "Nobody waits.");
    return text.toUpperCase();
  }
}
const client = createClient<typeof double>("http://127.0.0.1:3000");
export const answer: Promise<{ y: number }> = client.double({ x: 1 });
// @ts-expect-error -- x is a number
export const refused = client.double({ x: "1" });
`;

/** What a page's script may look like: no types of Node. */
const browser = `import { createClient, ServableError } from "servable/client";
import type { double } from "./double.ts";
const client = createClient<typeof double>(location.origin);
document.title = await client.double({ x: 1 }).then(({ y }) => y.toFixed(1), (error) => (ServableError.isInstance(error) ? error.code : "?"));
`;

try {
  const tarball = await pack();
  await install(tarball);
  await importEachSubpath();
  await typeCheck();
  await serveAndCall();
  await peerIsNamedWhereMissing();
  await startProject(tarball);
  await installPeers();
  await loadModel();
} catch (error) {
  console.error(`smoke: FAILED: ${error.message}`);
  for (const text of [error.stdout, error.stderr]) if (text) console.error(text.trimEnd());
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function pack() {
  const { stdout } = await npm(["pack", "--json", "--pack-destination", folder], root);
  const [{ filename, files, size }] = JSON.parse(stdout);
  const names = files.map((file) => file.path);
  for (const name of ["dist/index.js", "dist/index.d.ts", "dist/cli/main.js", "docs/errors.md", "LICENSE", "README.md"])
    assert(names.includes(name), `no ${name}`);
  const stray = names.filter(
    (name) => !/^(dist|web|templates)\/|^docs\/[\w-]+\.md$|^(LICENSE|README\.md|package\.json)$/.test(name) || name.includes(".stamp"),
  );
  assert.deepEqual(stray, [], "files that do not belong in the package");
  say(`packed ${names.length} files, ${Math.round(size / 1024)} KiB`);
  return at(filename);
}

async function install(tarball) {
  writeFileSync(at("package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  await npm(["install", tarball, "zod", `@types/node@${own.devDependencies["@types/node"]}`]);
  const { stdout } = await npm(["ls", "--all", "--json"]);
  const names = new Set();
  const walk = ({ dependencies = {} }) =>
    Object.entries(dependencies).forEach(([name, entry]) => entry.version && (names.add(name), walk(entry)));
  walk(JSON.parse(stdout));
  for (const peer of Object.keys(own.peerDependencies)) assert(!names.has(peer), `${peer} is optional, and came along`);
  say(`installed without the optional peers: ${names.size} packages`);
}

async function importEachSubpath() {
  const subpaths = Object.keys(own.exports).filter((subpath) => subpath !== "./package.json");
  for (const subpath of subpaths) {
    const name = path.posix.join(own.name, subpath);
    const { stdout } = await node(["--input-type=module", "-e", `console.log(Object.keys(await import("${name}")).length)`]);
    assert(Number(stdout) > 0, `${name} exports nothing`);
  }
  say(`imported ${subpaths.join(" ")}`);
}

async function typeCheck() {
  writeFileSync(at("double.ts"), double);
  writeFileSync(at("user.ts"), user);
  writeFileSync(at("browser.ts"), browser);
  const shared = {
    module: "NodeNext",
    target: "ES2023",
    strict: true,
    noEmit: true,
    skipLibCheck: false,
    allowImportingTsExtensions: true,
  };
  const lib = ["ES2023", "ESNext.Disposable"];
  const projects = {
    "tsconfig.json": { compilerOptions: { ...shared, lib, types: ["node"] }, files: ["user.ts", "double.ts"] },
    "tsconfig.browser.json": {
      compilerOptions: { ...shared, lib: [...lib, "DOM", "DOM.AsyncIterable"], types: [] },
      files: ["browser.ts"],
    },
  };
  for (const [name, project] of Object.entries(projects)) {
    writeFileSync(at(name), JSON.stringify(project));
    await node([path.join(root, "node_modules", "typescript", "bin", "tsc"), "-p", name]);
  }
  say("type-checked a user's files, for Node and for a browser, with no optional peer and skipLibCheck off");
}

async function serveAndCall() {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  await serving(["serve", "./double.ts", "--port", String(port)], url, async () => {
    const headers = { "content-type": "application/json" };
    const response = await fetch(`${url}/double`, { method: "POST", headers, body: '{"x":1}' });
    assert.deepEqual([response.status, await response.json()], [200, { y: 2 }]);
    const page = await fetch(`${url}/`, { headers: { accept: "text/html" } });
    assert.equal(page.status, 200, "the page at / (web/ in the tarball)");
    const { stdout } = await npx(["servable", "call", "double", '{"x":1}', "--url", url]);
    assert.deepEqual(JSON.parse(stdout), { y: 2 });
  });
  say("served ten lines, called them by fetch and by servable call, ended with exit code 0");
}

async function peerIsNamedWhereMissing() {
  const { stdout } = await node([modelScript()]);
  assert.match(stdout, /^missing_dependency: .*npm install onnxruntime-node/);
  say("loading a model without onnxruntime-node names what to install");
}

async function startProject(tarball) {
  await npx(["servable", "init", "my-service", "--servable", `file:${tarball}`]);
  const project = at("my-service");
  if (!existsSync(path.join(project, "node_modules"))) await npm(["install"], project);
  await npm(["test"], project);
  say("servable init made a project whose npm test passes");
}

async function installPeers() {
  // What the README tells a user who can reach the npm registry only; older npm reads the first, newer npm the second.
  writeFileSync(at(".npmrc"), "onnxruntime-node-install=skip\n");
  const manifest = JSON.parse(readFileSync(at("package.json"), "utf8"));
  writeFileSync(at("package.json"), JSON.stringify({ ...manifest, allowScripts: { "onnxruntime-node": false } }));
  await npm(["install", ...Object.keys(own.peerDependencies).map((name) => `${name}@${own.devDependencies[name]}`)]);
  say("installed the optional peers");
}

async function loadModel() {
  const { stdout } = await node([modelScript()]);
  assert.equal(stdout.trim(), "x FP32 [1.5,-2]");
  say("servable/onnx loaded a model and ran it");
}

/** A file that runs the smallest ONNX model there is, Identity on two floats, and prints what it gave or the error's code. */
function modelScript() {
  const text = (value) => [...Buffer.from(value)];
  const field = (number, bytes) => [(number << 3) | 2, bytes.length, ...bytes];
  const varint = (number, value) => [number << 3, value];
  const shape = field(1, varint(1, 2));
  const floats = field(2, field(1, [...varint(1, 1), ...field(2, shape)]));
  const value = (name) => [...field(1, text(name)), ...floats];
  const nodeOf = [...field(1, text("x")), ...field(2, text("y")), ...field(4, text("Identity"))];
  const graph = [...field(1, nodeOf), ...field(2, text("g")), ...field(11, value("x")), ...field(12, value("y"))];
  const model = [...varint(1, 8), ...field(8, varint(2, 13)), ...field(7, graph)];
  const script = `import { Tensor } from "servable";
import { loadOnnxModel } from "servable/onnx";
try {
  const model = await loadOnnxModel(Uint8Array.from(${JSON.stringify(model)}));
  const { y } = await model.run({ x: new Tensor("FP32", [2], Float32Array.of(1.5, -2)) });
  console.log(model.inputs[0].name, y.dataType, JSON.stringify([...y.data]));
  await model.close();
} catch (error) {
  console.log(error.code + ": " + error.message);
}
`;
  writeFileSync(at("model.mjs"), script);
  return at("model.mjs");
}

/** Runs the command line tool until the body is through, then ends it by SIGTERM and expects a clean exit. */
async function serving(parameters, url, body) {
  const child = spawn(servable, parameters, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => (output += part));
  const ended = new Promise((resolve) => child.on("close", (code, signal) => resolve(code ?? signal)));
  const failed = new Promise((_resolve, reject) => child.on("error", reject));
  try {
    await Promise.race([untilReady(`${url}/readyz`, child), failed]);
    await body();
    child.kill("SIGTERM");
    assert.equal(await ended, 0, "exit code after SIGTERM");
  } catch (error) {
    throw Object.assign(error, { stdout: output });
  } finally {
    child.kill("SIGKILL");
  }
}

async function untilReady(url, child) {
  const patience = Date.now() + 60_000;
  while (Date.now() < patience) {
    if (child.exitCode !== null) throw new Error(`servable ended with ${child.exitCode} before it was ready`);
    const response = await fetch(url).catch(() => undefined);
    if (response?.status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("servable was not ready within 60 s");
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function say(line) {
  console.log(`smoke: ${line}`);
}
function npm(parameters, cwd = folder) {
  return execute("npm", [...parameters, "--no-fund", "--no-audit", "--prefer-offline"], { cwd, env, maxBuffer: 2 ** 26 });
}
function npx(parameters, cwd = folder) {
  return execute("npx", ["--no-install", ...parameters], { cwd, env });
}
function node(parameters, cwd = folder) {
  return execute(process.execPath, parameters, { cwd, env });
}
