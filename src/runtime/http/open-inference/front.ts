import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from "fastify";
import { InferenceError } from "../../../protocol/inference-error.ts";
import { modelConfigToJson } from "../../../triton/config-to-json.ts";
import type { AddressFlags } from "../../address.ts";
import { originGuard, type OriginGuard } from "../origins.ts";
import type { QuickCall } from "../quick/quick-call.ts";
import type { CallHost } from "./admitted-call.ts";
import { beginAnswer, emptyAnswer, failureAnswer, jsonAnswer, jsonTextAnswer, refusal, type Sending, type WireAnswer } from "./answer.ts";
import { FastifyCaller, QuickCaller, type Caller } from "./caller.ts";
import { isUnforeseen, RouteFailure } from "./failure.ts";
import { GenerateCall } from "./generate-call.ts";
import { InferCall } from "./infer-call.ts";
import { readJsonBody } from "./json-body.ts";
import type { FrontOptions } from "./options.ts";
import { answerIndex, loadModel, unloadModel } from "./repository-routes.ts";
import type { Mounted } from "./guarded-listener.ts";
import { checkRestriction } from "./restrictions.ts";
import { findRoute, routeRules, type Route } from "./routes.ts";
import { TurnEnd } from "../turn-end.ts";
import { logChanges, traceChanges } from "./settings-routes.ts";

const healthPaths: ReadonlySet<string> = new Set(["/v2/health/live", "/v2/health/ready"]);
const methods: HTTPMethods[] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

