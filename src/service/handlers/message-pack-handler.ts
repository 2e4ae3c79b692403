import { ServableError } from "../../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../../known-keys.ts";
import type { Payload, RequestHandler, ResponseHandler } from "./handler.ts";
import { checkMessagePack } from "./message-pack-syntax.ts";
import { toPlain } from "./plain-value.ts";

/** What can be set of a {@link MessagePackHandler}. */
export interface MessagePackHandlerOptions {
  /** How many lists and maps may stand inside one another. @default 1000 */
  readonly maxDepth?: number | undefined;
}

const keys = { maxDepth: true } satisfies KeysOf<MessagePackHandlerOptions>;

type Codec = typeof import("@msgpack/msgpack");

// Loaded at first use: a service without MessagePack does not pay for it.
let codec: Codec | undefined;
let loading: Promise<Codec> | undefined;

function load(): Promise<Codec> {
  loading ??= import("@msgpack/msgpack").then((loaded) => (codec = loaded));
  return loading;
}

/**
 * MessagePack (https://msgpack.org): what JSON holds, and bytes, points in time (a Date), NaN and infinities besides.
 *
 * A Uint8Array is written as bytes, any other typed array as a list. What is refused in JSON for safety is refused here, too.
 *
 * @typeParam I - what `call` gets
 * @typeParam O - what `call` gives
 */
export class MessagePackHandler<I = unknown, O = unknown> implements RequestHandler<I, Blob>, ResponseHandler<O, Blob> {
  readonly mediaTypes: readonly string[] = ["application/msgpack", "application/vnd.msgpack", "application/x-msgpack"];
  declare readonly "~clientInput"?: Blob;
  declare readonly "~clientOutput"?: Blob;
  readonly #maxDepth: number;

  /** @throws ServableError `invalid_config` */
  constructor(options: MessagePackHandlerOptions = {}) {
    refuseUnknownKeys(options, keys, "MessagePackHandler");
    this.#maxDepth = options.maxDepth ?? 1000;
  }

  /**
   * Reads one value. Bytes in it are views on the body.
   *
   * @throws ServableError `invalid_request` that says what is wrong with the bytes
   */
  deserialize({ body }: Payload): I | Promise<I> {
    if (body.length === 0) throw new ServableError("invalid_request", "The body is empty; send a MessagePack value.");
    const { hasPrototypeKey } = checkMessagePack(body, this.#maxDepth);
    const decode = (loaded: Codec): I => decodeChecked<I>(loaded, body, hasPrototypeKey);
    return codec === undefined ? load().then(decode) : decode(codec);
  }

  /**
   * Writes one value; `undefined` is written as nil.
   *
   * @throws ServableError `serialization_failed` that names the field which can't be written
   */
  serialize(value: O): Uint8Array | Promise<Uint8Array> {
    const encode = (loaded: Codec): Uint8Array => encodeValue(loaded, value, this.#maxDepth);
    return codec === undefined ? load().then(encode) : encode(codec);
  }
}

function decodeChecked<I>(loaded: Codec, body: Uint8Array, hasPrototypeKey: boolean): I {
  let value: unknown;
  try {
    value = loaded.decode(body);
  } catch (error) {
    const message = "The MessagePack body can't be read: a map has a key that is neither a text nor a number, or a timestamp is malformed.";
    throw new ServableError("invalid_request", message, { cause: error });
  }
  if (hasPrototypeKey && changesPrototype(value)) {
    const message = "The MessagePack body has the key constructor.prototype, which changes an object's prototype; leave it out.";
    throw new ServableError("invalid_request", message);
  }
  // The wire can't tell whether it is an I: the input schema does.
  return value as I;
}

/** Whether an object has `constructor.prototype` as data of its own. */
function changesPrototype(root: unknown): boolean {
  const pending: unknown[] = [root];
  while (pending.length > 0) {
    const value = pending.pop();
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) continue;
    if (Object.hasOwn(value, "constructor")) {
      const own: unknown = Reflect.get(value, "constructor");
      if (typeof own === "object" && own !== null && Object.hasOwn(own, "prototype")) return true;
    }
    for (const item of Object.values(value)) pending.push(item);
  }
  return false;
}

function encodeValue(loaded: Codec, value: unknown, maxDepth: number): Uint8Array {
  try {
    const plain = toPlain(value, { format: "MessagePack", bytes: true, dates: true, nonFinite: true });
    // The encoder counts the innermost value as a level of its own.
    return loaded.encode(plain, { ignoreUndefined: true, maxDepth: maxDepth + 1 });
  } catch (error) {
    if (ServableError.isInstance(error)) throw error;
    const message = `The answer can't be written as MessagePack: it nests more than ${maxDepth} deep, or holds a function, a symbol, or something that threw.`;
    throw new ServableError("serialization_failed", message, { cause: error });
  }
}
