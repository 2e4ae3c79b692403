import type { FastifyInstance } from "fastify";
import type { Registry } from "prom-client";
import { refuseUnknownKeys, type KeysOf } from "../../../known-keys.ts";
import type { AddressFlags } from "../../address.ts";
import { failureAnswer, plainSending, sendAnswer, type WireAnswer } from "./answer.ts";
import { GuardedListener, listenerKeys, pathOf, type GuardedListenerOptions, type Mounted } from "./guarded-listener.ts";

/** How metrics are served; their port is 8002 by default. */
export interface MetricsServerOptions extends GuardedListenerOptions {
  readonly registry: Registry;
}

const keys = { ...listenerKeys, registry: "needed" } satisfies KeysOf<MetricsServerOptions>;

/** Serves metrics on a port of their own. As in Triton, any other path is answered with nothing. */
export class MetricsServer {
  readonly #listener: GuardedListener;

  /** @throws ServableError `invalid_config` */
  constructor(options: MetricsServerOptions) {
    refuseUnknownKeys(options, keys, "MetricsServer");
    this.#listener = new GuardedListener(new MetricsFront(options), options);
  }

  /** Where it listens. @throws ServableError `not_ready` before `start` */
  get url(): string {
    return this.#listener.url;
  }

  /** Listens. @throws ServableError `address_in_use`, `invalid_config` */
  start(): Promise<void> {
    return this.#listener.start();
  }

  /** Lets answers be sent for so long, then cuts what is left. */
  stop(graceMs: number): Promise<void> {
    return this.#listener.stop(graceMs);
  }
}

class MetricsFront implements Mounted {
  readonly defaultPort: number = 8002;
  readonly flags: AddressFlags = { host: "--metrics-address", port: "--metrics-port" };
  readonly #options: MetricsServerOptions;

  constructor(options: MetricsServerOptions) {
    this.#options = options;
  }

  isPublic(): boolean {
    return false;
  }

  logUnforeseen(thrown: unknown): void {
    this.#options.log.error({ err: thrown }, "metrics could not be served");
  }

  mount(app: FastifyInstance): void {
    app.all("*", (request, reply) => {
      if (pathOf(request) !== "/metrics") {
        sendAnswer(reply, answer(""), plainSending);
        return;
      }
      this.#options.registry.metrics().then(
        (text) => {
          sendAnswer(reply, answer(text), plainSending);
        },
        (thrown: unknown) => {
          this.logUnforeseen(thrown);
          sendAnswer(reply, failureAnswer(thrown), plainSending);
        },
      );
    });
  }
}

function answer(body: string): WireAnswer {
  return { status: 200, headers: { "content-type": "text/plain; charset=utf-8" }, body };
}
