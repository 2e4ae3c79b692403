import { ServableError, messageOf } from "../../errors.ts";
import type { AnyServiceDefinition } from "../../service/definition.ts";
import { matchesMediaType } from "../../service/handlers/media-type.ts";
import { toBuffer } from "./codec.ts";
import type { HostedMethod } from "./host.ts";
import { ServiceCall, streamsOnly } from "./service-call.ts";
import { runServiceStream, type ServiceStreamHost } from "./service-stream.ts";
import type { MappedMethod } from "./user-proto.ts";

const json = "application/json";

/** The methods of a user's own `.proto` files: messages become JSON for the service that answers, and its answers messages. */
export function protoFront(front: ServiceStreamHost, methods: readonly MappedMethod[]): void {
  const byService = new Map<string, Record<string, HostedMethod>>();
  for (const mapped of methods) {
    check(front, mapped);
    const found = byService.get(mapped.grpcService) ?? {};
    byService.set(mapped.grpcService, found);
    if (Object.hasOwn(found, mapped.method)) {
      throw new ServableError("invalid_config", `The method ${mapped.grpcService}/${mapped.method} is mapped twice.`);
    }
    found[mapped.method] = mapped.requestStream || mapped.responseStream ? streamed(front, mapped) : single(front, mapped);
  }
  for (const [name, found] of byService) front.host.add(name, found);
}

/** @throws ServableError `invalid_config` where method and service can't be put together */
function check({ engine }: ServiceStreamHost, { grpcService, method, service, requestStream, responseStream }: MappedMethod): void {
  const definition = engine.definitions.get(service);
  const name = `${grpcService}/${method}`;
  const refuse = (why: string): never => {
    throw new ServableError("invalid_config", `The method ${name} can't be answered by service '${service}': ${why}.`);
  };
  if (definition === undefined) return refuse("there is no such service");
  if (!handles(definition.request, json) || !handles(definition.response, json)) refuse("it does not read and write application/json");
  if (requestStream && !definition.inputStream) refuse("the method takes a stream, the service one value");
  if (!requestStream && definition.inputStream) refuse("the service takes a stream, the method one message");
  if (!responseStream && definition.outputStream === true) refuse("the service answers with a stream, the method with one message");
}

function handles(handlers: AnyServiceDefinition["request"] | AnyServiceDefinition["response"], mediaType: string): boolean {
  return handlers.some(({ mediaTypes }) => mediaTypes.some((pattern) => matchesMediaType(pattern, mediaType)));
}

function single({ engine, grpc, host }: ServiceStreamHost, mapped: MappedMethod): HostedMethod {
  return {
    kind: "unary",
    handle(call, callback) {
      const serviceCall = new ServiceCall(engine, grpc, call);
      const answer = async (): Promise<Buffer> => {
        serviceCall.admit({ service: mapped.service, contentType: json, accept: json });
        const response = await serviceCall.run(json, read(mapped, call.request));
        if (response.kind === "value") return host.compression.compress(write(mapped, response.body));
        await response.items[Symbol.asyncIterator]().return?.();
        throw streamsOnly(mapped.service, "its method must return a stream");
      };
      answer().then(
        (bytes) => {
          const { metadata } = host.compression;
          if (metadata !== undefined) call.sendMetadata(metadata);
          callback(null, bytes);
        },
        (thrown: unknown) => {
          callback(serviceCall.fail(thrown));
        },
      );
    },
  };
}

/** On the wire a method of one message is a stream of one, so one kind of handler does for all that stream. */
function streamed(front: ServiceStreamHost, mapped: MappedMethod): HostedMethod {
  return {
    kind: "stream",
    handle(call) {
      const newline = mapped.requestStream ? "\n" : "";
      void runServiceStream(front, call, {
        head: () => ({ service: mapped.service, contentType: mapped.requestStream ? "application/x-ndjson" : json, accept: json }),
        body: (message) => Buffer.concat([read(mapped, message), Buffer.from(newline)]),
        reply: (item) => write(mapped, item),
      });
    },
  };
}

function read(mapped: MappedMethod, bytes: Uint8Array): Buffer {
  try {
    return Buffer.from(mapped.readJson(bytes));
  } catch (thrown) {
    throw new ServableError("invalid_request", `The message is not what ${mapped.grpcService}/${mapped.method} takes.`, { cause: thrown });
  }
}

function write(mapped: MappedMethod, body: Uint8Array | string): Buffer {
  try {
    return toBuffer(mapped.writeJson(typeof body === "string" ? body : Buffer.from(body).toString("utf8")));
  } catch (thrown) {
    throw new ServableError(
      "serialization_failed",
      `What service '${mapped.service}' gave does not fit the message that ${mapped.grpcService}/${mapped.method} returns: ${messageOf(thrown)}`,
      { cause: thrown },
    );
  }
}
