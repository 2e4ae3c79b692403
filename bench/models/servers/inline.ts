/**
 * The least that can be between one client and a model: a bare `session.run` behind bare Fastify, on the same thread, for whoever never
 * has two requests at a time.
 *
 * usage: node inline.js PORT MODEL.onnx
 */
import { fastify } from "fastify";
import { InferenceSession, Tensor } from "onnxruntime-node";

const [, , port, model = ""] = process.argv;
const session = await InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1 });
const numbers = (length: number): object => ({ type: "array", items: { type: "number" }, minItems: length, maxItems: length });
const objectOf = (name: string, length: number): object => ({
  type: "object",
  required: [name],
  properties: { [name]: numbers(length) },
});

const app = fastify({ logger: false });
app.post<{ Body: { x: number[] } }>(
  "/predict",
  { schema: { body: objectOf("x", 64), response: { 200: objectOf("y", 10) } } },
  async (request) => {
    const { y } = await session.run({ x: new Tensor("float32", Float32Array.from(request.body.x), [1, 64]) });
    return { y: Array.from(y?.data as Float32Array) };
  },
);
await app.listen({ host: "127.0.0.1", port: Number(port) });
