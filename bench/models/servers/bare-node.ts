/**
 * The limit of HTTP: node:http alone, which reads the row and answers ten numbers without any model.
 *
 * usage: node bare-node.js PORT
 */
import { createServer } from "node:http";

const answer = { y: Array.from({ length: 10 }, (_, index) => Math.fround(Math.sin(index))) };

createServer((message, response) => {
  const parts: Buffer[] = [];
  message.on("data", (part: Buffer) => parts.push(part));
  message.on("end", () => {
    const { x } = JSON.parse(Buffer.concat(parts).toString()) as { readonly x: readonly number[] };
    const body = JSON.stringify(answer);
    response.writeHead(x.length === 64 ? 200 : 400, { "content-type": "application/json", "content-length": body.length }).end(body);
  });
}).listen(Number(process.argv[2]), "127.0.0.1");
