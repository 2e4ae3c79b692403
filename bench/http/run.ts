/**
 * Requests per second and latency of an echo service, beside a bare Fastify and a bare node:http server doing the same parse,
 * validation and serialisation. Each server is started, warmed, measured and stopped in turn, for several rounds; the medians count, and
 * the ratios between them, since digits differ from machine to machine.
 *
 * usage: npm run bench:http -- [--rounds 5] [--seconds 5] [--connections 32]
 */
import { parseArgs } from "node:util";
import { median, pinnedServer, type Sample } from "../support/servers.ts";
import { createLoad } from "../support/load.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "5" },
    connections: { type: "string", default: "32" },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const connections = Number(values.connections);

const body = '{"text":"hello from the bench","n":42}';
const servers = [
  { name: "bare node:http", file: "bare-node.ts", environment: {} },
  { name: "bare Fastify", file: "bare-fastify.ts", environment: {} },
  { name: "servable", file: "servable.ts", environment: {} },
  { name: "servable, no request log", file: "servable.ts", environment: { BENCH_LOG: "off" } },
] as const;

const load = await createLoad();
process.stdout.write(
  `load: ${load.name}, ${connections} connections, ${rounds} rounds of ${seconds} s; server on core 0, load on core 1\n`,
);

const samples = new Map<string, Sample[]>(servers.map(({ name }) => [name, []]));
for (let round = 1; round <= rounds; round += 1) {
  for (const { name, file, environment } of servers) {
    await using server = await pinnedServer(new URL(`./servers/${file}`, import.meta.url), environment);
    const url = `${server.url}/echo`;
    await server.check(url, body, body);
    await load.run({ url, body, connections, seconds: Math.max(6, seconds) });
    const sample = await load.run({ url, body, connections, seconds });
    samples.get(name)?.push(sample);
    process.stdout.write(`round ${round}, ${name}: ${Math.round(sample.requestsPerSecond)} requests/s\n`);
  }
}

const rows = servers.map(({ name }) => {
  const list = samples.get(name) ?? [];
  return {
    name,
    requestsPerSecond: median(list.map((sample) => sample.requestsPerSecond)),
    p50Ms: median(list.map((sample) => sample.p50Ms)),
    p99Ms: median(list.map((sample) => sample.p99Ms)),
  };
});
const reference = rows.find(({ name }) => name === "bare Fastify")?.requestsPerSecond ?? Number.NaN;
process.stdout.write("\n| server | requests/s | p50 ms | p99 ms | of bare Fastify |\n| --- | --- | --- | --- | --- |\n");
for (const row of rows) {
  const ratio = (row.requestsPerSecond / reference).toFixed(2);
  process.stdout.write(
    `| ${row.name} | ${Math.round(row.requestsPerSecond)} | ${row.p50Ms.toFixed(2)} | ${row.p99Ms.toFixed(2)} | ${ratio} |\n`,
  );
}
