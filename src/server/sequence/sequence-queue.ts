import { Deadlines } from "../../engine/deadlines.ts";
import { InferenceError } from "../../protocol/inference-error.ts";
import type { GatheredRun } from "../../service/batcher.ts";
import type { CallContext } from "../../service/call-context.ts";
import type { NamedArrays } from "../../tensor/named-arrays.ts";
import type { ModelConfig } from "../../triton/model-config.ts";
import { ModelQueue } from "../model-queue.ts";
import type { ModelRequest } from "../model-request.ts";
import type { LoadedSpecs } from "../model-service.ts";
import type { RequestQueue } from "../request-queue.ts";
import { correlationOf, type Correlation, type CorrelationId } from "./correlation.ts";
import { sequenceLimitsOf, toMs, type SequenceLimits } from "./sequence-plan.ts";
import { SequenceTensors } from "./sequence-tensors.ts";
import { cutOff, Sequence, type WaitingRequest } from "./sequence.ts";

/**
 * The queue of a model with state. Of each sequence one request at a time is with the model, in their order; requests of different sequences
 * share batches. As many sequences as there are slots are under way, the others wait in a backlog, in order, for one of those to end. A state
 * is kept only of sequences with a slot, so that there are no more of them, whatever comes.
 */
export class SequenceQueue implements RequestQueue {
  readonly #model: string;
  readonly #folder: string;
  readonly #limits: SequenceLimits;
  readonly #tensors: SequenceTensors;
  /** Where requests wait for the model itself. */
  readonly #turns: ModelQueue;
  /** The sequences that still take requests, under way and in the backlog. */
  readonly #known = new Map<CorrelationId, Sequence>();
  readonly #backlog = new Set<Sequence>();
  /** Of the sequences in the backlog those of their requests; of those under way how long nothing has come. */
  readonly #deadlines: Deadlines<Sequence>;
  #taken = 0;
  #waiting = 0;
  #draining = false;

  /**
   * @param folder - the model's
   * @param instances - how many there are
   * @throws ServableError where the configuration can't be served
   */
  constructor(config: ModelConfig, folder: string, instances: number) {
    this.#model = config.name ?? "";
    this.#folder = folder;
    this.#limits = sequenceLimitsOf(config, instances);
    this.#tensors = new SequenceTensors(config);
    this.#turns = new ModelQueue({ preserveOrdering: config.sequenceBatching?.oldest?.preserveOrdering ?? false });
    this.#deadlines = new Deadlines<Sequence>(this.#limits.idleMs);
  }

  get waiting(): number {
    return this.#waiting + this.#turns.waiting;
  }
  /** Sequences that have a slot. */
  get underWay(): number {
    return this.#taken;
  }
  /** Sequences that wait for one. */
  get backlog(): number {
    return this.#backlog.size;
  }

  load(): Promise<void> {
    return this.#tensors.load(this.#folder);
  }

  loaded(specs: LoadedSpecs): void {
    this.#tensors.check(specs);
  }

  open(run: GatheredRun<ModelRequest, NamedArrays>): void {
    this.#turns.open(run);
  }

  left(request: ModelRequest): void {
    this.#turns.left(request);
  }

