import { createServer, type Server } from "node:net";
import { ServableError } from "../../errors.ts";
import { listenFailure } from "../address.ts";
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
    const take = async (port: number): Promise<number> => {
      const server = await listen(host, port);
      held.push(server);
      const address = server.address();
      return typeof address === "object" && address !== null ? address.port : port;
    };
    const http = await take(wanted.http);
    const grpc = await take(wanted.grpc);
    return { http, grpc, metrics: await take(wanted.metrics) };
  } finally {
    await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

function listen(host: string, port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (thrown) => {
      const failure = listenFailure(thrown, host, port);
      reject(failure ?? new ServableError("address_in_use", `${host}:${port} can't be listened on: ${thrown.message}`, { cause: thrown }));
    });
    server.listen({ host, port, exclusive: true }, () => {
      resolve(server);
    });
  });
}
