/** Drives a server with wrk; with autocannon, which is several times slower itself, only where wrk is missing. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pinned, type Sample } from "./servers.ts";

/** What to send, and for how long. */
export interface LoadPlan {
  readonly url: string;
  /** What is sent; of several, one after the other in turn. Bytes only by wrk. */
  readonly body: string | readonly string[] | Uint8Array;
  /** Besides the content type, which is JSON's where it is not said. @default none */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly connections: number;
  readonly seconds: number;
  /** The core that the load comes from; `"any"`: the system chooses. @default 1 */
  readonly core?: number | "any" | undefined;
}

/** A load generator. */
export interface Load {
  readonly name: string;
  run(plan: LoadPlan): Promise<Sample>;
}

/** Finds the load generator of this machine. */
export function createLoad(): Promise<Load> {
  const hasWrk = spawnSync("wrk", ["--version"]).error === undefined;
  if (hasWrk) return Promise.resolve({ name: "wrk", run: runWrk });
  process.stdout.write("wrk is missing (Debian: apt-get install wrk); autocannon stands in, and is itself what limits fast servers.\n");
  return Promise.resolve({ name: "autocannon", run: runAutocannon });
}

async function runWrk({ url, body, headers, connections, seconds, core = 1 }: LoadPlan): Promise<Sample> {
  const folder = await mkdtemp(join(tmpdir(), "servable-bench-"));
  try {
    const script = join(folder, "post.lua");
    await writeFile(script, wrkScript(body, headers));
    const text = await output(["wrk", "-t1", `-c${connections}`, `-d${seconds}s`, "--latency", "-s", script, url], core);
    const failed = /Non-2xx or 3xx responses: \d+|Socket errors: .*/.exec(text);
    if (failed !== null) throw new Error(`Requests to ${url} failed. ${failed[0]}`);
    return {
      requests: Number(find(text, /(\d+) requests in/)),
      requestsPerSecond: Number(find(text, /Requests\/sec:\s+([\d.]+)/)),
      p50Ms: milliseconds(text, "50%"),
      p99Ms: milliseconds(text, "99%"),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

function wrkScript(body: LoadPlan["body"], headers: LoadPlan["headers"] = {}): string {
  const named = Object.entries({ "content-type": "application/json", ...headers });
  const head = ['wrk.method = "POST"', ...named.map(([name, value]) => `wrk.headers["${name}"] = "${value}"`), ""].join("\n");
  if (body instanceof Uint8Array)
    return `${head}wrk.body = "${Array.from(body, (byte) => `\\${String(byte).padStart(3, "0")}`).join("")}"\n`;
  if (typeof body === "string") return `${head}wrk.body = [==[${body}]==]\n`;
  // Formatted once, so that a request costs no more than one that never changes.
  return `${head}local bodies = { ${body.map((one) => `[==[${one}]==]`).join(",\n")} }
local requests, turn = {}, 0
init = function() for index, body in ipairs(bodies) do requests[index] = wrk.format(nil, nil, nil, body) end end
request = function()
  turn = turn % #requests + 1
  return requests[turn]
end
`;
}

function milliseconds(text: string, percentile: string): number {
  const [, value = "", unit = ""] = new RegExp(`${percentile}\\s+([\\d.]+)(us|ms|s)`).exec(text) ?? [];
  return Number(value) * ({ us: 0.001, ms: 1, s: 1_000 }[unit] ?? Number.NaN);
}

async function runAutocannon({ url, body, connections, seconds, core = 1 }: LoadPlan): Promise<Sample> {
  if (body instanceof Uint8Array) throw new Error("autocannon sends no bytes here; install wrk");
  const args = [
    "-m",
    "POST",
    "-H",
    "content-type=application/json",
    "-b",
    typeof body === "string" ? body : (body[0] ?? ""),
    "-c",
    String(connections),
    "-d",
    String(seconds),
    "--json",
    url,
  ];
  const text = await output(["npx", "--yes", "autocannon@8", ...args], core);
  const result = JSON.parse(text) as {
    requests: { average: number; total: number };
    latency: { p50: number; p99: number };
    non2xx: number;
  };
  if (result.non2xx > 0) throw new Error(`${result.non2xx} requests to ${url} failed`);
  const { average, total } = result.requests;
  return { requests: total, requestsPerSecond: average, p50Ms: result.latency.p50, p99Ms: result.latency.p99 };
}

function find(text: string, pattern: RegExp): string {
  return pattern.exec(text)?.[1] ?? "NaN";
}

function output(load: readonly string[], core: number | "any"): Promise<string> {
  const [command = "", ...args] = pinned(core === "any" ? undefined : core, load);
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "ignore"] });
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    child.once("error", reject);
    child.once("exit", (code) => {
      if (code === 0) resolve(text);
      else reject(new Error(`${load[0] ?? "load"} ended with exit code ${String(code)}`));
    });
  });
}
