import type { NamedArrays } from "../tensor/named-arrays.ts";
import type { ModelRequest } from "./model-request.ts";
import type { ResponseCache } from "./response-cache.ts";
import type { VersionStatistics } from "./statistics.ts";

let loads = 0;

/** A server's cache as one loaded version sees it: what another load of the model gave is not found. */
export class VersionCache {
  readonly #cache: ResponseCache;
  readonly #statistics: VersionStatistics;
  readonly #model: string;
  readonly #isTold: boolean;
  #closed = false;

  /** @param isTold - whether the model knows its requests' parameters, so that they belong to what it is asked */
  constructor(cache: ResponseCache, statistics: VersionStatistics, isTold: boolean) {
    this.#isTold = isTold;
    this.#cache = cache;
    this.#statistics = statistics;
    loads += 1;
    this.#model = String(loads);
  }

  /** The outputs for a request's inputs; undefined where they are not kept. */
  find(request: ModelRequest): NamedArrays | undefined {
    const since = performance.now();
    request.cacheKey = this.#cache.keyOf(this.#model, request.inputs, this.#isTold ? request.source.parameters : undefined);
    const outputs = this.#cache.get(request.cacheKey);
    request.lookupMs = performance.now() - since;
    request.hit = outputs !== undefined;
    return outputs;
  }

  /** Keeps what a request was answered with. */
  keep(request: ModelRequest, outputs: NamedArrays): void {
    if (this.#closed) return;
    const since = performance.now();
    this.#cache.set(request.cacheKey, outputs);
    this.#statistics.missed(request.lookupMs + performance.now() - since);
  }

  /** Drops what is kept: the version is gone. */
  close(): void {
    this.#closed = true;
    this.#cache.forget(this.#model);
  }
}
