import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { venvOf } from "./venv.ts";

/** How `tritonserver` is started. */
export interface TritonStart {
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * Lays out a model repository and a backend folder, and says how to start the real `tritonserver` that PyTriton's package carries:
 * with its Python backend, which runs onnxruntime, since the package has no other.
 *
 * @param grpcPort - serves gRPC, too
 */
export function tritonStart(folder: string, port: number, grpcPort?: number): TritonStart {
  const { python } = venvOf("triton");
  const ask = "import sysconfig; print(sysconfig.get_path('purelib'), sysconfig.get_config_var('LIBDIR'), sysconfig.get_python_version())";
  const [packages = "", libraries = "", version = ""] = execFileSync(python, ["-c", ask], { encoding: "utf8" }).trim().split(" ");
  const triton = path.join(packages, "pytriton", "tritonserver");

  rmSync(folder, { recursive: true, force: true });
  const backend = path.join(folder, "backends", "python");
  cpSync(path.join(triton, "backends", "python"), backend, { recursive: true });
  const stub = path.join(triton, "python_backend_stubs", version);
  for (const file of readdirSync(stub)) cpSync(path.join(stub, file), path.join(backend, file));

  const model = path.join(folder, "models", "predict");
  mkdirSync(path.join(model, "1"), { recursive: true });
  const peers = fileURLToPath(new URL(".", import.meta.url));
  cpSync(path.join(peers, "triton_model.py"), path.join(model, "1", "model.py"));
  writeFileSync(path.join(model, "config.pbtxt"), config);

  return {
    command: [
      path.join(triton, "bin", "tritonserver"),
      `--model-repository=${path.join(folder, "models")}`,
      `--backend-directory=${path.join(folder, "backends")}`,
      "--http-address=127.0.0.1",
      `--http-port=${port}`,
      ...(grpcPort === undefined ? ["--allow-grpc=false"] : ["--grpc-address=127.0.0.1", `--grpc-port=${grpcPort}`]),
      "--allow-metrics=false",
    ],
    environment: {
      // The stub needs the very library that its Python uses.
      LD_LIBRARY_PATH: [path.join(packages, "nvidia_pytriton.libs"), libraries].join(":"),
      PYTHONPATH: [packages, peers].join(":"),
    },
  };
}

const config = `name: "predict"
backend: "python"
max_batch_size: 16
input [{ name: "x" data_type: TYPE_FP32 dims: [64] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [10] }]
instance_group [{ kind: KIND_CPU count: 1 }]
dynamic_batching { }
`;
