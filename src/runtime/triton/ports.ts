import { createServer, type Server } from "node:net";
import { ServableError, messageOf } from "../../errors.ts";
import type { ResolvedTritonOptions } from "./options.ts";

/** The ports of one server. */
export type ChosenPorts = ResolvedTritonOptions["ports"];

/**
 * Sees that ports can be had, before a server loads its models for minutes to find out that they can't, and chooses free ones for 0.
 *
 * @throws ServableError `address_in_use`
 */
export async function choosePorts(host: string, wanted: ChosenPorts): Promise<ChosenPorts> {
  const held: Server[] = [];
  try {
    // All are held until the last one is chosen, so that no two get the same.
    const take = async (what: string, port: number): Promise<number> => {
      const server = await listen(host, port, what);
      held.push(server);
      const address = server.address();
      return typeof address === "object" && address !== null ? address.port : port;
    };
    const http = await take("HTTP", wanted.http);
    const grpc = await take("gRPC", wanted.grpc);
    return { http, grpc, metrics: await take("metrics", wanted.metrics) };
  } finally {
    await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

function listen(host: string, port: number, what: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (thrown) => {
      reject(listenFailure(thrown, host, port, what));
    });
    server.listen({ host, port, exclusive: true }, () => {
      resolve(server);
    });
  });
}

function listenFailure(thrown: Error, host: string, port: number, what: string): ServableError {
  const taken = "code" in thrown && thrown.code === "EADDRINUSE";
  const why = taken ? "is taken by another program. Stop it, or choose another port." : `can't be listened on: ${messageOf(thrown)}`;
  return new ServableError("address_in_use", `Port ${port} on ${host}, for ${what}, ${why}`, { cause: thrown });
}
