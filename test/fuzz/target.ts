import type { Agent } from "node:http";
import type { Random } from "./random.ts";
import type { GrpcLink } from "./grpc-link.ts";
import type { FuzzServer } from "./server.ts";

/** What cases are run against. */
export interface Target {
  readonly server: FuzzServer;
  readonly agent: Agent;
  readonly grpc: GrpcLink;
  /** Names of models that nobody else uses meanwhile; given back when a case is done. */
  readonly freeNames: string[];
}

/** One case; it throws what is wrong. */
export type FuzzCase = (random: Random, target: Target) => Promise<void>;

/** Longest time that anything may go without an answer. */
export const patienceMs = 20_000;

/** What is wrong with an answer. */
export class Wrong extends Error {}

/** Whatever is thrown where something takes too long. */
export async function within<T>(promise: Promise<T>, what: string, ms: number = patienceMs): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Wrong(`${what}: nothing came within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Bytes as a person can read them, not too many. */
export function shown(bytes: Uint8Array): string {
  const text = JSON.stringify(Buffer.from(bytes.subarray(0, 400)).toString("latin1"));
  return bytes.length > 400 ? `${text}… (${bytes.length} bytes)` : text;
}

/** Sees that a text for clients tells nothing of the inside. */
export function checkText(text: string, server: FuzzServer): void {
  const secret = server.secrets.find((one) => text.includes(one));
  if (secret !== undefined) throw new Wrong(`the answer tells of '${secret}': ${text.slice(0, 2_000)}`);
  if (/\n\s+at .+[:)]/.test(text)) throw new Wrong(`the answer has a stack: ${text.slice(0, 2_000)}`);
  if (/Something went wrong in the server|internal error: the server's log/.test(text)) {
    throw new Wrong(`nobody had foreseen it: ${text}\n${server.story}`);
  }
}
