/** Model repositories in temporary folders, and servers over them. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ModelRepositoryServer, type InferRequest, type InferResponse, type ModelRepositoryOptions } from "servable/server";
import { keepLog, type LogLine } from "../support/serving.ts";

/** What a repository holds: contents by path, such as `mlp/1/model.onnx`. */
export type RepositoryFiles = Readonly<Record<string, string | Uint8Array>>;

/** Writes files beneath a folder. */
export async function writeFiles(folder: string, files: RepositoryFiles): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
}

/** A server over a repository of its own, with what it logged. */
export interface Served extends AsyncDisposable {
  readonly server: ModelRepositoryServer;
  readonly folder: string;
  readonly lines: LogLine[];
  infer(model: string, request: Partial<InferRequest>, version?: string): Promise<InferResponse>;
}

/** A repository and a server over it that is not started. */
export async function openRepository(files: RepositoryFiles, options: Partial<ModelRepositoryOptions> = {}): Promise<Served> {
  const folder = await mkdtemp(join(tmpdir(), "servable-test-"));
  await writeFiles(folder, files);
  const lines: LogLine[] = [];
  const server = new ModelRepositoryServer({ repositories: [folder], log: keepLog(lines), ...options });
  return {
    server,
    folder,
    lines,
    infer: (model, request, version = "") =>
      server
        .model(model, version)
        .admit({})
        .infer(requestOf(model, request, version)),
    async [Symbol.asyncDispose]() {
      await server.stop(2_000);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A server over a repository, started. */
export async function serveRepository(files: RepositoryFiles, options: Partial<ModelRepositoryOptions> = {}): Promise<Served> {
  const served = await openRepository(files, options);
  try {
    await served.server.start();
  } catch (thrown) {
    await served[Symbol.asyncDispose]();
    throw thrown;
  }
  return served;
}

/** A request with what is not said filled in. */
export function requestOf(modelName: string, request: Partial<InferRequest>, modelVersion = ""): InferRequest {
  return { modelName, modelVersion, id: "", parameters: {}, inputs: [], outputs: [], ...request };
}

/** What a promise is rejected with. */
export async function failureOf(promise: Promise<unknown>): Promise<{ readonly status: string; readonly message: string }> {
  try {
    await promise;
  } catch (thrown) {
    const { status, message, code } = thrown as { status?: string; message: string; code?: string };
    return { status: status ?? code ?? "", message };
  }
  throw new Error("It did not fail.");
}
