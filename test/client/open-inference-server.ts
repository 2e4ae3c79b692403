import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { gunzipSync, gzipSync, inflateSync } from "node:zlib";
import { classify } from "../../src/protocol/classification.ts";
import { elementsOf } from "../../src/protocol/elements.ts";
import { generateEvent, readGenerateRequest, writeGenerateResponse } from "../../src/protocol/generate.ts";
import { headerLengthName, readHeaderLength } from "../../src/protocol/http/header-length.ts";
import { readInferRequest } from "../../src/protocol/http/read-request.ts";
import { writeInferResponse } from "../../src/protocol/http/write-response.ts";
import type { InferOutput, InferRequest, InferResponse } from "../../src/protocol/inference.ts";
import { InferenceError, statusOf } from "../../src/protocol/inference-error.ts";
import { isDataType } from "../../src/tensor/data-type.ts";
import type { Arrival } from "./wire-server.ts";

const httpStatus = {
  INVALID_ARG: 400,
  ALREADY_EXISTS: 400,
  CANCELLED: 400,
  UNKNOWN: 400,
  NOT_FOUND: 404,
  UNAVAILABLE: 503,
  UNSUPPORTED: 501,
  INTERNAL: 500,
} as const;

/** A server of one model, `echo`, which gives its inputs back under their own names: the codec of `protocol/` behind plain HTTP. */
export interface EchoServer extends AsyncDisposable {
  readonly url: string;
  readonly arrivals: readonly Arrival[];
  readonly requests: readonly InferRequest[];
  /** What the next inferences fail with. */
  readonly failures: InferenceError[];
}

export async function startEchoServer(): Promise<EchoServer> {
  const arrivals: Arrival[] = [];
  const requests: InferRequest[] = [];
  const failures: InferenceError[] = [];

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const raw = await buffer(request);
    const path = request.url ?? "";
    arrivals.push({ method: request.method ?? "", path, headers: request.headers, body: raw });
    const encoding = request.headers["content-encoding"];
    const body = encoding === "gzip" ? gunzipSync(raw) : encoding === "deflate" ? inflateSync(raw) : raw;
    const failure = failures.shift();
    if (failure !== undefined) throw failure;
    const target = { modelName: "echo", modelVersion: /versions\/(\d+)/.exec(path)?.[1] ?? "" };
    if (path.endsWith("/infer")) {
      const header = request.headers[headerLengthName];
      const { request: infer, binaryOutputs } = readInferRequest(body, readHeaderLength(header?.toString(), body.length), target);
      requests.push(infer);
      const { json, chunks, headerLength, contentType } = writeInferResponse(echo(infer), binaryOutputs);
      response.setHeader("content-type", contentType);
      if (headerLength !== undefined) response.setHeader(headerLengthName, headerLength);
      const whole = Buffer.concat([Buffer.from(json), ...chunks]);
      if (request.headers["accept-encoding"]?.includes("gzip")) response.setHeader("content-encoding", "gzip").end(gzipSync(whole));
      else response.end(whole);
    } else if (path.includes("/generate")) {
      const infer = readGenerateRequest(body, target, [{ name: "text", datatype: "BYTES", shape: [1] }]);
      const json = writeGenerateResponse(echo(infer));
      if (path.endsWith("_stream")) {
        response.setHeader("content-type", "text/event-stream; charset=utf-8");
        response.write(generateEvent(json));
        response.write(generateEvent(json));
        if (infer.parameters.fail === true) response.write(generateEvent('{"error":"it broke"}'));
        if (infer.parameters.hang !== true) response.end();
      } else {
        response.setHeader("content-type", "application/json").end(json);
      }
    } else {
      throw new InferenceError("NOT_FOUND", "Not Found");
    }
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((thrown: unknown) => {
      response.statusCode = httpStatus[statusOf(thrown)];
      response.setHeader("content-type", "application/json").end(JSON.stringify({ error: (thrown as Error).message }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arrivals,
    requests,
    failures,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function echo({ modelName, modelVersion, id, inputs, outputs }: InferRequest): InferResponse {
  const given = inputs.map((input): InferOutput => {
    const { name, dataType, shape } = input;
    if (!isDataType(dataType)) throw new InferenceError("INVALID_ARG", "no such data type");
    return { name, dataType, shape, data: elementsOf(input, { modelName, requestId: id }) };
  });
  const wanted = outputs.map(({ name, classification }) => {
    const found = given.find((output) => output.name === name);
    if (found === undefined) throw new InferenceError("INVALID_ARG", `unexpected inference output '${name}' for model 'echo'`);
    return classification === undefined ? found : classify(found, classification, { batched: true });
  });
  const version = modelVersion === "" ? "1" : modelVersion;
  return { modelName, modelVersion: version, id, parameters: {}, outputs: outputs.length === 0 ? given : wanted };
}
