import type { Client, ClientDuplexStream, Metadata } from "@grpc/grpc-js";
import { ServableError, messageOf } from "../../errors.ts";
import { loadGrpcPackages, type GrpcPackages, type Messages } from "../../protocol/grpc/packages.ts";
import { CallClock } from "../call-clock.ts";
import { retryDelay } from "../exchange.ts";
import { onAbort } from "../on-abort.ts";
import { resolveCall, type CallOptions } from "../options.ts";
import { grpcFailure } from "./failure.ts";
import type { ResolvedGrpcClient } from "./options.ts";

/** What the generated code of a message can do. */
export interface MessageType<T, P> {
  encode(message: P): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

/** One method of one message each way. */
export interface UnaryMethod<Q, R> {
  readonly name: string;
  readonly request: (messages: Messages) => MessageType<unknown, Q>;
  readonly response: (messages: Messages) => MessageType<R, never>;
  /** Whether it only reads, so that sending it once more is safe whatever became of it. */
  readonly idempotent?: boolean | undefined;
}

/** HTTP/2's, for each call: with the usual 64 KiB a large tensor waits for its reader hundreds of times. */
const flowControlBytes = 4 * 1024 * 1024;
/** How soon a server is looked for again: by itself grpc-js has calls fail for up to two minutes after one that was away has come back. */
const firstReconnectMs = 100;
const longestReconnectMs = 2000;
const service = "/inference.GRPCInferenceService/";

/** One client's way to its server: opened when it is first needed, and used by all of its calls. */
export class Connection {
  readonly #options: ResolvedGrpcClient;
  #client: Client | undefined;
  #closed = false;

  constructor(options: ResolvedGrpcClient) {
    this.#options = options;
  }

  /** For messages. */
  get origin(): string {
    return `${this.#options.secure ? "grpcs" : "grpc"}://${this.#options.target}`;
  }

  /** Whether what it sends is compressed. */
  get compresses(): boolean {
    return this.#options.compression !== undefined;
  }

  /** Cuts the connection; calls that are open fail. */
  close(): void {
    this.#closed = true;
    this.#client?.close();
  }

