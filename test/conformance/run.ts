/**
 * Runs the real clients against a server: `tritonclient` over HTTP and gRPC, and `perf_analyzer` where glibc is new enough, from PyPI, in virtual
 * environments of their own; then this package's runtime and clients. The same suite runs against the real tritonserver, which is what shows that the suite itself is right. Either server is
 * started by `TritonModelServer`.
 *
 * usage: npm run test:conformance -- [--server servable|triton]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { TritonModelServer } from "servable/triton";
import { here, keepLines, lastLines, must, perfAnalyzer, python, serverOptions, type KeptLine, type ServerName } from "./environment.ts";
import { checkRuntime } from "./triton-runtime.ts";

const { values } = parseArgs({ options: { server: { type: "string", default: "servable" } } });
const which: ServerName = values.server === "triton" ? "triton" : "servable";
/** Whose contract it keeps. */
const version = which === "triton" ? "2.51" : "2.73";

/** Asks a server with the real clients. @returns whether all was as it should be */
async function checkWithClients(scratch: string, lines: KeptLine[]): Promise<boolean> {
  const clients = python("clients");
  const repository = path.join(scratch, "models");
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
    const tests = spawn(clients, ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", here], {
      env: {
        ...process.env,
        HTTP_ADDRESS: new URL(server.url).host,
        GRPC_ADDRESS: server.grpcUrl.replace("grpc://", ""),
        METRICS_ADDRESS: new URL(server.metricsUrl).host,
        SERVER_VERSION: version,
        PERF_ANALYZER: perfAnalyzer() ?? "",
        PYTHONDONTWRITEBYTECODE: "1",
      },
      stdio: ["ignore", "inherit", "inherit"],
    });
    const [status]: unknown[] = await once(tests, "exit");
    return status === 0;
  } finally {
    await server.stop();
  }
}

const scratch = mkdtempSync(path.join(tmpdir(), "servable-conformance-"));
const lines: KeptLine[] = [];
try {
  const clientsAgree = await checkWithClients(path.join(scratch, "clients"), lines);
  if (clientsAgree) lines.length = 0;
  await checkRuntime(which, path.join(scratch, "runtime"), lines);
  process.exitCode = clientsAgree ? 0 : 1;
} catch (thrown) {
  process.exitCode = 1;
  process.stdout.write(`${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}\n`);
} finally {
  if (process.exitCode !== 0) process.stdout.write(lastLines(lines));
  rmSync(scratch, { recursive: true, force: true });
}
