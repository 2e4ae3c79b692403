/** What crosses between the engine and a worker, thread or process: plain data and bytes, nothing else. */
import type { ErrorData } from "../../errors.ts";
import type { StageTime } from "../../service/call-context.ts";
import type { LoaderSpec } from "../../service/loader.ts";
import type { ModelPlace } from "../../service/model-loader.ts";
import type { PlainArrays } from "./plain-arrays.ts";

/** What a worker is started with. */
export interface WorkerInit {
  readonly spec: LoaderSpec;
  readonly service: string;
  /** The engine's word on it, which wins over the definition's. */
  readonly maxBodyBytes: number;
  readonly place: ModelPlace;
  /** Whether the service's model runs elsewhere, and the worker has only the stages around it. */
  readonly stagesOnly: boolean;
}

/** From the engine to a worker. */
export type ToWorker =
  | {
      readonly type: "call";
      readonly id: number;
      readonly contentType: string | undefined;
      /** undefined where the body comes as `chunk`s. */
      readonly body: Uint8Array | undefined;
      readonly responseType: string | undefined;
      readonly requestId: string;
      readonly deadline: number;
      readonly metadata: Readonly<Record<string, string>>;
    }
  | { readonly type: "chunk"; readonly id: number; readonly body: Uint8Array }
  | { readonly type: "chunks_end"; readonly id: number; readonly error?: ErrorData | undefined }
  | { readonly type: "cancel"; readonly id: number; readonly error: ErrorData }
  /** Asks for the next item of a stream: nothing is sent that nobody asked for. */
  | { readonly type: "next"; readonly id: number; readonly deadline: number }
  | { readonly type: "return"; readonly id: number }
  | { readonly type: "model_ran"; readonly run: number; readonly outputs: PlainArrays }
  | { readonly type: "model_failed"; readonly run: number; readonly error: ErrorData }
  | { readonly type: "stop" };

/** What every worker says of itself. */
export type HostMessage =
  | { readonly type: "ready"; readonly warmupMs?: number | undefined }
  | { readonly type: "failed"; readonly error: ErrorData }
  /** Something was thrown that nobody caught; the end of the worker follows. */
  | { readonly type: "threw"; readonly message: string; readonly stack: string }
  | {
      readonly type: "log";
      readonly level: "debug" | "info" | "warn" | "error";
      readonly fields: object;
      readonly message: string | undefined;
    }
  | { readonly type: "stopped" };

/** From a worker to the engine, besides what it says of itself. */
export type FromWorker =
  /** Says that a call was begun while others run; of a single one that is plain. */
  | { readonly type: "begun"; readonly id: number }
  /** Says that a call was told that it is given up: the worker's loop turns. */
  | { readonly type: "told"; readonly id: number }
  | {
      readonly type: "value";
      readonly id: number;
      readonly mediaType: string;
      readonly body: Uint8Array | string;
      readonly stages: readonly StageTime[];
    }
  | { readonly type: "stream"; readonly id: number; readonly mediaType: string }
  | { readonly type: "item"; readonly id: number; readonly body: Uint8Array | string }
  | { readonly type: "end"; readonly id: number; readonly stages: readonly StageTime[] }
  | { readonly type: "error"; readonly id: number; readonly error: ErrorData; readonly stages: readonly StageTime[] }
  /** Asks for a run of the model that is elsewhere, for a call; 0 where it is for none. */
  | {
      readonly type: "model_run";
      readonly id: number;
      readonly run: number;
      readonly inputs: PlainArrays;
      readonly priority: number | undefined;
    }
  /** Asks for the next chunk of a streamed body. */
  | { readonly type: "want"; readonly id: number };
