import { accessSync, constants, existsSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { ServableError } from "../../errors.ts";
import type { ResolvedTritonOptions } from "./options.ts";

/** The server that is started: the real one, or this package's own. */
export interface FoundServer {
  readonly kind: "tritonserver" | "servable";
  readonly file: string;
  /** What comes before the flags. */
  readonly arguments: readonly string[];
}

/**
 * Finds the server.
 *
 * @throws ServableError `missing_dependency` where there is none, and no other may take its place
 */
export function findServer({
  binary,
  fallback,
  environment,
}: Pick<ResolvedTritonOptions, "binary" | "fallback" | "environment">): FoundServer {
  const file = findBinary(binary, environment.PATH ?? process.env.PATH ?? "");
  if (file !== undefined) return { kind: "tritonserver", file, arguments: [] };
  const where = binary.includes("/") ? `There is no program ${binary}` : `There is no '${binary}' on PATH`;
  if (fallback === "servable") return ownServer();
  throw new ServableError(
    "missing_dependency",
    `${where}. Install Triton, name its program with \`binary\`, or say fallback: "servable" to serve the repository with this package's own model server.`,
  );
}

/** The command line of this package, which has the model server as a verb. */
function ownServer(): FoundServer {
  const compiled = fileURLToPath(new URL("../../cli/main.js", import.meta.url));
  // Run from its sources, the package is built beside them: a process of its own can't run TypeScript.
  const file = existsSync(compiled) ? compiled : fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));
  if (existsSync(file)) return { kind: "servable", file: process.execPath, arguments: [file, "models"] };
  throw new ServableError("missing_dependency", "This package's own model server is not built: run `npm run build` in it.");
}

function findBinary(binary: string, searchPath: string): string | undefined {
  if (binary.includes("/")) return isProgram(binary) ? path.resolve(binary) : undefined;
  const folders = searchPath.split(path.delimiter).filter((folder) => folder !== "");
  return folders.map((folder) => path.resolve(folder, binary)).find(isProgram);
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
