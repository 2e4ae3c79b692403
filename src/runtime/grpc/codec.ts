import { InferenceError } from "../../protocol/inference-error.ts";

/** What the generated code of a message can do. */
export interface MessageType<T, P> {
  readonly name: string;
  encode(message: P): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** A message of bytes. @throws InferenceError `INTERNAL`, as gRPC servers do where bytes are no such message */
export function readMessage<T, P>(type: MessageType<T, P>, bytes: Uint8Array): T {
  try {
    return type.decode(bytes);
  } catch (thrown) {
    throw new InferenceError("INTERNAL", `the request is not a valid message of type '${type.name}'`, { cause: thrown });
  }
}

/** A message as bytes. */
export function writeMessage<T, P>(type: MessageType<T, P>, message: P): Buffer {
  return toBuffer(type.encode(message).finish());
}

/** The same bytes as a Buffer. */
export function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
