/**
 * How often a tensor of 16 MB is copied on its way through client and server and back: bytes that JavaScript copies on either side, and what array
 * buffers take there, in tensors.
 *
 * usage: npm run bench:copies -- [--rounds 10]
 */
import { readSide, type Side } from "./side.ts";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { OpenInferenceClient } from "servable/client";
import { GrpcInferenceClient } from "servable/grpc";
import { identityModel } from "../../test/support/onnx-writer.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "10" } } });
const rounds = Number(values.rounds);
const elements = 4 * 1024 * 1024;
const tensorBytes = elements * Float32Array.BYTES_PER_ELEMENT;

const folder = mkdtempSync(path.join(tmpdir(), "servable-copies-"));
mkdirSync(path.join(folder, "echo", "1"), { recursive: true });
writeFileSync(path.join(folder, "echo", "1", "model.onnx"), identityModel("FP32", [elements]));
const server = fork(fileURLToPath(new URL("server.ts", import.meta.url)), [folder], { execArgv: ["--import", "tsx", "--expose-gc"] });
try {
  const [urls] = (await once(server, "message")) as [{ readonly http: string; readonly grpc: string }];
  const x = { shape: [elements], data: new Float32Array(elements).fill(1.5) };
  const http = new OpenInferenceClient(urls.http, { timeoutMs: 60_000 });
  const rpc = new GrpcInferenceClient(urls.grpc, { timeoutMs: 60_000 });
  await measure("HTTP, binary", () => http.infer("echo", { x }));
  await measure("gRPC", () => rpc.infer("echo", { x }));
  rpc.close();
} finally {
  server.disconnect();
  await once(server, "exit");
  rmSync(folder, { recursive: true, force: true });
}

/** The most of all rounds, by client and server. */
async function measure(wire: string, call: () => Promise<unknown>): Promise<void> {
  const sides = new Map<string, Side>();
  const keep = (name: string, now: Side): void => {
    const most = sides.get(name);
    const copiedMore = most === undefined || now.copied > most.copied;
    sides.set(name, {
      ...(copiedMore ? now : most),
      allocated: Math.max(now.allocated, most?.allocated ?? 0),
      heap: Math.max(now.heap, most?.heap ?? 0),
    });
  };
  for (let round = 0; round < rounds; round += 1) {
    await askServer("mark");
    readSide(true);
    await call();
    keep("client", readSide(false));
    keep("server", await askServer("read"));
  }
  for (const [name, side] of sides) print(wire, name, side);
}

async function askServer(question: "mark" | "read"): Promise<Side> {
  server.send(question);
  const [answer] = (await once(server, "message")) as [Side];
  return answer;
}

function print(wire: string, name: string, { copied, places, allocated, heap }: Side): void {
  const tensors = (bytes: number): string => (bytes / tensorBytes).toFixed(2);
  const large = Object.entries(places).filter(([, bytes]) => bytes > tensorBytes / 100);
  const by = large.map(([place, bytes]) => `${place} ${tensors(bytes)}`).join(", ");
  process.stdout.write(
    `${wire}, ${name}: copied ${tensors(copied)} (${by}), array buffers ${tensors(allocated)}, heap profile ${tensors(heap)}\n`,
  );
}
