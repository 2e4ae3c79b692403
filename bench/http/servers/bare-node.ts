/** The limit: node:http alone, doing the same parse, validation and serialisation. */
import { createServer } from "node:http";
import { z } from "zod";

const schema = z.object({ text: z.string(), n: z.number() });

const server = createServer((message, response) => {
  if (message.method !== "POST" || message.url !== "/echo") {
    response.writeHead(404).end();
    return;
  }
  const parts: Buffer[] = [];
  message.on("data", (part: Buffer) => parts.push(part));
  message.on("end", () => {
    const input = schema.safeParse(JSON.parse(Buffer.concat(parts).toString()));
    if (!input.success) {
      response.writeHead(400).end();
      return;
    }
    const output = schema.parse({ text: input.data.text, n: input.data.n });
    const body = JSON.stringify(output);
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) }).end(body);
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1");
