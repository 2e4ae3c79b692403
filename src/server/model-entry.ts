import { setTimeout as pause } from "node:timers/promises";
import { messageOf } from "../errors.ts";
import type { EngineLogger } from "../engine/observer.ts";
import { InferenceError } from "../protocol/inference-error.ts";
import type { ModelState, RepositoryIndexEntry } from "../protocol/model-info.ts";
import type { Limiter } from "./limiter.ts";
import type { ServedVersion } from "./served-version.ts";
import { notReady } from "./version-engine.ts";

/** How long a version may take to close when its grace time is over. */
const lastMs = 6_000;

/** A version that is to be loaded. */
export interface WantedVersion {
  readonly version: string;
  /** What it is made of; one that is loaded already of the same is left as it is. */
  readonly stamp: string;
  /** @throws ServableError where it can't be made of its configuration */
  readonly make: () => ServedVersion;
}

/** What all models of a server share. */
export interface EntrySurroundings {
  readonly loads: Limiter;
  readonly log: EngineLogger;
  /** How long the last requests of a version that is unloaded may take. */
  readonly graceMs: number;
}

/** One version: how it is, and what serves it. */
class Slot {
  state: ModelState = "LOADING";
  reason = "";
  stamp = "";
  served: ServedVersion | undefined;
  loadMs = 0;
}

