import type { servable } from "../../protocol/grpc/generated/messages.js";
import { ServableError } from "../../errors.ts";
import type { GrpcPackages } from "../../protocol/grpc/packages.ts";
import { toBuffer, writeMessage } from "./codec.ts";
import { bytesOfBody, ServiceCall, streamsOnly, type ServiceRequest } from "./service-call.ts";
import { runServiceStream, type ServiceStreamHost } from "./service-stream.ts";

/** The full name of the service through which every service can be called by its name. */
export const servicesName = "servable.v1.Services";

/** `servable.v1.Services`: any service by its name, in bytes of any media type that it reads and writes. */
export function servicesFront(front: ServiceStreamHost, { messages }: GrpcPackages): void {
  const { CallRequest, CallResponse } = messages.servable.v1;
  const { engine, grpc, host } = front;
  const read = (bytes: Uint8Array): servable.v1.CallRequest => {
    try {
      return CallRequest.decode(bytes);
    } catch (thrown) {
      throw new ServableError("invalid_request", "The message is not a servable.v1.CallRequest.", { cause: thrown });
    }
  };
  const reply = (item: Uint8Array | string, contentType: string): Buffer =>
    writeMessage(CallResponse, { contentType, body: bytesOfBody(item) });
  host.add(servicesName, {
    Call: {
      kind: "unary",
      handle(call, callback) {
        const serviceCall = new ServiceCall(engine, grpc, call);
        const answer = async (): Promise<Buffer> => {
          const message = read(call.request);
          const head = headOf(message);
          const definition = serviceCall.admit(head);
          if (definition.inputStream || definition.outputStream === true) throw streamsOnly(head.service, "call it with CallStream");
          const response = await serviceCall.run(head.contentType, message.body);
          if (response.kind === "stream") {
            // Begun and ended, or its slot would wait for a reader.
            await response.items[Symbol.asyncIterator]().return?.();
            throw streamsOnly(head.service, "call it with CallStream");
          }
          return host.compression.compress(reply(response.body, response.mediaType));
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
    },
    CallStream: {
      kind: "stream",
      handle(call) {
        void runServiceStream(front, call, {
          head: (first) => headOf(read(first)),
          body: (message) => toBuffer(read(message).body),
          reply,
        });
      },
    },
  });
}

function headOf({ service, contentType, accept }: servable.v1.CallRequest): ServiceRequest {
  return { service, contentType: contentType === "" ? undefined : contentType, accept: accept === "" ? undefined : accept };
}
