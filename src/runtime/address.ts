import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { createSecureContext } from "node:tls";
import { ServableError, messageOf } from "../errors.ts";
import type { KeysOf } from "../known-keys.ts";

/** A certificate and its key, both PEM files. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** As {@link TlsFiles}, for a server that may ask its clients for a certificate. */
export interface MutualTlsFiles extends TlsFiles {
  /** Clients must show a certificate that one of these authorities signed. @default none need to */
  readonly clientCaFile?: string | undefined;
}

/** The keys of {@link TlsFiles}. */
export const tlsKeys: KeysOf<TlsFiles> = { certFile: "needed", keyFile: "needed" };

/** The keys of {@link MutualTlsFiles}. */
export const mutualTlsKeys: KeysOf<MutualTlsFiles> = { ...tlsKeys, clientCaFile: true };

/** What a listener is given of them, PEM. */
export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly clientCa: Buffer | undefined;
}

/** The flags that change an address, for what is said when it can't be had. */
export interface AddressFlags {
  readonly host: string;
  readonly port: string;
}

/** Whether an address can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** Reads a certificate and its key, and sees whether they fit. @throws ServableError `invalid_config` */
export function readTls({ certFile, keyFile, clientCaFile }: MutualTlsFiles): TlsMaterial {
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

/** Why an address could not be listened on; undefined where that is not the reason. */
export function listenFailure(thrown: unknown, host: string, port: number, flags?: AddressFlags): ServableError | undefined {
  const failure = (message: string): ServableError => new ServableError("address_in_use", message, { cause: thrown });
  // grpc-js keeps the system's code only in its text.
  const code = thrown instanceof Error && "code" in thrown ? thrown.code : /\bE[A-Z]{4,}\b/.exec(messageOf(thrown))?.[0];
  const withPort = flags === undefined ? "" : ` with ${flags.port}`;
  switch (code) {
    case "EADDRINUSE":
      return failure(`Port ${port} on ${host} is taken by another program. Stop it, or choose another port${withPort}.`);
    case "EACCES":
      return failure(`Port ${port} on ${host} may not be used by this user. Choose one above 1023${withPort}.`);
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return failure(`This machine has no address ${host}. Choose another${flags === undefined ? "" : ` with ${flags.host}`}.`);
    default:
      return undefined;
  }
}
