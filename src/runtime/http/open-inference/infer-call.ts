import type { InferRequest, InferResponse } from "../../../protocol/inference.ts";
import type { BinaryOutputs } from "../../../protocol/http/binary-outputs.ts";
import { readHeaderLength } from "../../../protocol/http/header-length.ts";
import { readRawRequest, type RawInputSpec } from "../../../protocol/http/raw-request.ts";
import { readInferRequest, type ReadInferRequest } from "../../../protocol/http/read-request.ts";
import { writeInferResponse, type WrittenBody } from "../../../protocol/http/write-response.ts";
import type { InferAdmission, ServedModel } from "../../model-plane.ts";
import { AdmittedCall, type CallHost } from "./admitted-call.ts";
import type { WireAnswer } from "./answer.ts";
import type { Caller } from "./caller.ts";
import { pack, requestEncoding, responseEncoding, type Encoding } from "./encodings.ts";
import type { JoinParts } from "../node-body.ts";
import { bodyLimit, forwardedHeaders, headerLengthText, joinAligned } from "./headers.ts";

/** `POST …/infer`: one request, one answer. */
export class InferCall extends AdmittedCall {
  readonly #version: string;
  readonly #headerLength: string | undefined;
  #binaryOutputs: BinaryOutputs | undefined;
  /** Whether the body was joined in memory of its own; what came in one piece is a part of the socket's. */
  #isOwn = false;

  /** @param version - as the path has it */
  constructor(host: CallHost, model: ServedModel, version: string, caller: Caller) {
    super(host, model, caller);
    this.#version = version;
    this.#headerLength = headerLengthText(caller.headers);
  }

  /** @throws RouteFailure and ServableError for what is refused before the body is read */
  start(): void {
    const { headers } = this.caller;
    const encoding = requestEncoding(headers);
    const { maxInputBytes, maxBinaryBytes } = this.host;
    const maxBytes = bodyLimit(this.#headerLength, maxInputBytes, maxBinaryBytes);
    this.begin({ encoding, maxBytes: encoding === "identity" ? maxBytes : maxInputBytes, join: this.#join(this.#headerLength) });
  }

  #join(headerLength: string | undefined): JoinParts | undefined {
    if (headerLength === undefined) return undefined;
    const join = joinAligned(headerLength);
    return (parts, size) => {
      this.#isOwn = true;
      return join(parts, size);
    };
  }

  protected run(body: Uint8Array, admission: InferAdmission): void {
    const { request, binaryOutputs } = this.#read(body);
    this.#binaryOutputs = binaryOutputs;
    admission.infer(this.#withHeaders(this.#isOwn ? { ...request, owned: true } : request)).then(
      (response) => {
        this.#answer(response);
      },
      (thrown: unknown) => {
        this.fail(thrown);
      },
    );
  }

  #read(body: Uint8Array): ReadInferRequest {
    const target = { modelName: this.model.name, modelVersion: this.#version };
    const headerLength = readHeaderLength(this.#headerLength, body.byteLength);
    if (headerLength > 0) return readInferRequest(plainView(body), headerLength, target);
    return readRawRequest(plainView(body), rawInputs(this.model), target);
  }

  #withHeaders(request: InferRequest): InferRequest {
    const pattern = this.host.headerForwardPattern;
    const forwarded = pattern && forwardedHeaders(this.caller.headers, pattern);
    return forwarded === undefined ? request : { ...request, parameters: { ...request.parameters, ...forwarded } };
  }

  #answer(response: InferResponse): void {
    if (this.settled || this.#binaryOutputs === undefined) return;
    try {
      const written = writeInferResponse(response, this.#binaryOutputs);
      const encoding = responseEncoding(this.caller.headers);
      if (encoding === "identity") this.#send(written, bodyOf(written));
      else this.#pack(written, encoding);
    } catch (thrown) {
      this.fail(thrown);
    }
  }

  #pack(written: WrittenBody, encoding: Exclude<Encoding, "identity">): void {
    const { json, chunks } = written;
    const bytes = typeof json === "string" ? Buffer.from(json) : Buffer.concat([json, ...chunks]);
    pack(bytes, encoding, (packed) => {
      if (packed === undefined) this.#send(written, bytes);
      else this.#send(written, packed, encoding);
    });
  }

  #send({ contentType, headerLength }: WrittenBody, body: WireAnswer["body"], encoding?: Encoding): void {
    if (this.settled) return;
    this.settle();
    const headers: Record<string, string> = { "content-type": contentType };
    // Of the JSON as it is before it is compressed.
    if (headerLength !== undefined) headers["Inference-Header-Content-Length"] = String(headerLength);
    if (encoding !== undefined) headers["content-encoding"] = encoding;
    this.host.send(this.caller, { status: 200, headers, body });
  }
}

/** What Node calls a Buffer has a `slice` that shares memory, unlike that of every other array of bytes. */
function plainView(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function bodyOf({ json, chunks }: WrittenBody): WireAnswer["body"] {
  return typeof json === "string" ? json : [json, ...chunks];
}

function rawInputs({ config }: ServedModel): RawInputSpec {
  const inputs = (config.input ?? []).map(({ name = "", dataType = "TYPE_INVALID", dims = [] }) => ({
    name,
    dataType: wireTypeOf(dataType),
    dims,
  }));
  return { inputs, batching: (config.maxBatchSize ?? 0) > 0 };
}

function wireTypeOf(dataType: string): string {
  return dataType === "TYPE_STRING" ? "BYTES" : dataType.slice("TYPE_".length);
}
