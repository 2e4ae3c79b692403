/**
 * Runs every `check:*` script of package.json, two at a time, with a line of result for each and the output of those that
 * fail. Ends non-zero at any failure.
 *
 * usage: npm run check [-- name …]   (names such as `lint types`; default: all)
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const { scripts } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));
const all = Object.keys(scripts)
  .filter((name) => name.startsWith("check:"))
  .map((name) => name.slice("check:".length));
const chosen = process.argv.slice(2);
const unknown = chosen.filter((name) => !all.includes(name));
if (unknown.length > 0) {
  console.error(`check: there is no ${unknown.join(", ")}; there are ${all.join(", ")}.`);
  process.exit(2);
}

const waiting = chosen.length > 0 ? chosen : all;
const total = waiting.length;
let passed = 0;
async function work() {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    const { code, output, seconds } = await run(scripts[`check:${name}`]);
    if (code === 0) passed += 1;
    console.log(`${code === 0 ? "ok  " : "FAIL"} ${name.padEnd(8)} ${seconds} s`);
    if (code !== 0) console.log(output.trimEnd().replaceAll(/^/gm, "     "));
  }
}
await Promise.all([work(), work()]);
console.log(`check: ${passed} of ${total} are fine`);
process.exitCode = passed === total ? 0 : 1;

function run(command) {
  const begin = Date.now();
  const binaries = path.join(root, "node_modules", ".bin");
  const env = { ...process.env, PATH: `${binaries}${path.delimiter}${process.env.PATH}`, NO_COLOR: "1" };
  const child = spawn(command, { cwd: root, shell: true, stdio: ["ignore", "pipe", "pipe"], env });
  const parts = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => parts.push(part));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      resolve({ code, output: Buffer.concat(parts).toString(), seconds: ((Date.now() - begin) / 1000).toFixed(1) });
    });
  });
}
