import { OpenInferenceFront } from "./front.ts";
import { GuardedListener } from "./guarded-listener.ts";
import { resolveFrontOptions, type ModelHttpServerOptions } from "./options.ts";

/** Serves a model server over the HTTP of the Open Inference Protocol, as Triton does, on a port of its own. */
export class ModelHttpServer {
  readonly #front: OpenInferenceFront;
  readonly #listener: GuardedListener;

  /** @throws ServableError `invalid_config` */
  constructor(options: ModelHttpServerOptions) {
    this.#front = new OpenInferenceFront(resolveFrontOptions(options));
    this.#listener = new GuardedListener(this.#front, options);
  }

  /** Where it listens, such as `http://127.0.0.1:8000`. @throws ServableError `not_ready` before `start` */
  get url(): string {
    return this.#listener.url;
  }

  /** Listens. @throws ServableError `address_in_use`, `invalid_config` */
  start(): Promise<void> {
    return this.#listener.start();
  }

  /**
   * Takes no new connections, and tells those that are open to close with their next answer. Resolves when what had come is answered, at the latest
   * after `graceMs`. The plane stops after it.
   */
  drain(graceMs: number): Promise<void> {
    this.#front.beginStop();
    return this.#listener.drain(graceMs);
  }

  /** Lets answers be sent for so long, then cuts what is left. The plane has stopped before it. */
  stop(graceMs: number): Promise<void> {
    this.#front.beginStop();
    return this.#listener.stop(graceMs);
  }
}