  /**
   * Runs a request when those of its sequence that came before are done.
   *
   * @throws InferenceError `INVALID_ARG` for a request without an id, or of no sequence that is known; `CANCELLED` behind one that was
   * cancelled while it waited; `UNAVAILABLE` where its time was over before its sequence had a slot
   */
  submit(request: ModelRequest, context: CallContext): Promise<NamedArrays> {
    const { parameters } = request.source;
    if (request.rows !== 1) {
      const why = "must specify batch-size 1 due to requirements of sequence batcher";
      throw new InferenceError("INVALID_ARG", `inference request to model '${this.#model}' ${why}`);
    }
    const correlation = correlationOf(request.source, this.#model);
    this.#tensors.checkId(correlation.id);
    context.throwIfAborted();
    const sequence = this.#sequenceOf(correlation);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#giveUp(sequence, waiting);
      };
      const waiting: WaitingRequest = { request, context, correlation, resolve, reject, onAbort };
      context.watchAbort(onAbort);
      sequence.waiting.push(waiting);
      this.#waiting += 1;
      if (!sequence.hasSlot) this.#limitWait(sequence, parameters.timeout);
      this.#advance(sequence);
    });
  }

  drain(): void {
    this.#draining = true;
    this.#fill();
  }

  close(): void {
    for (const sequence of this.#known.values()) this.#deadlines.clear(sequence);
    this.#known.clear();
  }

  /** The sequence that a request belongs to; a new one where it starts one. */
  #sequenceOf({ id, start, end }: Correlation): Sequence {
    let sequence = this.#known.get(id);
    if (sequence === undefined) {
      if (!start) {
        const why = "must specify the START flag on the first request of the sequence";
        throw new InferenceError("INVALID_ARG", `inference request for sequence ${id} to model '${this.#model}' ${why}`);
      }
      sequence = new Sequence(id, (due) => {
        this.#expired(due);
      });
      this.#known.set(id, sequence);
      this.#backlog.add(sequence);
    } else if (sequence.hasSlot) {
      this.#deadlines.clear(sequence);
    }
    // Who comes behind the last one belongs to another sequence, of the same id perhaps.
    if (end) this.#forget(sequence);
    return sequence;
  }

  /** No request finds it any more: what it has is all that it gets. */
  #forget(sequence: Sequence): void {
    sequence.ended = true;
    if (this.#known.get(sequence.id) === sequence) this.#known.delete(sequence.id);
  }

  /** In the backlog the shortest time of all its requests counts for the whole sequence. */
  #limitWait(sequence: Sequence, timeout: unknown): void {
    const ms = typeof timeout === "number" || typeof timeout === "bigint" ? toMs(timeout) : 0;
    if (ms <= 0) return;
    if (sequence.dueList !== undefined && sequence.dueAt <= performance.now() + ms) return;
    this.#deadlines.set(sequence, ms);
  }

  /** Does what can be done for a sequence: gives it a slot, runs its next request, ends it. */
  #advance(sequence: Sequence): void {
    if (!sequence.hasSlot) {
      this.#fill();
      return;
    }
    if (sequence.running) return;
    const next = sequence.take();
    if (next !== undefined) {
      this.#waiting -= 1;
      this.#run(sequence, next);
    } else if (sequence.ended) {
      this.#release(sequence);
    } else {
      this.#deadlines.set(sequence, this.#limits.idleMs);
      if (this.#draining) this.#fill();
    }
  }

  #run(sequence: Sequence, { request, context, correlation, resolve, reject }: WaitingRequest): void {
    sequence.running = true;
    // Also in the middle a start begins anew.
    if (correlation.start || sequence.states === undefined) sequence.states = this.#tensors.initial;
    const { states } = sequence;
    request.inputs = { ...request.inputs, ...this.#tensors.controls(correlation), ...states };
    request.key += this.#tensors.key(states);
    void this.#outputs(request, context).then(
      (outputs) => {
        try {
          sequence.states = this.#tensors.next(outputs);
          resolve(outputs);
        } catch (thrown) {
          reject(thrown);
        }
        this.#ran(sequence);
      },
      (thrown: unknown) => {
        // The state stays what it was before: the request may be sent again.
        reject(thrown);
        this.#ran(sequence);
      },
    );
  }

  async #outputs(request: ModelRequest, context: CallContext): Promise<NamedArrays> {
    return this.#turns.submit(request, context);
  }

  #ran(sequence: Sequence): void {
    sequence.running = false;
    this.#advance(sequence);
  }

  /** Gives free slots to who waits the longest. */
  #fill(): void {
    for (const sequence of this.#backlog) {
      if (this.#taken >= this.#limits.slots && !this.#evictIdle()) return;
      this.#backlog.delete(sequence);
      this.#deadlines.clear(sequence);
      sequence.hasSlot = true;
      this.#taken += 1;
      this.#advance(sequence);
    }
  }

  #release(sequence: Sequence): void {
    this.#deadlines.clear(sequence);
    sequence.hasSlot = false;
    sequence.states = undefined;
    this.#taken -= 1;
    this.#fill();
  }

  /** With no new requests to come, who has nothing in hand makes room for who has. */
  #evictIdle(): boolean {
    if (!this.#draining) return false;
    for (const sequence of this.#deadlines) {
      if (!sequence.hasSlot) continue;
      this.#forget(sequence);
      this.#deadlines.clear(sequence);
      sequence.hasSlot = false;
      sequence.states = undefined;
      this.#taken -= 1;
      return true;
    }
    return false;
  }

  #expired(sequence: Sequence): void {
    this.#forget(sequence);
    if (sequence.hasSlot) {
      this.#release(sequence);
      return;
    }
    this.#backlog.delete(sequence);
    const late = (): InferenceError => new InferenceError("UNAVAILABLE", "timeout of the corresponding sequence has been expired");
    this.#waiting -= sequence.cut(0, late);
  }

  /**
   * A request that waits is wanted no more. With a gap in it the sequence is not what its client means, so it ends there, as in Triton: what
   * came before still runs; in the backlog nothing of it does. (One that is with the model already just gives no answer, and no state.)
   */
  #giveUp(sequence: Sequence, waiting: WaitingRequest): void {
    const place = sequence.waiting.indexOf(waiting);
    if (place === -1) return;
    this.#forget(sequence);
    this.#waiting -= sequence.cut(sequence.hasSlot ? place : 0, cutOff);
    if (sequence.hasSlot) this.#advance(sequence);
    else if (this.#backlog.delete(sequence)) this.#deadlines.clear(sequence);
  }
}
