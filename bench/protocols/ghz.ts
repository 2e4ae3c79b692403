/** Drives a gRPC server with ghz, a compiled client, so that the client is not what is measured. */
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { pinned, type Sample } from "../support/servers.ts";

const installed = fileURLToPath(new URL("../peers/.bin/ghz", import.meta.url));
const proto = fileURLToPath(new URL("../../src/protocol/grpc/inference.proto", import.meta.url));

/** Where ghz is; undefined where it is not. `go install github.com/bojand/ghz/cmd/ghz@v0.121.0` makes it. */
export function findGhz(): string | undefined {
  return [installed, "ghz"].find((command) => spawnSync(command, ["--version"]).status === 0);
}

/** Calls ModelInfer with one message again and again. */
export async function runGhz(ghz: string, address: string, message: Uint8Array, connections: number, seconds: number): Promise<Sample> {
  const folder = await mkdtemp(path.join(tmpdir(), "servable-ghz-"));
  try {
    const file = path.join(folder, "request.bin");
    await writeFile(file, message);
    const [command = "", ...args] = pinned(1, [
      ghz,
      "--insecure",
      `--proto=${proto}`,
      `--import-paths=${path.dirname(proto)}`,
      "--call=inference.GRPCInferenceService.ModelInfer",
      `--binary-file=${file}`,
      `--concurrency=${connections}`,
      // As tritonclient's: calls share connections.
      "--connections=4",
      `--duration=${seconds}s`,
      "--duration-stop=wait",
      "--format=json",
      address,
    ]);
    const { stdout } = await promisify(execFile)(command, args, { maxBuffer: 512 * 1024 * 1024 });
    const report = JSON.parse(stdout) as {
      readonly count: number;
      readonly rps: number;
      readonly errorDistribution?: Readonly<Record<string, number>>;
      readonly latencyDistribution: readonly { readonly percentage: number; readonly latency: number }[];
    };
    const failures = Object.entries(report.errorDistribution ?? {});
    if (failures.length > 0) throw new Error(`calls to ${address} failed: ${JSON.stringify(failures)}`);
    const at = (percentage: number): number =>
      (report.latencyDistribution.find((one) => one.percentage === percentage)?.latency ?? Number.NaN) / 1e6;
    return { requests: report.count, requestsPerSecond: report.rps, p50Ms: at(50), p99Ms: at(99) };
  } finally {
    await rm(folder, { recursive: true });
  }
}