  /** A clock for one call. */
  clock(method: string, options: CallOptions): CallClock {
    return new CallClock(resolveCall(this.#options.client, options), `${this.origin}/${method}`);
  }

  /** Makes a call, again where that is safe. */
  async unary<Q, R>(
    method: UnaryMethod<Q, R>,
    message: Q,
    options: CallOptions,
  ): Promise<{ readonly message: R; readonly packages: GrpcPackages }> {
    const clock = this.clock(method.name, options);
    const { retries } = resolveCall(this.#options.client, options);
    try {
      clock.signal.throwIfAborted();
      const packages = await clock.race(loadGrpcPackages());
      const bytes = asBuffer(method.request(packages.messages).encode(message).finish());
      if (bytes.byteLength > largestMessageBytes) throw tooLarge(bytes.byteLength);
      for (let attempt = 0; ; attempt += 1) {
        try {
          const answer = await this.#attempt(packages, method.name, bytes, clock, options);
          clock.close();
          return { message: method.response(packages.messages).decode(answer), packages };
        } catch (thrown) {
          if (clock.error !== undefined) throw clock.error;
          const failure = grpcFailure(thrown, this.origin, options.requestId);
          const delayMs = retryDelay(failure, attempt, Math.random(), method.idempotent);
          if (delayMs === undefined || attempt >= retries || delayMs >= clock.remainingMs) throw failure;
          await clock.sleep(delayMs);
        }
      }
    } catch (thrown) {
      clock.close();
      throw clock.error ?? thrown;
    }
  }

  async #attempt({ grpc }: GrpcPackages, name: string, bytes: Buffer, clock: CallClock, options: CallOptions): Promise<Buffer> {
    const client = this.#open(grpc);
    const metadata = await this.metadata(grpc, clock, options);
    const deadline = Number.isFinite(clock.remainingMs) ? { deadline: Date.now() + clock.remainingMs } : {};
    return new Promise((resolve, reject) => {
      const call = client.makeUnaryRequest<Buffer, Buffer>(service + name, same, same, bytes, metadata, deadline, (error, answer) => {
        forget();
        if (answer !== undefined) resolve(answer);
        else reject(error ?? new ServableError("internal", `${this.origin} answered without a message.`));
      });
      const forget = onAbort(clock.signal, () => call.cancel());
    });
  }

  /** Opens a stream both ways. */
  async stream(
    name: string,
    clock: CallClock,
    options: CallOptions,
  ): Promise<{ readonly call: ClientDuplexStream<Buffer, Buffer>; readonly packages: GrpcPackages }> {
    const packages = await clock.race(loadGrpcPackages());
    const metadata = await this.metadata(packages.grpc, clock, options);
    const call = this.#open(packages.grpc).makeBidiStreamRequest<Buffer, Buffer>(service + name, same, same, metadata);
    clock.onClose(onAbort(clock.signal, () => call.cancel()));
    return { call, packages };
  }

  /** What a call sends besides its messages. */
  async metadata({ Metadata: GrpcMetadata }: GrpcPackages["grpc"], clock: CallClock, options: CallOptions): Promise<Metadata> {
    const { client } = this.#options;
    const metadata = new GrpcMetadata();
    let token: string | undefined;
    try {
      token = typeof client.token === "function" ? await clock.race(Promise.resolve(client.token())) : client.token;
    } catch (thrown) {
      if (clock.error !== undefined) throw clock.error;
      throw new ServableError("unauthenticated", `The client's token function failed: ${messageOf(thrown)}`, { cause: thrown });
    }
    try {
      if (token !== undefined) metadata.set("authorization", `Bearer ${token}`);
      if (options.requestId !== undefined) metadata.set("x-request-id", options.requestId);
      for (const [name, value] of [...Object.entries(client.headers), ...Object.entries(options.headers ?? {})]) metadata.set(name, value);
    } catch (thrown) {
      throw new ServableError("invalid_argument", `A header can't be sent: ${messageOf(thrown)}`, { cause: thrown });
    }
    return metadata;
  }

  #open(grpc: GrpcPackages["grpc"]): Client {
    if (this.#closed) throw new ServableError("invalid_argument", "The client has been closed.");
    if (this.#client !== undefined) return this.#client;
    const { target, secure, tls, compression, maxMessageBytes } = this.#options;
    const pem = (bytes: Uint8Array | undefined): Buffer | null => (bytes === undefined ? null : asBuffer(bytes));
    const credentials = secure
      ? grpc.credentials.createSsl(pem(tls?.ca), pem(tls?.key), pem(tls?.cert))
      : grpc.credentials.createInsecure();
    this.#client = new grpc.Client(target, credentials, {
      "grpc.max_receive_message_length": maxMessageBytes,
      "grpc.max_send_message_length": -1,
      "grpc-node.flow_control_window": flowControlBytes,
      "grpc.initial_reconnect_backoff_ms": firstReconnectMs,
      "grpc.max_reconnect_backoff_ms": longestReconnectMs,
      // Retries are made here, where it is known which are safe.
      "grpc.enable_retries": 0,
      ...(compression === undefined ? {} : { "grpc.default_compression_algorithm": grpc.compressionAlgorithms[compression] }),
    });
    return this.#client;
  }
}

/** No message is larger that protobuf reads. */
const largestMessageBytes = 2 ** 31 - 1;

function tooLarge(bytes: number): ServableError {
  const text = `The request has ${bytes} bytes, and a gRPC message may have ${largestMessageBytes}: send its tensors in several requests.`;
  return new ServableError("payload_too_large", text);
}

const same = (bytes: Buffer): Buffer => bytes;

/** The same bytes as a Buffer, which is what grpc-js takes. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
