import { promisify } from "node:util";
import { deflate, gzip } from "node:zlib";
import type { Metadata } from "@grpc/grpc-js";
import type { GrpcJs } from "../../protocol/grpc/packages.ts";
import type { ResponseCompression } from "./options.ts";

const compressors = { gzip: promisify(gzip), deflate: promisify(deflate) };

/** Smaller messages gain nothing. */
const leastBytes = 1_024;

/** Compresses messages that leave, which grpc-js itself does for clients only. */
export class Compression {
  readonly #algorithm: ResponseCompression;
  readonly #grpc: GrpcJs;

  constructor(grpc: GrpcJs, algorithm: ResponseCompression) {
    this.#grpc = grpc;
    this.#algorithm = algorithm;
  }

  /** Whether any message is compressed. */
  get isOn(): boolean {
    return this.#algorithm !== "none";
  }

  /** What a call sends first where its messages may be compressed. */
  get metadata(): Metadata | undefined {
    if (!this.isOn) return undefined;
    const metadata = new this.#grpc.Metadata();
    metadata.set("grpc-encoding", this.#algorithm);
    return metadata;
  }

  /** A message as it goes out. */
  compress(message: Buffer): Buffer | Promise<Buffer> {
    if (this.#algorithm === "none" || message.byteLength < leastBytes) return message;
    return compressors[this.#algorithm](message).then(flagged);
  }
}

/**
 * grpc-js copies a message behind the five bytes that say how long it is and whether it is compressed, and always says that it is
 * not. So that copy says that it is.
 */
function flagged(compressed: Buffer): Buffer {
  const copy = compressed.copy.bind(compressed);
  return Object.assign(compressed, {
    copy(target: Uint8Array, targetStart = 0, sourceStart = 0, sourceEnd = compressed.byteLength): number {
      if (targetStart === frameHeadBytes) target[0] = 1;
      return copy(target, targetStart, sourceStart, sourceEnd);
    },
  });
}

const frameHeadBytes = 5;
