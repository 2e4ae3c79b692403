import assert from "node:assert/strict";
import { ServableError, messageOf, type ErrorCode } from "../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../known-keys.ts";
import type { HandlerContext, Payload, RequestHandler, ResponseHandler } from "../service/handlers/handler.ts";
import { isConcrete, isEssence } from "../service/handlers/media-type.ts";
import type { ContractCase } from "./contract.ts";

/** A body that a handler reads. */
export interface HandlerExample {
  /** A text is sent as UTF-8. */
  readonly body: Uint8Array | string;
  /** @default the handler's main type */
  readonly contentType?: string | undefined;
}

/** What the contract of handlers needs to try a request handler, a response handler, or a pair of them. */
export interface HandlerContractOptions<I, O> {
  /** The handler that reads, if there is one. */
  readonly request?: RequestHandler<I, unknown> | undefined;
  /** The handler that writes, if there is one. */
  readonly response?: ResponseHandler<O, unknown> | undefined;
  /** Bodies that `request` reads; at least one, if it is given. */
  readonly bodies?: readonly HandlerExample[] | undefined;
  /** Values that `response` writes; at least one, if it is given. */
  readonly values?: readonly O[] | undefined;
  /**
   * What must hold between a value and what is read after it was written as a media type: throw where it does not. `false`: the
   * two are no pair, and nothing comes back. @default they are deeply equal
   */
  readonly roundTrip?: ((read: I, written: O, mediaType: string) => void) | false | undefined;
}

const keys = {
  request: true,
  response: true,
  bodies: [{ body: "needed", contentType: true } satisfies KeysOf<HandlerExample>],
  values: true,
  roundTrip: true,
} satisfies KeysOf<HandlerContractOptions<unknown, unknown>>;

/** What a handler may say of a body: it is the client's fault, or something is not installed. Never its own failure. */
const bodyCodes: readonly ErrorCode[] = ["invalid_request", "unsupported_media_type", "payload_too_large", "missing_dependency"];
/** A handler that has not answered in this time hangs. Far more than any needs, so that a slow machine fails nothing. */
const hangMs = 20_000;

/**
 * What every `RequestHandler` and `ResponseHandler` must do, as cases for any test runner.
 *
 * @example
 * ```ts
 * import { test } from "vitest";
 * import { TextHandler } from "servable";
 * import { handlerContract } from "servable/testing";
 *
 * const handler = new TextHandler();
 * for (const { name, run, skip } of handlerContract({ request: handler, response: handler, bodies: [{ body: "hi" }], values: ["hi"] })) {
 *   test.skipIf(skip !== undefined)(name, run);
 * }
 * ```
 */
