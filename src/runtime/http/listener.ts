import type { Server } from "node:http";
import { Server as NetServer, type AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import { listenFailure, type AddressFlags, type TlsFiles } from "../address.ts";

/** Where a listener listens. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
  readonly tls?: TlsFiles | undefined;
  /** @default --host and --port */
  readonly flags?: AddressFlags | undefined;
}

const usualFlags: AddressFlags = { host: "--host", port: "--port" };

/** Listens. @returns the URL @throws ServableError `address_in_use` */
export async function listen(app: FastifyInstance, { host, port, tls, flags = usualFlags }: ListenAddress): Promise<string> {
  try {
    await app.listen({ host, port });
  } catch (thrown) {
    throw listenFailure(thrown, host, port, flags) ?? thrown;
  }
  const { port: bound } = app.server.address() as AddressInfo;
  return `${tls === undefined ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${bound}`;
}

/** Stops listening, and no more: Node's own close() of an HTTP server cuts off answers that are written and not yet sent. */
export function closeListener(server: Server): void {
  if (server.listening) NetServer.prototype.close.call(server);
}
