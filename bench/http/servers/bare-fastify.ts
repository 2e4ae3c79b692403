/** What a good engineer writes: Fastify alone, doing the same parse, validation and serialisation, with no log and no metrics. */
import { fastify } from "fastify";
import { z } from "zod";

const schema = z.object({ text: z.string(), n: z.number() });
const app = fastify({ logger: false });

app.post("/echo", (request, reply) => {
  const input = schema.safeParse(request.body);
  if (!input.success) return reply.code(400).send({ error: "invalid" });
  return schema.parse({ text: input.data.text, n: input.data.n });
});
await app.listen({ host: "127.0.0.1", port: Number(process.argv[2]) });
