/** What crosses between the server and an instance of a model in TypeScript: arrays, and what the model is told of their requests. */
import { deserialize, serialize } from "node:v8";
import { packArrays, unpackArrays, type PlainArrays } from "../../engine/placement/plain-arrays.ts";
import type { InferRequest } from "../../protocol/inference.ts";
import type { Payload, RequestHandler, ResponseHandler } from "../../service/handlers/handler.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { RequestFacts } from "./typescript.ts";

/** One run, as an instance gets it. */
export interface InstanceCall {
  readonly inputs: NamedArrays;
  readonly requests: readonly RequestFacts[];
}

/** The name of the array that brings the requests' facts along where nothing but arrays crosses; no input has it. */
const factsName = "\0requests";

/** What the model is told of a request. */
export function factsOf({ source, rows }: { readonly source: InferRequest; readonly rows: number }): RequestFacts {
  return { id: source.id, parameters: source.parameters, rows };
}

/** The facts of requests as one more array beside their inputs. */
export function packFacts(requests: readonly RequestFacts[]): NamedArrays {
  const bytes = new Uint8Array(serialize(requests));
  return { [factsName]: new Tensor("UINT8", [bytes.length], bytes) };
}

/** Takes the facts out from among the inputs again. */
export function unpackFacts(arrays: NamedArrays): InstanceCall {
  const { [factsName]: facts, ...inputs } = arrays;
  return { inputs, requests: facts === undefined ? [] : (deserialize(facts.as("UINT8").data) as readonly RequestFacts[]) };
}

/** The media type of what follows; it never leaves the server. */
export const arraysType = "application/vnd.servable.arrays";

/** Writes a call for an instance that takes bytes. */
export function writeCall({ inputs, requests }: InstanceCall): Uint8Array {
  return serialize({ inputs: packArrays(inputs, false).arrays, requests });
}

/** Reads arrays that an instance gave as bytes. */
export function readArrays(bytes: Uint8Array): NamedArrays {
  return unpackArrays(deserialize(bytes) as PlainArrays);
}

/** Calls and arrays as bytes: in V8's own format, which holds everything that a tensor can, and is read without copies. */
export class ArraysHandler implements RequestHandler<InstanceCall>, ResponseHandler<NamedArrays> {
  readonly mediaTypes: readonly string[] = [arraysType];

  deserialize({ body }: Payload): InstanceCall {
    const { inputs, requests } = deserialize(body) as { readonly inputs: PlainArrays; readonly requests: readonly RequestFacts[] };
    return { inputs: unpackArrays(inputs), requests };
  }

  serialize(arrays: NamedArrays): Uint8Array {
    return serialize(packArrays(arrays, false).arrays);
  }
}
