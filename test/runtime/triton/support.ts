/** Servers started as processes, in folders of their own. */
import { readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { TritonModelServer, type TritonModelServerOptions } from "servable/triton";
import { writeFiles, type RepositoryFiles } from "../../server/support.ts";
import { identityModel } from "../../support/onnx-writer.ts";
import { keepLog, type LogLine } from "../../support/serving.ts";

/** A repository of one model that gives back what it gets, `[-1, 2]` of FP32. */
export const identityFiles: RepositoryFiles = {
  "identity/1/model.onnx": identityModel("FP32"),
  "identity/config.pbtxt":
    'backend: "onnxruntime" max_batch_size: 8 input { name: "x" data_type: TYPE_FP32 dims: 2 } output { name: "y" data_type: TYPE_FP32 dims: 2 }',
};

/** A server that is not started, with what it logs; what it leaves running is ended at the end. */
export interface Prepared extends AsyncDisposable {
  readonly server: TritonModelServer;
  readonly folder: string;
  readonly lines: LogLine[];
}

/** Prepares this package's own model server over a repository. */
export async function prepare(files: RepositoryFiles, options: Partial<TritonModelServerOptions> = {}): Promise<Prepared> {
  const folder = await mkdtemp(path.join(tmpdir(), "servable-test-"));
  await mkdir(path.join(folder, "models"));
  await writeFiles(path.join(folder, "models"), files);
  const lines: LogLine[] = [];
  const server = new TritonModelServer({
    artifact: path.join(folder, "models"),
    binary: "no-such-tritonserver",
    fallback: "servable",
    ports: { http: 0, grpc: 0, metrics: 0 },
    log: keepLog(lines),
    graceMs: 10_000,
    startTimeoutMs: 60_000,
    ...options,
  });
  return {
    server,
    folder,
    lines,
    async [Symbol.asyncDispose]() {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A program that stands where tritonserver would. */
export async function program(folder: string, script: string): Promise<string> {
  const file = path.join(folder, "tritonserver");
  await writeFile(file, script);
  await chmod(file, 0o755);
  return file;
}

/** Whether a process is there; one that has ended and nobody asked for its end yet is gone. */
export function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== "linux" || !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

/** Waits until something holds. */
export async function until(holds: () => boolean | Promise<boolean>, ms = 20_000): Promise<void> {
  const end = performance.now() + ms;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`It did not hold within ${ms} ms.`);
    await sleep(20);
  }
}