/** A model of the repository that was loaded, or tried to be. Its changes come one after the other. */
export class ModelEntry {
  readonly name: string;
  /** Whether it is meant to be loaded; not after an unload. */
  wanted = true;
  /** Whether it was asked for by its own name, and not only as a part of an ensemble. */
  asked = false;
  /** The models that it is made of. */
  dependencies: readonly string[] = [];
  /** What the repository had when it was loaded last. */
  stamp: string | undefined;
  /** What it had when that failed. */
  failedStamp: string | undefined;
  /** Removes what a load brought along. */
  removeFiles: (() => Promise<void>) | undefined;
  readonly #surroundings: EntrySurroundings;
  readonly #slots = new Map<string, Slot>();
  readonly #live = new Set<ServedVersion>();
  readonly #retiring = new Map<Promise<void>, ServedVersion>();
  #newest: ServedVersion | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(name: string, surroundings: EntrySurroundings) {
    this.name = name;
    this.#surroundings = surroundings;
  }

  /** Does one thing to it at a time. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(work);
    this.#tail = done.catch(() => undefined);
    return done;
  }

  /** The versions that are ready, the oldest first. */
  get ready(): readonly ServedVersion[] {
    const found = [...this.#slots.values()].flatMap(({ state, served }) => (state === "READY" && served !== undefined ? served : []));
    return found.sort((a, b) => Number(a.version) - Number(b.version));
  }

  /** Everything that has been loaded and not gone yet. */
  get settled(): boolean {
    return [...this.#slots.values()].every(({ state }) => state !== "LOADING" && state !== "UNLOADING");
  }

  /** How long each ready version took to load, in milliseconds. */
  loadMs(version: string): number {
    return this.#slots.get(version)?.loadMs ?? 0;
  }

  /**
   * A version that takes requests.
   *
   * @param version - empty for the newest
   * @throws InferenceError `NOT_FOUND`, or `UNAVAILABLE` for one that is there and not ready
   */
  version(version: string): ServedVersion {
    if (this.#slots.size === 0) throw new InferenceError("NOT_FOUND", `Request for unknown model: '${this.name}' is not found`);
    if (version === "") {
      if (this.#newest !== undefined) return this.#newest;
      throw new InferenceError("NOT_FOUND", `Request for unknown model: '${this.name}' has no available versions`);
    }
    const slot = this.#slots.get(version);
    if (slot === undefined)
      throw new InferenceError("NOT_FOUND", `Request for unknown model: '${this.name}' version ${version} is not found`);
    if (slot.state === "READY" && slot.served !== undefined) return slot.served;
    throw notReady(this.name, version);
  }

  /** One line for each version, or one without versions. */
  index(): readonly RepositoryIndexEntry[] {
    const sorted = [...this.#slots].sort(([a], [b]) => Number(a) - Number(b));
    if (sorted.length === 0) return [{ name: this.name }];
    return sorted.map(([version, { state, reason }]) => ({ name: this.name, version, state, ...(reason === "" ? {} : { reason }) }));
  }

  /**
   * Has exactly these versions: loads what is new or has changed, then unloads what is gone. A version takes another one's place when it is
   * loaded, and that one ends what it has begun.
   *
   * @returns why versions failed, by version; empty where all are there
   */
  async become(wanted: readonly WantedVersion[]): Promise<ReadonlyMap<string, string>> {
    const failed = new Map<string, string>();
    await Promise.all(
      wanted.map(async (one) => {
        const reason = await this.#load(one);
        if (reason !== undefined) failed.set(one.version, reason);
      }),
    );
    const names = new Set(wanted.map(({ version }) => version));
    for (const [version, slot] of this.#slots) if (!names.has(version)) this.#unload(slot);
    this.#findNewest();
    return failed;
  }

  /** Unloads all; resolves when that has begun. */
  unload(): void {
    for (const slot of this.#slots.values()) this.#unload(slot);
    this.stamp = undefined;
    this.#findNewest();
    this.#dropFiles();
  }

  /** All that has been loaded and has not gone yet, what is on its way out included. */
  get versions(): readonly ServedVersion[] {
    return [...this.#live, ...this.#retiring.values()];
  }

  /** Breaks off what is still loading. */
  beginClose(): void {
    this.#closed = true;
    const serving = new Set([...this.#slots.values()].map(({ served }) => served));
    for (const version of this.#live) if (!serving.has(version)) void this.#retire(version, 0);
  }

  /** Ends everything. */
  async close(graceMs: number): Promise<void> {
    this.beginClose();
    await Promise.all([...this.#live].map((version) => version.stop(graceMs)));
    // Those that were being drained before have more time than there is now, and are not waited for longer.
    await Promise.race([Promise.all(this.#retiring.keys()), pause(graceMs + lastMs, undefined, { ref: false })]);
    await this.removeFiles?.();
    this.removeFiles = undefined;
  }

  async #load({ version, stamp, make }: WantedVersion): Promise<string | undefined> {
    let slot = this.#slots.get(version);
    if (slot === undefined) this.#slots.set(version, (slot = new Slot()));
    if (slot.stamp === stamp && slot.state === "READY") return undefined;
    const { served } = slot;
    if (served === undefined) {
      slot.state = "LOADING";
      slot.reason = "";
    }
    const { loads, log } = this.#surroundings;
    let next: ServedVersion | undefined;
    try {
      const made = make();
      next = made;
      let since = 0;
      await loads.run(() => {
        if (this.#closed) throw new Error("the server shuts down");
        since = performance.now();
        this.#live.add(made);
        return made.start();
      });
      slot.loadMs = performance.now() - since;
      // It may have been closed just when it became ready.
      if (this.#closed) throw new Error("the server shuts down");
    } catch (thrown) {
      if (next !== undefined) void this.#retire(next, 0);
      const reason = reasonOf(thrown);
      log.error({ model: this.name, version, err: thrown }, "model did not load");
      // What serves goes on serving.
      if (slot.served === undefined) {
        slot.state = "UNAVAILABLE";
        slot.reason = reason;
      }
      return reason;
    }
    slot.served = next;
    slot.stamp = stamp;
    slot.state = "READY";
    slot.reason = "";
    this.#findNewest();
    log.info({ model: this.name, version, loadMs: Math.round(slot.loadMs) }, "model loaded");
    if (served !== undefined) void this.#retire(served, this.#surroundings.graceMs);
    return undefined;
  }

  #unload(slot: Slot): void {
    const { served } = slot;
    if (served === undefined) return;
    slot.state = "UNLOADING";
    slot.served = undefined;
    slot.stamp = "";
    void this.#retire(served, this.#surroundings.graceMs).then(() => {
      if (slot.state !== "UNLOADING") return;
      slot.state = "UNAVAILABLE";
      slot.reason = "unloaded";
      this.#surroundings.log.info({ model: this.name, version: served.version }, "model unloaded");
    });
  }

  #retire(version: ServedVersion, graceMs: number): Promise<void> {
    this.#live.delete(version);
    const stopped = version.stop(graceMs).catch((thrown: unknown) => {
      this.#surroundings.log.error({ model: this.name, version: version.version, err: thrown }, "model did not stop");
    });
    const done: Promise<void> = stopped.then(() => {
      this.#retiring.delete(done);
    });
    this.#retiring.set(done, version);
    return done;
  }

  #findNewest(): void {
    this.#newest = this.ready.at(-1);
  }

  #dropFiles(): void {
    const remove = this.removeFiles;
    this.removeFiles = undefined;
    // The versions may still be reading them.
    if (remove !== undefined)
      void Promise.all(this.#retiring.keys())
        .then(remove)
        .catch(() => undefined);
  }
}

/** One line. */
export function reasonOf(thrown: unknown): string {
  const [line = ""] = messageOf(thrown).split("\n");
  return line;
}
