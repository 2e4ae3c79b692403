import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { createSecureContext } from "node:tls";
import { ServableError, messageOf } from "../../errors.ts";

/** Whether an address can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** Files of a server's certificate and key, PEM. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Clients must show a certificate that one of these authorities signed. @default none need to */
  readonly clientCaFile?: string | undefined;
}

/** What a listener is given of them. */
export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly clientCa: Buffer | undefined;
}

/** Reads and checks certificate and key. @throws ServableError `invalid_config` */
export function readTls({ certFile, keyFile, clientCaFile }: TlsFiles): TlsMaterial {
  const material = {
    cert: read(certFile, "certificate"),
    key: read(keyFile, "key"),
    clientCa: clientCaFile === undefined ? undefined : read(clientCaFile, "certificate of the clients' authority"),
  };
  try {
    createSecureContext({ cert: material.cert, key: material.key, ...(material.clientCa && { ca: material.clientCa }) });
  } catch (thrown) {
    throw new ServableError("invalid_config", `The TLS certificate ${certFile} and key ${keyFile} can't be used: ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
  return material;
}

function read(file: string, what: string): Buffer {
  try {
    return readFileSync(file);
  } catch (thrown) {
    throw new ServableError("invalid_config", `The TLS ${what} ${file} can't be read: ${messageOf(thrown)}`, { cause: thrown });
  }
}

/** Why an address could not be listened on. grpc-js keeps the system's code only in its text. */
export function listenFailure(thrown: unknown, host: string, port: number): ServableError {
  const code = /\bE[A-Z]{4,}\b/.exec(messageOf(thrown))?.[0];
  switch (code) {
    case "EADDRINUSE":
      return refused(`Port ${port} on ${host} is taken by another program. Stop it, or choose another port.`, thrown);
    case "EACCES":
      return refused(`Port ${port} on ${host} may not be used by this user. Choose one above 1023.`, thrown);
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return refused(`This machine has no address ${host}. Choose another.`, thrown);
    default:
      return refused(`${host}:${port} can't be listened on: ${messageOf(thrown)}`, thrown);
  }
}

function refused(message: string, cause: unknown): ServableError {
  return new ServableError("address_in_use", message, { cause });
}
