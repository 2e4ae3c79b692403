import { Counter, Gauge, Registry, collectDefaultMetrics } from "prom-client";
import type { Engine } from "../engine/engine.ts";
import type { BatchRunEvent, Observer, RequestEvent, WorkerEvent } from "../engine/observer.ts";
import { Tally, TimeTally } from "./tallies.ts";

/** 0.1 ms to a minute: the range from an echo to a slow model. */
const secondsBuckets = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

const rowBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

/** Prometheus metrics of an engine and of the process; an {@link Observer}. */
export class Metrics implements Observer {
  /** Where the metrics live; pass it on to add your own. */
  readonly registry: Registry = new Registry();
  readonly #requests = new Tally(
    { name: "servable_requests_total", help: "Requests by service and outcome (ok, or an error code).", registry: this.registry },
    ["service", "outcome"],
  );
  readonly #duration = new TimeTally(
    {
      name: "servable_request_duration_seconds",
      help: "Time from admission to the answer, to the last item for a stream.",
      registry: this.registry,
    },
    ["service"],
    secondsBuckets,
  );
  readonly #stages = new TimeTally(
    {
      name: "servable_stage_duration_seconds",
      help: "Time of each stage of a request: queue, deserialize, validate, call, serialize, and those that a service times itself.",
      registry: this.registry,
    },
    ["service", "stage"],
    secondsBuckets,
  );
  readonly #batches = new Tally(
    {
      name: "servable_batches_total",
      help: "Batches by why they left: full, preferred, delay, idle, shape, alone.",
      registry: this.registry,
    },
    ["service", "reason"],
  );
  readonly #batchRows = new TimeTally(
    { name: "servable_batch_rows", help: "Rows of each batch.", registry: this.registry },
    ["service"],
    rowBuckets,
  );
  readonly #batchQueue = new TimeTally(
    { name: "servable_batch_queue_seconds", help: "How long the oldest request of each batch had waited for it.", registry: this.registry },
    ["service"],
    secondsBuckets,
  );
  readonly #batchRun = new TimeTally(
    { name: "servable_batch_run_seconds", help: "How long the model took for each batch.", registry: this.registry },
    ["service"],
    secondsBuckets,
  );
  readonly #restarts = new Counter({
    name: "servable_worker_crashes_total",
    help: "Workers that died without being told to.",
    labelNames: ["service"],
    registers: [this.registry],
  });
  readonly #startTime = new Gauge({
    name: "servable_worker_start_seconds",
    help: "Time that the last start of a worker took, its models included.",
    labelNames: ["service"],
    registers: [this.registry],
  });

  readonly #warmupTime = new Gauge({
    name: "servable_worker_warmup_seconds",
    help: "Time that the last warm-up took, before its worker was ready.",
    labelNames: ["service"],
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  /** Adds the gauges that are read from an engine when they are asked for. */
  watch(engine: Engine): void {
    const gauge = (name: string, help: string, read: (status: ReturnType<Engine["status"]>["services"][string]) => number): void => {
      new Gauge({
        name,
        help,
        labelNames: ["service"],
        registers: [this.registry],
        collect() {
          for (const [service, status] of Object.entries(engine.status().services)) this.set({ service }, read(status));
        },
      });
    };
    gauge("servable_requests_running", "Requests that hold a slot.", ({ running }) => running);
    gauge("servable_requests_queued", "Requests that wait for a slot.", ({ queued }) => queued);
    gauge(
      "servable_expected_wait_seconds",
      "How long a new request would wait for a slot, as measured.",
      (status) => status.expectedWaitMs / 1_000,
    );
    gauge("servable_requests_in_flight", "Requests admitted and not yet gone, bodies still arriving included.", ({ inFlight }) => inFlight);
    gauge("servable_workers_ready", "Places that take requests.", ({ ready }) => ready);
    gauge("servable_workers", "Places that there should be.", ({ total }) => total);
    new Gauge({
      name: "servable_ready",
      help: "1 when requests are taken.",
      registers: [this.registry],
      collect() {
        this.set(engine.status().ready ? 1 : 0);
      },
    });
  }

  requestFinished(event: RequestEvent): void {
    const service = event.service ?? "";
    this.#requests.add(service, event.outcome);
    this.#duration.observe(service, "", event.totalMs / 1_000);
    for (const { stage, ms } of event.stages) this.#stages.observe(service, stage, ms / 1_000);
  }

  batchRun({ service, reason, rows, queueMs, runMs }: BatchRunEvent): void {
    this.#batches.add(service, reason);
    this.#batchRows.observe(service, "", rows);
    this.#batchQueue.observe(service, "", queueMs / 1_000);
    this.#batchRun.observe(service, "", runMs / 1_000);
  }

  workerChanged(event: WorkerEvent): void {
    const { service } = event;
    if (event.change === "crashed") this.#restarts.inc({ service });
    if (event.warmupMs !== undefined) this.#warmupTime.set({ service }, event.warmupMs / 1_000);
    if (event.startMs !== undefined) this.#startTime.set({ service }, event.startMs / 1_000);
  }
}
