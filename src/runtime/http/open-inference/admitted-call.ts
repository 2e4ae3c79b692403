import type { FastifyReply } from "fastify";
import { ServableError } from "../../../errors.ts";
import { InferenceError } from "../../../protocol/inference-error.ts";
import type { InferAdmission, InferCaller, ServedModel } from "../../model-plane.ts";
import { metadataOf, requestIdOf, timeoutOf } from "../head.ts";
import type { JoinParts } from "../node-body.ts";
import type { WireAnswer } from "./answer.ts";
import type { Caller } from "./caller.ts";
import { unpack, type Encoding } from "./encodings.ts";

/** What calls need of the front that they belong to. */
export interface CallHost {
  readonly maxInputBytes: number;
  readonly maxBinaryBytes: number;
  readonly headerForwardPattern: RegExp | undefined;
  send(caller: Caller, answer: WireAnswer): void;
  /** Sends the head of an answer that goes on for a while. */
  begin(reply: FastifyReply, status: number, headers: WireAnswer["headers"]): void;
  fail(caller: Caller, thrown: unknown): void;
  /** Logs a failure that was not foreseen. */
  note(thrown: unknown): void;
}

/** How the body of a call is read. */
export interface Reading {
  readonly encoding: Encoding;
  /** Of the body as it comes, and once it is unpacked. */
  readonly maxBytes: number;
  readonly join?: JoinParts | undefined;
}

/**
 * One call of a model, admitted before its body is read. It ends once: with its answer, with a failure, or when its client goes away. A class
 * with callbacks, so that a small request costs few promises and closures.
 */
export abstract class AdmittedCall {
  protected readonly host: CallHost;
  protected readonly model: ServedModel;
  protected readonly caller: Caller;
  /** Called when the client goes away. */
  protected onLeave: (() => void) | undefined;
  #admission: InferAdmission | undefined;
  #settled = false;

  constructor(host: CallHost, model: ServedModel, caller: Caller) {
    this.host = host;
    this.model = model;
    this.caller = caller;
  }

  /** Runs what was read; what it throws is the call's failure. */
  protected abstract run(body: Uint8Array, admission: InferAdmission): void;

  /** Whether nothing more may be sent. */
  protected get settled(): boolean {
    return this.#settled;
  }

  /** Notes that the answer is on its way. */
  protected settle(): void {
    this.#settled = true;
  }

  /** Asks for admission, reads the body and runs it. @throws ServableError where it is not admitted */
  begin(reading: Reading): void {
    const { caller, host } = this;
    checkLength(caller, reading.maxBytes, host.maxInputBytes);
    const admission = this.model.admit(inferCallerOf(caller));
    this.#admission = admission;
    caller.onGone(() => {
      this.#leave();
    });
    const onFail = caller.readBody({
      maxBytes: reading.maxBytes,
      join: reading.join,
      done: (body) => {
        admission.onFail = undefined;
        if (reading.encoding === "identity") this.#run(body);
        else this.#unpack(body, reading.encoding);
      },
      failed: (thrown) => {
        this.fail(isTooLarge(thrown) ? tooLarge(reading.maxBytes, host.maxInputBytes) : thrown);
      },
    });
    if (onFail !== undefined) admission.onFail = onFail;
  }

  /** Ends the call with a failure. */
  protected fail(thrown: unknown): void {
    if (this.#settled) return;
    this.#settled = true;
    if (ServableError.isInstance(thrown)) this.#admission?.fail(thrown);
    else this.#admission?.fail(new ServableError("internal", "The request could not be served.", { cause: thrown }));
    this.host.fail(this.caller, thrown);
  }

  #unpack(body: Uint8Array, encoding: Exclude<Encoding, "identity">): void {
    unpack(body, encoding, this.host.maxInputBytes, (error, unpacked) => {
      if (error === undefined) this.#run(unpacked);
      else this.fail(error);
    });
  }

  #run(body: Uint8Array): void {
    if (this.#settled || this.#admission === undefined) return;
    try {
      this.run(body, this.#admission);
    } catch (thrown) {
      this.fail(thrown);
    }
  }

  #leave(): void {
    this.#settled = true;
    this.#admission?.cancel();
    this.onLeave?.();
  }
}

function inferCallerOf({ headers }: Caller): InferCaller {
  const timeout = headers["x-timeout-ms"];
  const requestId = headers["x-request-id"];
  return {
    requestId: typeof requestId === "string" ? requestIdOf(requestId) : undefined,
    timeoutMs: typeof timeout === "string" ? timeoutOf(timeout) : undefined,
    metadata: () => metadataOf(headers),
  };
}

function checkLength({ headers }: Caller, maxBytes: number, maxInputBytes: number): void {
  const length = headers["content-length"];
  if (length !== undefined && Number(length) > maxBytes) throw tooLarge(maxBytes, maxInputBytes);
}

function isTooLarge(thrown: unknown): boolean {
  return ServableError.isInstance(thrown) && thrown.code === "payload_too_large";
}

function tooLarge(maxBytes: number, maxInputBytes: number): InferenceError {
  const hint = maxBytes > maxInputBytes ? "" : " Use --http-max-input-size to increase the limit.";
  return new InferenceError("INVALID_ARG", `request size exceeds the maximum allowed input size of ${maxBytes} bytes.${hint}`);
}
