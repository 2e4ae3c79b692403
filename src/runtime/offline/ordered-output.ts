import type { LinePlace } from "./line-reader.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { Output } from "./open-output.ts";
import type { WholeRows } from "./output-scan.ts";

/** A row that was taken in and is not written yet. */
export interface Row extends LinePlace {
  /** What it keeps in memory. */
  bytes: number;
  /** Its line of the output; undefined while it has no answer. */
  text: string | undefined;
  failed: boolean;
}

/** Rows that may wait for one before them: a slow one then holds up what is read, and not more than this is kept or lost by a kill. */
const maxRows = 1_024;
/** What they may keep in memory before reading waits. */
const maxBytes = 32 * 1024 * 1024;
/** What is written at once. */
const pieceLength = 1024 * 1024;

/** What an {@link OrderedOutput} is made of. */
export interface OrderedOutputOptions {
  readonly output: Output;
  /** How many rows run at the same time. */
  readonly atOnce: number;
  readonly checkpointMs: number;
  /** There is room again. */
  readonly onWritten: () => void;
  /** Nothing can be written any more. */
  readonly onFail: (thrown: unknown) => void;
}

/** Writes answers in the order of their rows, whatever the order in which they come. */
export class OrderedOutput {
  readonly #options: OrderedOutputOptions;
  readonly #maxRows: number;
  #rows: Row[] = [];
  /** Those at the front of `#rows` that are written. */
  #gone = 0;
  #bytes = 0;
  #written: Checkpoint;
  #writing: Promise<void> | undefined;
  #broken = false;
  #savedAt = performance.now();

  constructor(options: OrderedOutputOptions) {
    this.#options = options;
    this.#maxRows = Math.max(maxRows, 2 * options.atOnce);
    this.#written = options.output.checkpoint;
  }

  /** What is written, of earlier runs too. */
  get written(): Checkpoint {
    return this.#written;
  }
  get hasRoom(): boolean {
    return this.#rows.length - this.#gone < this.#maxRows && this.#bytes < maxBytes;
  }
  get isEmpty(): boolean {
    return this.#rows.length === this.#gone;
  }

  /** Counts rows that an earlier run has written behind its last checkpoint. */
  passOver({ rows, failed, outputBytes }: WholeRows, { inputBytes, line }: LinePlace): void {
    this.#written = { rows, failed, outputBytes, inputBytes, line };
  }

  /** Gives a row its place. */
  add(place: LinePlace, bytes: number): Row {
    const row: Row = { line: place.line, inputBytes: place.inputBytes, bytes, text: undefined, failed: false };
    this.#rows.push(row);
    this.#bytes += bytes;
    return row;
  }

  /** Writes a row's answer when its turn comes. */
  settle(row: Row, text: string, failed: boolean): void {
    row.text = text;
    row.failed = failed;
    this.#bytes += text.length - row.bytes;
    row.bytes = text.length;
    this.#writing ??= this.#write();
  }

  /** Resolves when everything is written whose turn has come, and how far that is, is kept. @throws ServableError where it can't be written */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    if (!this.#broken) await this.#options.output.save(this.#written);
  }

  async #write(): Promise<void> {
    // What settles in the same turn goes along.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      for (let text = this.#gather(); text !== undefined && !this.#broken; text = this.#gather()) {
        const bytes = Buffer.from(text.text);
        await this.#options.output.sink.write(bytes);
        this.#wrote(text.rows, bytes.byteLength);
        if (performance.now() - this.#savedAt >= this.#options.checkpointMs) await this.#save();
      }
    } catch (thrown) {
      this.#broken = true;
      this.#options.onFail(thrown);
    } finally {
      this.#writing = undefined;
    }
  }

  async #save(): Promise<void> {
    await this.#options.output.save(this.#written);
    this.#savedAt = performance.now();
  }

  #gather(): { readonly text: string; readonly rows: number } | undefined {
    let text = "";
    let rows = 0;
    for (let index = this.#gone; index < this.#rows.length && text.length < pieceLength; index += 1) {
      const line = this.#rows[index]?.text;
      if (line === undefined) break;
      text += line;
      rows += 1;
    }
    return rows === 0 ? undefined : { text, rows };
  }

  #wrote(count: number, outputBytes: number): void {
    const rows = this.#rows.slice(this.#gone, this.#gone + count);
    const last = rows.at(-1);
    if (last === undefined) return;
    this.#gone += count;
    if (this.#gone > this.#maxRows) {
      this.#rows = this.#rows.slice(this.#gone);
      this.#gone = 0;
    }
    let failed = 0;
    for (const row of rows) {
      this.#bytes -= row.bytes;
      row.text = "";
      if (row.failed) failed += 1;
    }
    this.#written = {
      rows: this.#written.rows + count,
      failed: this.#written.failed + failed,
      inputBytes: last.inputBytes,
      line: last.line,
      outputBytes: this.#written.outputBytes + outputBytes,
    };
    this.#options.onWritten();
  }
}
