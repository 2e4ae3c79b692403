import { ServableError } from "../../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import { ownBytes } from "./bytes.ts";
import type { Payload, RequestHandler, ResponseHandler } from "./handler.ts";

/** What can be set of a {@link BytesHandler}. */
export interface BytesHandlerOptions {
  /** What it reads and writes; patterns such as `audio/*` are only read. @default ["application/octet-stream"] */
  readonly mediaTypes?: readonly string[] | undefined;
}

const keys = { mediaTypes: true } satisfies KeysOf<BytesHandlerOptions>;

/** Bytes as they are: the body is the value. An empty body is no bytes. */
export class BytesHandler implements RequestHandler<Uint8Array, Uint8Array | ArrayBuffer | Blob>, ResponseHandler<Uint8Array, Uint8Array> {
  readonly mediaTypes: readonly string[];
  declare readonly "~clientInput"?: Uint8Array | ArrayBuffer | Blob;
  declare readonly "~clientOutput"?: Uint8Array;

  /** @throws ServableError `invalid_config` */
  constructor(options: BytesHandlerOptions = {}) {
    refuseUnknownKeys(options, keys, "BytesHandler");
    this.mediaTypes = options.mediaTypes ?? ["application/octet-stream"];
  }

  /** Gives the body; a service may keep it. */
  deserialize({ body }: Payload): Uint8Array {
    return ownBytes(body);
  }

  /**
   * Gives the bytes.
   *
   * @throws ServableError `serialization_failed` for anything but a Uint8Array
   */
  serialize(value: Uint8Array): Uint8Array {
    // The types say so, but plain JavaScript calls this, too.
    if ((value as unknown) instanceof Uint8Array) return value;
    throw new ServableError("serialization_failed", "The service must give a Uint8Array to be written as bytes.");
  }
}
