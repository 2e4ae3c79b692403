import { ModelHttpServer } from "../../../../src/runtime/http/open-inference/model-http-server.ts";
import type { ModelHttpServerOptions } from "../../../../src/runtime/http/open-inference/options.ts";
import { keepLog, type LogLine } from "../../../support/serving.ts";
import { addModel, identityModel, SmallPlane, waitingModel, wordsModel } from "./small-plane.ts";

/** A front that serves a small plane. */
export interface Fronted extends AsyncDisposable {
  readonly plane: SmallPlane;
  readonly server: ModelHttpServer;
  readonly url: string;
  readonly port: number;
  readonly lines: LogLine[];
  post(path: string, body?: string | Uint8Array, headers?: Record<string, string>, signal?: AbortSignal): Promise<Response>;
}

/** Serves on a free port. */
export async function front(options: Partial<ModelHttpServerOptions> = {}): Promise<Fronted> {
  const plane = new SmallPlane([
    addModel(),
    identityModel("echo", "FP32"),
    identityModel("text", "BYTES", [1]),
    waitingModel(),
    wordsModel(),
  ]);
  const lines: LogLine[] = [];
  const server = new ModelHttpServer({ plane, port: 0, log: keepLog(lines), ...options });
  await server.start();
  const { url } = server;
  return {
    plane,
    server,
    url,
    port: Number(new URL(url).port),
    lines,
    // Without this header fetch asks for compression.
    post: (path, body = "", headers = {}, signal) =>
      fetch(url + path, { method: "POST", headers: { "accept-encoding": "identity", ...headers }, body, ...(signal && { signal }) }),
    [Symbol.asyncDispose]: () => server.stop(100),
  };
}

/** A request of the model `add`. */
export function addRequest(left: readonly number[], right: readonly number[], more: object = {}): string {
  const input = (name: string, data: readonly number[]): object => ({ name, datatype: "FP32", shape: [data.length], data });
  return JSON.stringify({ inputs: [input("INPUT0", left), input("INPUT1", right)], ...more });
}

/** A body of JSON and binary tensors, and the header that tells them apart. */
export function binaryBody(
  json: object,
  ...tensors: readonly Uint8Array[]
): { readonly body: Uint8Array; readonly headers: Record<string, string> } {
  const head = Buffer.from(JSON.stringify(json));
  return { body: Buffer.concat([head, ...tensors]), headers: { "inference-header-content-length": String(head.byteLength) } };
}

export function bytesOf(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}
