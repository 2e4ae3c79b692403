/**
 * Counters and histograms for the hot path, in a registry of prom-client: it sorts and joins the labels of every single
 * observation, which costs more than serving an echo. These keep one row for each set of labels and hand prom-client the sums when
 * it asks for them.
 */
import type { Metric, Registry } from "prom-client";

/** The labels of one row. */
export type Labels = Readonly<Record<string, string>>;

interface TallyOptions {
  readonly name: string;
  readonly help: string;
  readonly registry: Registry;
}

/** Rows by their label values, found by a chain of maps. */
class Rows<R> {
  readonly #rows = new Map<string, Map<string, R>>();
  readonly #create: () => R;
  #lastFirst: string | undefined;
  #lastInner = new Map<string, R>();

  constructor(create: () => R) {
    this.#create = create;
  }

  at(first: string, second: string): R {
    let inner = this.#lastInner;
    // Most often it is the service of the time before.
    if (first !== this.#lastFirst) {
      inner = this.#rows.get(first) ?? new Map<string, R>();
      this.#rows.set(first, inner);
      this.#lastFirst = first;
      this.#lastInner = inner;
    }
    let row = inner.get(second);
    if (row === undefined) inner.set(second, (row = this.#create()));
    return row;
  }

  *entries(): Generator<readonly [string, string, R]> {
    for (const [first, inner] of this.#rows) {
      for (const [second, row] of inner) yield [first, second, row];
    }
  }
}

/** A counter with two labels. */
export class Tally {
  readonly #rows = new Rows<{ count: number }>(() => ({ count: 0 }));

  constructor({ name, help, registry }: TallyOptions, labelNames: readonly [string, string]) {
    register(registry, name, () => ({
      name,
      help,
      type: "counter",
      aggregator: "sum",
      values: [...this.#rows.entries()].map(([first, second, { count }]) => ({
        value: count,
        labels: { [labelNames[0]]: first, [labelNames[1]]: second },
      })),
    }));
  }

  add(first: string, second: string): void {
    this.#rows.at(first, second).count += 1;
  }
}

/** A histogram with one label or two. */
export class TimeTally {
  readonly #rows: Rows<{ readonly buckets: Float64Array; sum: number; count: number }>;
  readonly #bounds: readonly number[];

  /** @param bounds - upper bounds of the buckets, ascending, in the unit of what is observed */
  constructor(
    { name, help, registry }: TallyOptions,
    labelNames: readonly [string] | readonly [string, string],
    bounds: readonly number[],
  ) {
    this.#bounds = bounds;
    this.#rows = new Rows(() => ({ buckets: new Float64Array(bounds.length), sum: 0, count: 0 }));
    register(registry, name, () => ({
      name,
      help,
      type: "histogram",
      aggregator: "sum",
      values: [...this.#rows.entries()].flatMap(([first, second, { buckets, sum, count }]) => {
        const labels: Labels = { [labelNames[0]]: first, ...(labelNames[1] === undefined ? {} : { [labelNames[1]]: second }) };
        let below = 0;
        const lines = bounds.map((bound, index) => {
          below += buckets[index] ?? 0;
          return { metricName: `${name}_bucket`, value: below, labels: { ...labels, le: bound } };
        });
        return [
          ...lines,
          { metricName: `${name}_bucket`, value: count, labels: { ...labels, le: "+Inf" } },
          { metricName: `${name}_sum`, value: sum, labels },
          { metricName: `${name}_count`, value: count, labels },
        ];
      }),
    }));
  }

  observe(first: string, second: string, value: number): void {
    const row = this.#rows.at(first, second);
    row.sum += value;
    row.count += 1;
    const bounds = this.#bounds;
    for (let index = 0; index < bounds.length; index += 1) {
      if (value <= (bounds[index] ?? 0)) {
        row.buckets[index] = (row.buckets[index] ?? 0) + 1;
        return;
      }
    }
  }
}

/** What a metric stands at. */
export interface Sums {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly aggregator: "sum";
  readonly values: readonly {
    readonly metricName?: string;
    readonly value: number;
    readonly labels: Readonly<Record<string, string | number>>;
  }[];
}

/**
 * Adds a metric that is summed up when it is asked for. A registry asks nothing of a metric but its name and `get`; its type asks for a
 * class of prom-client's.
 */
export function register(registry: Registry, name: string, get: () => Sums): void {
  const metric = { name, get: () => Promise.resolve(get()), reset: () => undefined };
  registry.registerMetric(metric as unknown as Metric);
}
