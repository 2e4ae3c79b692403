import { ServableError } from "../errors.ts";
import type { RunPermits } from "../service/batcher.ts";
import type { InstancePlace } from "./instances.ts";

/** How much there is of a resource. */
export interface RateLimitResource {
  readonly name: string;
  readonly count: number;
  /** @default as much on each device */
  readonly device?: number | undefined;
}

/** A resource of one device, or of the whole machine. */
interface Pool {
  readonly name: string;
  readonly device: number | undefined;
  used: number;
}

interface Instance {
  readonly priority: number;
  /** What it uses while it runs. */
  readonly needs: readonly { readonly pool: Pool; readonly count: number }[];
  executions: number;
  isRunning: boolean;
}

/**
 * Has instances run only while what their rate limiters ask for is there (`--rate-limit=execution_count`). Of a resource there is as much as was said, else as
 * much as the instance needs that needs the most. Who has run less often, times its priority, goes first, and nobody overtakes it by needing less.
 */
export class RateLimiter {
  readonly #given: readonly RateLimitResource[];
  readonly #pools: Pool[] = [];
  readonly #versions = new Set<VersionPermits>();

  constructor(given: readonly RateLimitResource[]) {
    this.#given = given;
  }

  /**
   * Takes in the instances of a version.
   *
   * @returns undefined where they ask for nothing
   * @throws ServableError `invalid_config` where one needs more than there is
   */
  join(places: readonly InstancePlace[]): VersionPermits | undefined {
    const instances = places.map((place) => this.#instanceOf(place));
    if (instances.every(({ needs }) => needs.length === 0)) return undefined;
    const version = new VersionPermits(this, instances);
    this.#versions.add(version);
    return version;
  }

  /** Forgets the instances of a version. */
  leave(version: VersionPermits): void {
    this.#versions.delete(version);
    this.freed();
  }

  /** Whether somebody waits whose turn comes before another's. */
  isPreceded(version: VersionPermits): boolean {
    const others = [...this.#versions].filter((other) => other !== version);
    // While nothing runs, nobody waits: whoever is held to has given up.
    if (!others.some(({ isRunning }) => isRunning) && !version.isRunning) return false;
    return others.some((other) => other.waits && other.turn < version.turn);
  }

  hasRoom({ needs }: Instance): boolean {
    return needs.every(({ pool, count }) => pool.used + count <= this.#sizeOf(pool));
  }

  /** Lets those that wait have what was given back, in their turn. */
  freed(): void {
    const inTurn = [...this.#versions].sort((a, b) => a.turn - b.turn);
    for (const version of inTurn) version.waits = false;
    for (const version of inTurn) version.onFreed?.();
  }

  #instanceOf({ group: { rateLimiter }, gpu }: InstancePlace): Instance {
    const needs = (rateLimiter?.resources ?? []).flatMap(({ name = "", count = 0, global = false }) => {
      // The CPU has the number of the first device.
      const pool = this.#poolOf(name, global ? undefined : (gpu ?? 0));
      const given = this.#givenOf(pool);
      if (given !== undefined && count > given) {
        throw new ServableError(
          "invalid_config",
          `Resource count for "${name}" is limited to ${given} which will prevent scheduling of one or more model instances, the minimum required count is ${count}`,
        );
      }
      return count === 0 ? [] : [{ pool, count }];
    });
    // One that comes later has missed nothing.
    const before = [...this.#versions].map(({ turn }) => turn);
    const priority = Math.max(1, rateLimiter?.priority ?? 1);
    return { priority, needs, isRunning: false, executions: before.length === 0 ? 0 : Math.min(...before) / priority };
  }

  #poolOf(name: string, device: number | undefined): Pool {
    const known = this.#pools.find((pool) => pool.name === name && pool.device === device);
    if (known !== undefined) return known;
    const pool = { name, device, used: 0 };
    this.#pools.push(pool);
    return pool;
  }

  #givenOf({ name, device }: Pool): number | undefined {
    const named = this.#given.filter((one) => one.name === name);
    const own = device === undefined ? named[0] : named.find((one) => one.device === device);
    return (own ?? named.find((one) => one.device === undefined))?.count;
  }

  #sizeOf(pool: Pool): number {
    return this.#givenOf(pool) ?? Math.max(0, ...[...this.#versions].map((version) => version.mostOf(pool)));
  }
}

/** The permits of one version of a model. */
export class VersionPermits implements RunPermits {
  onFreed: (() => void) | undefined;
  /** Whether it was turned away since something was given back last. */
  waits = false;
  readonly #limiter: RateLimiter;
  readonly #instances: readonly Instance[];

  constructor(limiter: RateLimiter, instances: readonly Instance[]) {
    this.#limiter = limiter;
    this.#instances = instances;
  }

  get isFree(): boolean {
    const isFree = this.#next() !== undefined && !this.#limiter.isPreceded(this);
    if (!isFree) this.waits = true;
    return isFree;
  }

  take(): () => void {
    const instance = this.#next();
    this.waits = false;
    // Nothing is held up that has to fail, such as a run where all workers are gone.
    if (instance === undefined) return () => undefined;
    instance.isRunning = true;
    instance.executions += 1;
    for (const { pool, count } of instance.needs) pool.used += count;
    return () => {
      instance.isRunning = false;
      for (const { pool, count } of instance.needs) pool.used -= count;
      this.#limiter.freed();
    };
  }

  get isRunning(): boolean {
    return this.#instances.some(({ isRunning }) => isRunning);
  }

  /** The lower, the sooner. */
  get turn(): number {
    return Math.min(...this.#instances.map(({ executions, priority }) => executions * priority));
  }

  /** What the instance needs that needs the most. */
  mostOf(pool: Pool): number {
    const counts = this.#instances.flatMap(({ needs }) => needs.filter((need) => need.pool === pool).map(({ count }) => count));
    return Math.max(0, ...counts);
  }

  #next(): Instance | undefined {
    let next: Instance | undefined;
    for (const instance of this.#instances) {
      if (instance.isRunning || !this.#limiter.hasRoom(instance)) continue;
      if (next === undefined || instance.executions * instance.priority < next.executions * next.priority) next = instance;
    }
    return next;
  }
}
