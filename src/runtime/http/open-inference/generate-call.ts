import type { FastifyReply } from "fastify";
import type { InferRequest, InferResponse } from "../../../protocol/inference.ts";
import { InferenceError } from "../../../protocol/inference-error.ts";
import type { TensorMetadata } from "../../../protocol/model-info.ts";
import { generateEvent, readGenerateRequest, writeGenerateResponse } from "../../../protocol/generate.ts";
import type { InferAdmission, ServedModel } from "../../model-plane.ts";
import { AdmittedCall, type CallHost } from "./admitted-call.ts";
import { jsonTextAnswer } from "./answer.ts";
import type { FastifyCaller } from "./caller.ts";
import { failureBody, httpStatusOf } from "./failure.ts";

const eventHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  "x-accel-buffering": "no",
} as const;

/** What a path of the generate routes asks for. */
export interface GenerateTarget {
  readonly model: ServedModel;
  /** As the path has it. */
  readonly version: string;
  /** Of the model's metadata. */
  readonly inputs: readonly TensorMetadata[];
  readonly streaming: boolean;
}

/** `POST …/generate` and `…/generate_stream`: flat JSON in, and out one flat object or a stream of them. */
export class GenerateCall extends AdmittedCall {
  readonly #target: GenerateTarget;
  readonly #reply: FastifyReply;

  constructor(host: CallHost, target: GenerateTarget, caller: FastifyCaller) {
    super(host, target.model, caller);
    this.#reply = caller.reply;
    this.#target = target;
  }

  /** @throws InferenceError for what is refused before the body is read */
  start(): void {
    const encoding = this.caller.headers["content-encoding"] ?? "";
    if (encoding !== "" && encoding !== "identity") {
      throw new InferenceError("INVALID_ARG", "Unsupported content-encoding, only 'identity' is supported.");
    }
    this.begin({ encoding: "identity", maxBytes: this.host.maxInputBytes });
  }

  protected run(body: Uint8Array, admission: InferAdmission): void {
    const { model, version, inputs, streaming } = this.#target;
    const request = readGenerateRequest(body, { modelName: model.name, modelVersion: version }, inputs);
    if (streaming) {
      void this.#stream(admission.stream(request));
      return;
    }
    this.#single(admission, request).then(
      (response) => {
        this.#answer(response);
      },
      (thrown: unknown) => {
        this.fail(thrown);
      },
    );
  }

  #single(admission: InferAdmission, request: InferRequest): Promise<InferResponse> {
    const decoupled = this.model.config.modelTransactionPolicy?.decoupled === true;
    return decoupled ? onlyOne(admission.stream(request)) : admission.infer(request);
  }

  #answer(response: InferResponse): void {
    if (this.settled) return;
    try {
      const text = writeGenerateResponse(response);
      this.settle();
      this.host.send(this.caller, jsonTextAnswer(text));
    } catch (thrown) {
      this.fail(thrown);
    }
  }

  /** Never rejects. The first response decides the status; a later failure is an event like any other. */
  async #stream(responses: AsyncIterable<InferResponse>): Promise<void> {
    const { raw: response } = this.#reply;
    const write = (status: number, json: string): boolean => {
      if (!response.headersSent) this.host.begin(this.#reply, status, eventHeaders);
      return response.write(generateEvent(json));
    };
    try {
      for await (const item of responses) {
        // Leaving the loop ends the rest.
        if (this.settled) return;
        if (!write(200, writeGenerateResponse(item))) await this.#room();
      }
    } catch (thrown) {
      if (this.settled) return;
      this.host.note(thrown);
      write(httpStatusOf(thrown), failureBody(thrown));
    }
    if (this.settled) return;
    this.settle();
    if (!response.headersSent) this.host.begin(this.#reply, 200, eventHeaders);
    response.end();
  }

  /** Resolves when more may be written, or nobody is there to read it. */
  #room(): Promise<void> {
    const { raw: response } = this.#reply;
    return new Promise((resolve) => {
      const done = (): void => {
        response.off("drain", done);
        this.onLeave = undefined;
        resolve();
      };
      response.on("drain", done);
      this.onLeave = done;
    });
  }
}

async function onlyOne(responses: AsyncIterable<InferResponse>): Promise<InferResponse> {
  let only: InferResponse | undefined;
  for await (const response of responses) {
    if (only !== undefined) throw notOne();
    only = response;
  }
  if (only === undefined) throw notOne();
  return only;
}

function notOne(): InferenceError {
  return new InferenceError(
    "INTERNAL",
    "generate expects model to produce exactly 1 response, use generate stream for model that generates various number of responses",
  );
}
