/** What the checks of a server that runs as a process have in common: repositories, failures, and what is left of processes. */
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ServableError, type TritonModelServer } from "servable/triton";

/** Starts a server that can't start, and gives its reason. @throws where it does start */
export async function failureOf(server: TritonModelServer): Promise<ServableError> {
  try {
    await server.start();
  } catch (thrown) {
    if (ServableError.isInstance(thrown)) return thrown;
    throw thrown;
  } finally {
    await server.stop();
  }
  throw new Error("It started, and should not have.");
}

/** Writes an ONNX model with its configuration into a repository. */
export function writeModel(models: string, name: string, content: Uint8Array, text: string): void {
  mkdirSync(path.join(models, name, "1"), { recursive: true });
  writeFileSync(path.join(models, name, "1", "model.onnx"), content);
  writeFileSync(path.join(models, name, "config.pbtxt"), text);
}

/** What lives of a process group. */
export function groupOf(group: number): readonly number[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      // After the name, which may have blanks in it: state, parent, group.
      const [state, , of] = readFileSync(`/proc/${name}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ");
      return state !== "Z" && Number(of) === group ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}

/** What Triton's Python backend shares with its processes. */
export function sharedMemory(): readonly string[] {
  return existsSync("/dev/shm") ? readdirSync("/dev/shm").filter((name) => name.startsWith("triton_onnxruntime")) : [];
}

/** The copies of repositories that are there. */
export function copies(): readonly string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith("servable-triton-"));
}

/** Waits until something holds. */
export async function until(holds: () => boolean, ms: number): Promise<void> {
  const end = performance.now() + ms;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`It did not hold within ${ms} ms.`);
    await sleep(20);
  }
}
