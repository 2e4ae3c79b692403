import { Client, Metadata, credentials, status, type ClientDuplexStream } from "@grpc/grpc-js";
import type { FuzzServer } from "./server.ts";
import { checkText, patienceMs, shown, within, Wrong } from "./target.ts";

/** How a call ended. */
export interface GrpcAnswer {
  readonly code: status;
  readonly details: string;
  readonly message: Buffer | undefined;
}

/** Statuses that Triton's map to, and those that grpc-js itself gives. DEADLINE_EXCEEDED is none: nothing here may take that long. */
const codes: ReadonlySet<status> = new Set([
  ...[status.OK, status.CANCELLED, status.UNKNOWN, status.INVALID_ARGUMENT, status.NOT_FOUND, status.ALREADY_EXISTS],
  ...[status.RESOURCE_EXHAUSTED, status.UNIMPLEMENTED, status.INTERNAL, status.UNAVAILABLE],
]);

const same = (bytes: Buffer): Buffer => bytes;

/** A client that sends bytes as messages, whatever they are. */
export class GrpcLink {
  readonly #clients: readonly Client[];
  readonly #server: FuzzServer;
  #next = 0;

  constructor(server: FuzzServer, connections: number) {
    this.#server = server;
    this.#clients = Array.from({ length: connections }, () => this.open());
  }

  /** One more connection, for who will break it. */
  open(): Client {
    const options = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1, "grpc.use_local_subchannel_pool": 1 };
    return new Client(`127.0.0.1:${this.#server.grpcPort}`, credentials.createInsecure(), options);
  }

  #client(): Client {
    return this.#clients[this.#next++ % this.#clients.length]!;
  }

  /** A call of one message each way; it sees that the answer is one that may be. */
  async call(method: string, message: Buffer, metadata: Metadata = new Metadata(), compression = 0): Promise<GrpcAnswer> {
    const path = method.startsWith("/") ? method : `/inference.GRPCInferenceService/${method}`;
    if (compression !== 0) metadata.set("grpc-internal-encoding-request", compression === 1 ? "deflate" : "gzip");
    const answer = new Promise<GrpcAnswer>((resolve) => {
      let reply: Buffer | undefined;
      const call = this.#client().makeUnaryRequest(
        path,
        same,
        same,
        message,
        metadata,
        { deadline: Date.now() + patienceMs },
        (_error, value) => {
          reply = value;
        },
      );
      // The callback comes after the status.
      call.on("status", ({ code, details }) => setImmediate(() => resolve({ code, details, message: reply })));
    });
    try {
      const { code, details, message: reply } = await within(answer, method, patienceMs + 5_000);
      checkStatus(code, details, this.#server);
      return { code, details, message: reply };
    } catch (thrown) {
      throw new Wrong(`${(thrown as Error).message}\n  called: ${path}\n  message: ${shown(message)}`, { cause: thrown });
    }
  }

  /** A stream of messages each way, on a connection of its own. */
  stream(client: Client, metadata: Metadata = new Metadata()): ClientDuplexStream<Buffer, Buffer> {
    const call = client.makeBidiStreamRequest("/inference.GRPCInferenceService/ModelStreamInfer", same, same, metadata, {
      deadline: Date.now() + patienceMs,
    });
    call.on("error", () => undefined);
    return call;
  }

  /** @throws Wrong */
  check(code: status, details: string): void {
    checkStatus(code, details, this.#server);
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }
}

function checkStatus(code: status, details: string, server: FuzzServer): void {
  if (!codes.has(code)) throw new Wrong(`status ${code}, which is not in the contract: ${details}`);
  if (/Connection dropped|ECONNRESET|RST_STREAM|No connection established/.test(details))
    throw new Wrong(`the connection broke: ${details}`);
  if (code !== status.OK) checkText(details, server);
  if (code !== status.OK && details === "") throw new Wrong(`status ${code} with no text`);
}