export function handlerContract<I, O>(options: HandlerContractOptions<I, O>): readonly ContractCase[] {
  refuseUnknownKeys(options, keys, "handlerContract");
  const { request, response } = options;
  const values = options.values ?? [];
  const payloads = (options.bodies ?? []).map((example) => payloadOf(example, request));
  const needsRequest = request === undefined ? { skip: "there is no request handler" } : {};
  const needsResponse = response === undefined ? { skip: "there is no response handler" } : {};
  const needsPair = options.roundTrip === false ? { skip: "the two are no pair" } : { ...needsResponse, ...needsRequest };
  const written = (response?.mediaTypes ?? []).filter(isConcrete);

  const readAsItIs = async (payload: Payload): Promise<I> => {
    assert.ok(request, "there is no request handler");
    return inTime(request.deserialize(payload, contextFor("")));
  };
  // A copy: a handler that spoils its input is to fail the one case that says so.
  const read = ({ contentType, body }: Payload): Promise<I> => readAsItIs({ contentType, body: new Uint8Array(body) });
  const write = async (value: O, mediaType: string): Promise<Uint8Array> => {
    assert.ok(response, "there is no response handler");
    const body = await inTime(response.serialize(value, contextFor(mediaType)));
    assert.ok(typeof body === "string" || body instanceof Uint8Array, `serialize gave neither a text nor bytes for ${mediaType}`);
    return typeof body === "string" ? new TextEncoder().encode(body) : body;
  };
  /** A body that may be wrong is read, or refused as the client's fault. */
  const tryRead = async (payload: Payload, what: string): Promise<void> => {
    try {
      await read(payload);
    } catch (error) {
      assert.ok(error instanceof Error || ServableError.isInstance(error), `${what}: it threw ${messageOf(error)}, which is no Error`);
      assert.notEqual(error.message, "", `${what}: the error has no message`);
      assert.notEqual(error.name, "AssertionError", error.message);
      if (ServableError.isInstance(error)) {
        assert.ok(
          bodyCodes.includes(error.code),
          `${what}: it is refused with '${error.code}', which blames somebody else: ${error.message}`,
        );
      }
    }
  };

  return [
    {
      name: "names well-formed media types in lower case, each once",
      run: async () => {
        for (const handler of [request, response]) if (handler !== undefined) checkMediaTypes(handler.mediaTypes);
        if (response !== undefined) assert.ok(written.length > 0, "it writes no media type that can be asked for, only patterns");
        return Promise.resolve();
      },
    },
    {
      name: "reads its examples, each to the same value twice",
      ...needsRequest,
      run: async () => {
        assert.ok(payloads.length > 0, "give at least one body");
        for (const payload of payloads) assert.deepEqual(await read(payload), await read(payload));
      },
    },
    {
      name: "writes its examples as every type that can be asked for",
      ...needsResponse,
      run: async () => {
        assert.ok(values.length > 0, "give at least one value");
        for (const mediaType of written) for (const value of values) await write(value, mediaType);
      },
    },
    {
      name: "reads back what it wrote",
      ...needsPair,
      run: async () => {
        const compare =
          options.roundTrip === false ? undefined : (options.roundTrip ?? ((back: I, value: O) => assert.deepEqual(back, value)));
        for (const mediaType of written) {
          for (const value of values)
            compare?.(await read({ contentType: mediaType, body: await write(value, mediaType) }), value, mediaType);
        }
      },
    },
    {
      name: "reads a body that lies inside a larger buffer",
      ...needsRequest,
      run: async () => {
        for (const payload of payloads) {
          for (const before of [1, 7, 64]) {
            assert.deepEqual(
              await readAsItIs({ ...payload, body: insideLarger(payload.body, before) }),
              await read(payload),
              `at offset ${before}`,
            );
          }
        }
      },
    },
    {
      name: "does not change the body that it reads",
      ...needsRequest,
      run: async () => {
        for (const payload of payloads) {
          const body = insideLarger(payload.body, 16);
          const copy = new Uint8Array(body.buffer.slice(0));
          await readAsItIs({ ...payload, body });
          assert.deepEqual(new Uint8Array(body.buffer), copy);
        }
      },
    },
    {
      name: "does not change the value that it writes",
      ...needsResponse,
      run: async () => {
        for (const mediaType of written) {
          for (const value of values) {
            const copy = structuredClone(value);
            await write(value, mediaType);
            assert.deepEqual(structuredClone(value), copy);
          }
        }
      },
    },
    {
      name: "refuses or reads an empty body, and fails on none",
      ...needsRequest,
      run: async () => {
        for (const { contentType } of payloads) await tryRead({ contentType, body: new Uint8Array(0) }, "an empty body");
      },
    },
    {
      name: "refuses or reads a body without a content type, and fails on none",
      ...needsRequest,
      run: async () => {
        for (const { body } of payloads) await tryRead({ contentType: undefined, body }, "a body without a content type");
      },
    },
    {
      name: "refuses or reads truncated bodies, and fails on none",
      ...needsRequest,
      run: async () => {
        for (const { contentType, body } of payloads) {
          for (const length of cuts(body.length)) {
            await tryRead({ contentType, body: body.slice(0, length) }, `an example cut after ${length} of ${body.length} bytes`);
          }
        }
      },
    },
    {
      name: "refuses or reads garbage, and fails on none",
      ...needsRequest,
      run: async () => {
        const random = randomBytes(1);
        for (const payload of payloads) {
          for (let round = 0; round < 100; round++) {
            const { contentType } = payload;
            await tryRead({ contentType, body: Uint8Array.from({ length: round }, random) }, `${round} random bytes (round ${round})`);
            const body = new Uint8Array(payload.body);
            for (let flips = 0; flips <= round % 4 && body.length > 0; flips++) {
              body[(random() * 65536 + random() * 256 + random()) % body.length] = random();
            }
            await tryRead({ contentType, body }, `a damaged example (round ${round})`);
          }
        }
      },
    },
    {
      name: "leaves the prototypes of all objects alone",
      ...needsRequest,
      run: async () => {
        const before = Reflect.ownKeys(Object.prototype);
        const attack = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}';
        for (const { contentType } of payloads) await tryRead({ contentType, body: new TextEncoder().encode(attack) }, "a polluting body");
        assert.deepEqual(Reflect.ownKeys(Object.prototype), before);
      },
    },
    {
      name: "works on several requests at the same time",
      run: async () => {
        const alone = await Promise.all(payloads.map(read));
        const together = await Promise.all(Array.from({ length: 16 }, () => Promise.all(payloads.map(read))));
        for (const all of together) assert.deepEqual(all, alone);
        for (const mediaType of written) {
          const one = await Promise.all(values.map((value) => write(value, mediaType)));
          const many = await Promise.all(Array.from({ length: 16 }, () => Promise.all(values.map((value) => write(value, mediaType)))));
          for (const all of many) assert.deepEqual(all.map(plainBytes), one.map(plainBytes));
        }
      },
    },
  ];
}

function contextFor(mediaType: string): HandlerContext {
  return { signal: new AbortController().signal, mediaType };
}

function payloadOf({ body, contentType }: HandlerExample, request: RequestHandler | undefined): Payload {
  return {
    contentType: contentType ?? request?.mediaTypes[0],
    body: typeof body === "string" ? new TextEncoder().encode(body) : body,
  };
}

function checkMediaTypes(mediaTypes: readonly string[]): void {
  assert.ok(mediaTypes.length > 0, "it names no media type");
  for (const mediaType of mediaTypes) {
    assert.equal(mediaType, mediaType.toLowerCase(), "media types are written in lower case");
    assert.ok(isEssence(mediaType), `'${mediaType}' is not type/subtype; parameters don't belong here`);
  }
  assert.equal(new Set(mediaTypes).size, mediaTypes.length, "a media type is named twice");
}

async function inTime<T>(work: T | Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new assert.AssertionError({ message: `it has not answered after ${hangMs} ms` })), hangMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The same bytes as a view, with others before and after them. */
function insideLarger(body: Uint8Array, before: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(before + body.length + 33).fill(0x5b);
  larger.set(body, before);
  return larger.subarray(before, before + body.length);
}

/** Up to 40 lengths at which to cut a body, those near its ends among them. */
function cuts(length: number): readonly number[] {
  const near = [1, 2, 3, 4, 8, 16, length - 16, length - 8, length - 4, length - 3, length - 2, length - 1];
  const spread = Array.from({ length: 28 }, (_, index) => Math.floor((length * (index + 1)) / 29));
  return [...new Set([...near, ...spread])].filter((cut) => cut > 0 && cut < length);
}

/** Bytes that look random and are the same each time (a linear congruential generator), so that a failure can be repeated. */
function randomBytes(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  };
}

function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}
