/**
 * Installs what the model bench compares servable with: a virtual environment for each section of requirements.txt. What can't be
 * installed is named, and the bench leaves it out.
 *
 * usage: tsx bench/peers/install.ts [peer ...]
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { venvOf } from "./venv.ts";

const asked = process.argv.slice(2);
const text = readFileSync(new URL("./requirements.txt", import.meta.url), "utf8");
const sections = text.split(/^# peer: /m).slice(1);

const failed: string[] = [];
for (const section of sections) {
  const [name = "", ...lines] = section.split("\n");
  if (asked.length > 0 && !asked.includes(name)) continue;
  const requirements = lines.filter((line) => line !== "" && !line.startsWith("#"));
  process.stdout.write(`${name}: ${requirements.join(" ")}\n`);
  const { folder, python } = venvOf(name);
  const installed = run("python3", "-m", "venv", folder) && run(python, "-m", "pip", "install", "--quiet", ...requirements);
  if (!installed) failed.push(name);
}
if (asked.length === 0 || asked.includes("ghz")) {
  // The gRPC load of bench/protocols: a compiled client.
  const where = { ...process.env, GOBIN: fileURLToPath(new URL("./.bin", import.meta.url)) };
  const { status } = spawnSync("go", ["install", "github.com/bojand/ghz/cmd/ghz@v0.121.0"], {
    stdio: ["ignore", "inherit", "inherit"],
    env: where,
  });
  if (status !== 0) failed.push("ghz");
}
process.stdout.write(failed.length === 0 ? "All are installed.\n" : `Not installed, and so left out by the bench: ${failed.join(", ")}.\n`);

function run(command: string, ...args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] }).status === 0;
}