/** All routes of the Open Inference Protocol, and of Triton's extensions, over a model plane. */
export class OpenInferenceFront implements Mounted {
  readonly defaultPort: number = 8000;
  readonly flags: AddressFlags = { host: "--http-address", port: "--http-port" };
  readonly #options: FrontOptions;
  readonly #guard: OriginGuard | undefined;
  readonly #host: CallHost;
  readonly #turnEnd = new TurnEnd<{ readonly caller: Caller; readonly answer: WireAnswer }>(({ caller, answer }) => {
    try {
      caller.send(answer, this.#sending);
    } catch (thrown) {
      this.logUnforeseen(thrown);
      caller.cut();
    }
  });
  #sending: Sending = { last: false, hooked: false };

  constructor(options: FrontOptions) {
    this.#options = options;
    this.#guard = originGuard(options.origins);
    this.#host = {
      ...options,
      send: (caller, answer) => {
        this.#send(caller, answer);
      },
      begin: (reply, status, headers) => {
        beginAnswer(reply, { status, headers }, this.#sending);
      },
      fail: (caller, thrown) => {
        this.#fail(caller, thrown);
      },
      note: (thrown) => {
        this.#note(thrown);
      },
    };
  }

  /** Adds one route, for every path: which one it is, is read from the path as it came, which Fastify would decode. */
  mount(app: FastifyInstance, preflight: boolean): void {
    this.#sending = { ...this.#sending, hooked: preflight };
    const handler = (request: FastifyRequest, reply: FastifyReply): void => {
      this.#handle(request, reply);
    };
    app.route({
      method: methods.filter((method) => method !== "OPTIONS" || !preflight),
      url: "*",
      // It returns nothing: Fastify would take a reply for a promise.
      handler,
      errorHandler: (thrown, request, reply) => {
        if (!(thrown instanceof Error && "code" in thrown && thrown.code === "FST_ERR_CTP_INVALID_MEDIA_TYPE")) throw thrown;
        handler(request, reply);
      },
    });
  }

  /** An orchestrator has no token. */
  isPublic(method: string, path: string): boolean {
    return method === "GET" && healthPaths.has(path);
  }

  /** From now on answers tell that their connection is closed, and the server is neither alive nor ready. */
  beginStop(): void {
    this.#sending = { ...this.#sending, last: true };
  }

  /** A client reads nothing of what was not foreseen. */
  logUnforeseen(thrown: unknown): void {
    this.#options.log.error({ err: thrown }, "an HTTP request of the model server failed");
  }

  /** Takes what is asked of a model where that came whole, with no hook before it; everything else goes through {@link mount}. */
  takeQuick(call: QuickCall): boolean {
    const route = findRoute(call.head.path);
    if (route?.kind !== "infer") return false;
    const caller = new QuickCaller(call);
    try {
      this.#check(route, "POST", caller);
      this.#infer(route, caller);
    } catch (thrown) {
      this.#fail(caller, thrown);
    }
    return true;
  }

  #handle(request: FastifyRequest, reply: FastifyReply): void {
    const caller = new FastifyCaller(request, reply);
    try {
      const route = findRoute(request.raw.url ?? "");
      if (route === undefined) {
        this.#send(caller, refusal(404));
        return;
      }
      const allowed = routeRules[route.kind].methods;
      this.#check(route, request.method, caller);
      if (allowed.includes(request.method)) this.#dispatch(route, request, caller);
      else this.#send(caller, refusal(405, { allow: allowed.join(", ") }));
    } catch (thrown) {
      this.#fail(caller, thrown);
    }
  }

  /** @throws RouteFailure where it is not for this caller */
  #check({ kind }: Route, method: string, { headers }: Caller): void {
    const { restrictions } = this.#options;
    const { api, methods: allowed } = routeRules[kind];
    if (restrictions !== undefined) checkRestriction(restrictions, api, headers);
    if (method !== "POST" || !allowed.includes(method)) return;
    const foreign = this.#guard?.(headers);
    if (foreign !== undefined) throw new RouteFailure(403, foreign.message);
  }

  #dispatch(route: Route, request: FastifyRequest, caller: FastifyCaller): void {
    switch (route.kind) {
      case "infer":
        this.#infer(route, caller);
        return;
      case "generate":
      case "generate_stream":
        this.#generate(route, caller);
        return;
      case "index":
      case "load":
      case "unload":
      case "trace":
      case "logging":
        this.#answerWithBody(route, request).then(
          (answer) => {
            this.#send(caller, answer);
          },
          (thrown: unknown) => {
            this.#fail(caller, thrown);
          },
        );
        return;
      default:
        this.#send(caller, this.#answerPlain(route));
    }
  }

  #infer({ name, version }: Route, caller: Caller): void {
    const model = this.#options.plane.model(name, version);
    if (model.config.modelTransactionPolicy?.decoupled === true) {
      throw new InferenceError("UNSUPPORTED", "HTTP end point doesn't support models with decoupled transaction policy");
    }
    new InferCall(this.#host, model, version, caller).start();
  }

  #generate({ kind, name, version }: Route, caller: FastifyCaller): void {
    const { plane } = this.#options;
    const { inputs } = plane.modelMetadata(name, version);
    const target = { model: plane.model(name, version), version, inputs, streaming: kind === "generate_stream" };
    new GenerateCall(this.#host, target, caller).start();
  }

  #answerPlain({ kind, name, version }: Route): WireAnswer {
    const { plane } = this.#options;
    switch (kind) {
      case "live":
      case "ready":
        return this.#health(kind === "live" ? plane.live() : plane.ready());
      case "server-metadata":
        return jsonAnswer(plane.serverMetadata);
      case "model-ready":
        if (!plane.modelReady(name, version)) throw new RouteFailure(400, "Model version not ready");
        return emptyAnswer(200);
      case "model-metadata":
        return jsonAnswer(plane.modelMetadata(name, version));
      case "config":
        return jsonTextAnswer(modelConfigToJson(plane.model(name, version).config));
      case "stats":
        return jsonAnswer({ model_stats: plane.statistics(name, version) });
      default:
        throw new InferenceError(
          "UNSUPPORTED",
          "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.",
        );
    }
  }

  #health(isSo: boolean): WireAnswer {
    // Nobody is to send more to a server that ends.
    if (this.#sending.last) return emptyAnswer(503);
    return emptyAnswer(isSo ? 200 : 400);
  }

  async #answerWithBody(route: Route, { method, raw: message }: FastifyRequest): Promise<WireAnswer> {
    const { plane, maxInputBytes } = this.#options;
    if (route.kind === "trace" && route.name !== "" && !plane.modelReady(route.name, ""))
      throw new InferenceError("INVALID_ARG", `Request for unknown model : ${route.name}`);
    const body = method === "POST" ? await readJsonBody(message, maxInputBytes) : undefined;
    switch (route.kind) {
      case "trace":
        return jsonAnswer(plane.traceSettings(route.name, body && traceChanges(body)));
      case "logging":
        return jsonAnswer(plane.logSettings(body && logChanges(body)));
      case "index":
        return jsonAnswer(await answerIndex(plane, route, body ?? {}));
      case "load":
        await loadModel(plane, route, body ?? {});
        return emptyAnswer(200);
      default:
        await unloadModel(plane, route, body ?? {});
        return emptyAnswer(200);
    }
  }

  #send(caller: Caller, answer: WireAnswer): void {
    this.#turnEnd.add({ caller, answer });
  }

  #fail(caller: Caller, thrown: unknown): void {
    this.#note(thrown);
    this.#send(caller, failureAnswer(thrown));
  }

  #note(thrown: unknown): void {
    if (isUnforeseen(thrown)) this.logUnforeseen(thrown);
  }
}
