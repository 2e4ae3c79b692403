/**
 * Holds this package to the real thing: `tritonclient` over HTTP and gRPC, and `perf_analyzer` where glibc is new enough, from PyPI in virtual
 * environments of their own, then this package's runtime and clients, first against this package's model server, then against the real tritonserver,
 * which is what shows that the suite itself is right. Either server is started by `TritonModelServer`. Last, configurations against protobuf's own reader
 * and writer.
 *
 * usage: npm run test:conformance -- [--only servable|triton|configs] [--count 2000] [--seed 1]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { TritonModelServer } from "servable/triton";
import { checkConfigTexts } from "./config-text/check.ts";
import {
  here,
  keepLines,
  lastLines,
  must,
  perfAnalyzer,
  python,
  serverOptions,
  whyNoTriton,
  type KeptLine,
  type ServerName,
} from "./environment.ts";
import { Tally } from "./tally.ts";
import { checkRuntime } from "./triton-runtime.ts";

const { values } = parseArgs({
  options: { only: { type: "string" }, count: { type: "string", default: "2000" }, seed: { type: "string", default: "1" } },
});
/** Whose contract each keeps. */
const versions: Readonly<Record<ServerName, string>> = { servable: "2.73", triton: "2.51" };

/** Asks a server with the real clients. */
async function checkWithClients(which: ServerName, scratch: string, lines: KeptLine[], tally: Tally): Promise<void> {
  const clients = python("clients");
  const repository = path.join(scratch, "models");
  const report = path.join(scratch, "report.xml");
  must(clients, path.join(here, "make_repository.py"), repository);
  // State that the server keeps for a model is nothing that Triton's Python backends know, nor are models in TypeScript.
  if (which === "triton") for (const own of ["accumulator", "repeat", "cached"]) rmSync(path.join(repository, own), { recursive: true });
  const server = new TritonModelServer({
    artifact: repository,
    ...serverOptions(which, scratch, repository),
    ...(which === "servable" && { arguments: ["--cache-config=local,size=1048576"] }),
    control: "explicit",
    loadModels: readdirSync(repository).filter((model) => model !== "broken"),
    ports: { http: 0, grpc: 0, metrics: 0 },
    startTimeoutMs: 120_000,
    log: keepLines(lines),
  });
  try {
    await server.start();
    // Not in one go: what the server says has to be read meanwhile.
    const tests = spawn(clients, ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", `--junitxml=${report}`, here], {
      env: {
        ...process.env,
        HTTP_ADDRESS: new URL(server.url).host,
        GRPC_ADDRESS: server.grpcUrl.replace("grpc://", ""),
        METRICS_ADDRESS: new URL(server.metricsUrl).host,
        SERVER_VERSION: versions[which],
        PERF_ANALYZER: perfAnalyzer() ?? "",
        PYTHONDONTWRITEBYTECODE: "1",
      },
      stdio: ["ignore", "inherit", "inherit"],
    });
    const [status]: unknown[] = await once(tests, "exit");
    tally.add(countsOf(report, status));
  } finally {
    await server.stop();
  }
}

/** What pytest wrote of its run; one that ended badly with nothing to show for it counts as one failure. */
function countsOf(report: string, status: unknown): { readonly passed: number; readonly failed: number; readonly skipped: number } {
  const suite = /<testsuite [^>]*>/.exec(readFileSync(report, "utf8"))?.[0] ?? "";
  const count = (name: string): number => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(suite)?.[1] ?? 0);
  const [failed, skipped] = [count("failures") + count("errors"), count("skipped")];
  return { passed: count("tests") - failed - skipped, failed: failed === 0 && status !== 0 ? 1 : failed, skipped };
}

/** Runs one part; that it breaks off is a failure, and the other parts run all the same. */
async function part(name: string, run: (scratch: string, lines: KeptLine[]) => Promise<void>): Promise<void> {
  process.stdout.write(`== ${name}\n`);
  const { failed } = tally;
  const lines: KeptLine[] = [];
  const scratch = mkdtempSync(path.join(own, "part-"));
  try {
    await run(scratch, lines);
  } catch (thrown) {
    if (tally.failed === failed) tally.add({ failed: 1 });
    process.stdout.write(`${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}\n`);
  }
  if (tally.failed > failed && lines.length > 0) process.stdout.write(lastLines(lines));
}

const tally = new Tally();
const own = mkdtempSync(path.join(tmpdir(), "servable-conformance-"));
// What is left in there can only be of this run.
process.env.TMPDIR = path.join(own, "tmp");
mkdirSync(process.env.TMPDIR);
try {
  for (const which of ["servable", "triton"] as const) {
    if (values.only !== undefined && values.only !== which) continue;
    const reason = which === "triton" ? whyNoTriton() : undefined;
    if (reason !== undefined) {
      process.stdout.write(`skipped: the real tritonserver, because ${reason}\n`);
      tally.add({ skipped: 1 });
      continue;
    }
    await part(`real clients of ${which}`, (scratch, lines) => checkWithClients(which, scratch, lines, tally));
    await part(`this package's runtime and clients with ${which}`, (scratch, lines) => checkRuntime(which, scratch, lines, tally));
  }
  if (values.only === undefined || values.only === "configs")
    await part("configurations", () => checkConfigTexts(python("clients"), Number(values.count), Number(values.seed), tally));
} finally {
  rmSync(own, { recursive: true, force: true });
}
process.stdout.write(`${tally.toString()}\n`);
process.exitCode = tally.failed === 0 && tally.passed > 0 ? 0 : 1;
