import { readFileSync } from "node:fs";
import type { Server } from "node:http";
import { Server as NetServer, isIP, type AddressInfo } from "node:net";
import { createSecureContext } from "node:tls";
import type { FastifyInstance } from "fastify";
import { ServableError, messageOf } from "../../errors.ts";
import type { TlsMaterial } from "./app.ts";

/** A certificate and its key, both PEM files. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** The flags that change an address, for what is said when it can't be had. */
export interface AddressFlags {
  readonly host: string;
  readonly port: string;
}

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
    throw listenFailure(thrown, host, port, flags);
  }
  const { port: bound } = app.server.address() as AddressInfo;
  return `${tls === undefined ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${bound}`;
}

/** Stops listening, and no more: Node's own close() of an HTTP server cuts off answers that are written and not yet sent. */
export function closeListener(server: Server): void {
  if (server.listening) NetServer.prototype.close.call(server);
}

/** Whether an address can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** Reads a certificate and its key, and sees whether they fit. @throws ServableError `invalid_config` */
export function readTls({ certFile, keyFile }: TlsFiles): TlsMaterial {
  const read = (file: string, what: string): Buffer => {
    try {
      return readFileSync(file);
    } catch (thrown) {
      throw new ServableError("invalid_config", `The TLS ${what} ${file} can't be read: ${messageOf(thrown)}`, { cause: thrown });
    }
  };
  const material = { cert: read(certFile, "certificate"), key: read(keyFile, "key") };
  try {
    createSecureContext(material);
  } catch (thrown) {
    throw new ServableError("invalid_config", `The TLS certificate ${certFile} and key ${keyFile} can't be used: ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
  return material;
}

function listenFailure(thrown: unknown, host: string, port: number, flags: AddressFlags): unknown {
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
  const failure = (message: string): ServableError => new ServableError("address_in_use", message, { cause: thrown });
  switch (code) {
    case "EADDRINUSE":
      return failure(`Port ${port} on ${host} is taken by another program. Stop it, or choose another port with ${flags.port}.`);
    case "EACCES":
      return failure(`Port ${port} on ${host} may not be used by this user. Choose one above 1023 with ${flags.port}.`);
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return failure(`This machine has no address ${host}. Choose another with ${flags.host}.`);
    default:
      return thrown;
  }
}
