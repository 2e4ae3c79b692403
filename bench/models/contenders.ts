/** What is measured: how each is started, what it is asked and what it answers. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { tritonStart } from "../peers/triton.ts";
import { venvOf } from "../peers/venv.ts";
import type { ServerPlan } from "../support/servers.ts";

/** How a server is started for one model. */
export type Start = Pick<ServerPlan, "command" | "environment" | "folder">;

/** How rows and answers are written in a protocol. */
interface Wire {
  readonly path: string;
  encode(row: readonly number[]): string;
  /** The ten numbers of an answer, parsed from JSON. */
  decode(answer: unknown): readonly number[];
}

/** One server. */
export interface Contender {
  /** What `--only` calls it. */
  readonly id: string;
  readonly name: string;
  /** `limit`: answers without a model. */
  readonly kind: "limit" | "reference" | "servable" | "python" | "triton";
  readonly wire: Wire;
  /** Why it can't be started here. */
  missing(): string | undefined;
  start(model: string, port: number): Start;
}

/** Folders that {@link contenders} want translated. */
export const sources = ["models", "models/servers", "hand-written"] as const;

const plain: Wire = {
  path: "/predict",
  encode: (row) => JSON.stringify({ x: row }),
  decode: (answer) => (answer as { readonly y: readonly number[] }).y,
};
// What a batchable BentoML service takes and gives has the rows as its first dimension, also where that is 1.
const bento: Wire = {
  path: "/predict",
  encode: (row) => JSON.stringify({ x: [row] }),
  decode: (answer) => (answer as readonly (readonly number[])[])[0] ?? [],
};
const openInference: Wire = {
  path: "/v2/models/predict/infer",
  encode: (row) => JSON.stringify({ inputs: [{ name: "x", shape: [1, row.length], datatype: "FP32", data: row }] }),
  decode: (answer) => (answer as { readonly outputs: readonly { readonly data: readonly number[] }[] }).outputs[0]?.data ?? [],
};

/** All servers, in the order in which they are measured. */
export function contenders(compiled: (file: string) => URL, scratch: string): readonly Contender[] {
  const node = (file: string, ...args: readonly string[]): readonly string[] => [process.execPath, fileURLToPath(compiled(file)), ...args];
  const servable = (id: string, name: string, environment: Readonly<Record<string, string>>): Contender => ({
    id,
    name,
    kind: "servable",
    wire: plain,
    missing: () => undefined,
    start: (model, port) => ({
      command: node("models/servers/servable.ts", String(port)),
      environment: { BENCH_MODEL: model, ...environment },
    }),
  });
  const bare = (id: string, name: string, kind: "limit" | "reference", file: string): Contender => ({
    id,
    name,
    kind,
    wire: plain,
    missing: () => undefined,
    start: (model, port) => ({ command: node(file, String(port), model), environment: {} }),
  });
  return [
    bare("node", "bare node:http, no model", "limit", "models/servers/bare-node.ts"),
    bare("hand", "written by hand", "reference", "hand-written/server.ts"),
    servable("servable", "servable", {}),
    servable("quiet", "servable, no request log", { BENCH_LOG: "off" }),
    servable("servable-inline", "servable, the model inline", { BENCH_PLACEMENT: "inline" }),
    {
      ...peer("Triton", "triton", openInference, (_python, model, port) => {
        const { command, environment } = tritonStart(path.join(scratch, "triton"), port);
        return { command, environment: { ...environment, BENCH_MODEL: model } };
      }),
      kind: "triton",
    },
    peer("mosec", "mosec", { ...plain, path: "/inference" }, (python, _model, port) => ({
      command: [python, peerFile("mosec_server.py"), "--address", "127.0.0.1", "--port", String(port), "--log-level", "warning"],
      environment: {},
    })),
    peer("FastAPI, batching by hand", "fastapi", plain, (python) => ({
      command: [python, peerFile("fastapi_server.py")],
      environment: {},
    })),
    peer("MLServer", "mlserver", openInference, (python, _model, port) => ({
      command: [path.join(path.dirname(python), "mlserver"), "start", mlserverFolder(scratch)],
      environment: {
        MLSERVER_HOST: "127.0.0.1",
        MLSERVER_HTTP_PORT: String(port),
        MLSERVER_GRPC_PORT: String(port + 1),
        MLSERVER_METRICS_PORT: String(port + 2),
        MLSERVER_PARALLEL_WORKERS: "0",
        MLSERVER_DEBUG: "false",
      },
    })),
    peer("LitServe", "litserve", plain, (python) => ({ command: [python, peerFile("litserve_server.py")], environment: {} })),
    peer("BentoML", "bentoml", bento, (python, _model, port) => ({
      command: [python, "-m", "bentoml", "serve", "bentoml_server:Predict", "--host", "127.0.0.1", "--port", String(port)],
      environment: { BENTOML_DO_NOT_TRACK: "True" },
    })),
  ];
}

function peer(
  name: string,
  venv: string,
  wire: Wire,
  start: (python: string, model: string, port: number) => Pick<Start, "command" | "environment">,
): Contender {
  const { python } = venvOf(venv);
  return {
    id: venv,
    name,
    kind: "python",
    wire,
    missing: () => (existsSync(python) ? undefined : `it is not installed: npx tsx bench/peers/install.ts ${venv}`),
    start: (model, port) => {
      const { command, environment } = start(python, model, port);
      const own = { PYTHONPATH: peerFile(""), PYTHONDONTWRITEBYTECODE: "1", BENCH_MODEL: model, BENCH_PORT: String(port) };
      return { command, environment: { ...own, ...environment }, folder: peerFile("") };
    },
  };
}

function peerFile(name: string): string {
  return fileURLToPath(new URL(`../peers/${name}`, import.meta.url));
}

function mlserverFolder(scratch: string): string {
  const folder = path.join(scratch, "mlserver");
  mkdirSync(folder, { recursive: true });
  const settings = { name: "predict", implementation: "mlserver_server.Predict", max_batch_size: 16, max_batch_time: 0.005 };
  writeFileSync(path.join(folder, "model-settings.json"), JSON.stringify(settings));
  return folder;
}
