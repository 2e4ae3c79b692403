// Calls servers that never answer, and has nothing left to do: the process is to end by itself.
import { createClient, OpenInferenceClient } from "servable/client";
import { GrpcInferenceClient } from "servable/grpc";

const [silent, stream, grpc] = process.argv.slice(2);
const inputs = { x: { shape: [1], data: Float32Array.of(1) } };
const options = { timeoutMs: 200, retries: 0 };
const codes = await Promise.all(
  [
    () => createClient(silent, options).any({}),
    () => createClient(silent, options).any({}, { timeoutMs: 60_000, signal: AbortSignal.timeout(100) }),
    () => new OpenInferenceClient(silent, options).infer("m", inputs),
    () => new OpenInferenceClient(silent, options).generateStream("m", {}).next(),
    () => new GrpcInferenceClient(grpc, options).infer("m", inputs),
    () => new GrpcInferenceClient(grpc, options).inferStream("m", inputs).next(),
  ].map((call) => call().catch((error) => error.code)),
);
const left = createClient(stream, { timeoutMs: 60_000 }).any({})[Symbol.asyncIterator]();
codes.push((await left.next()).value);
await left.return();
for await (const item of createClient(stream, { timeoutMs: 60_000 }).any({})) codes.push(item);
console.log(codes.join());
