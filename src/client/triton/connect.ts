import { ServableError } from "../../errors.ts";
import { GrpcInferenceClient } from "../grpc/grpc-inference-client.ts";
import type { InferenceClient } from "../open-inference/inference-client.ts";
import { OpenInferenceClient } from "../open-inference/open-inference-client.ts";

/** A client, and how it is given back. */
export interface OpenedClient {
  readonly client: InferenceClient;
  readonly close: () => void;
}

/**
 * A client for an address: HTTP for `http:` and `https:`, gRPC for `grpc:` and `grpcs:`.
 *
 * @param server - an address; or a client, which stays its owner's
 * @throws ServableError `invalid_argument`
 */
export function openClient(server: string | URL | InferenceClient): OpenedClient {
  if (typeof server !== "string" && !(server instanceof URL)) return { client: server, close: () => undefined };
  const url = String(server);
  if (/^grpcs?:\/\//.test(url)) {
    const client = new GrpcInferenceClient(url);
    return {
      client,
      close: () => {
        client.close();
      },
    };
  }
  if (/^https?:\/\//.test(url)) return { client: new OpenInferenceClient(url), close: () => undefined };
  throw new ServableError(
    "invalid_argument",
    `'${url}' is no address of a Triton: write it like http://127.0.0.1:8000 or grpc://127.0.0.1:8001.`,
  );
}
