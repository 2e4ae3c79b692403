import type { OfflineProgress } from "../runtime/offline/offline-runtime.ts";

const windowMs = 15_000;
const barWidth = 16;

interface Sample {
  readonly at: number;
  readonly rows: number;
  readonly inputBytes: number;
}

/** How fast a run has been lately. */
export class Pace {
  readonly #samples: Sample[] = [];

  /** @param at - milliseconds on a steady clock */
  add(at: number, { rows, inputBytes }: Pick<OfflineProgress, "rows" | "inputBytes">): void {
    this.#samples.push({ at, rows, inputBytes });
    while (this.#samples.length > 2 && at - (this.#samples[0]?.at ?? at) > windowMs) this.#samples.shift();
  }

  /** Undefined while there is nothing to tell it from. */
  get rowsPerSecond(): number | undefined {
    return this.#per("rows");
  }
  get bytesPerSecond(): number | undefined {
    return this.#per("inputBytes");
  }

  #per(what: "rows" | "inputBytes"): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.at <= first.at) return undefined;
    return ((last[what] - first[what]) * 1_000) / (last.at - first.at);
  }
}

/** What a person reads of a run that goes on: `42.0 %  12,345 rows  1,234 rows/s  3 failed  1m 20s left`. */
export function progressText(progress: OfflineProgress, pace: Pace): string {
  const { rows, failed, inputBytes, totalBytes } = progress;
  const { rowsPerSecond, bytesPerSecond } = pace;
  const share = shareOf(progress);
  const left = totalBytes === undefined || !bytesPerSecond ? undefined : (totalBytes - inputBytes) / bytesPerSecond;
  return [
    ...(share === undefined ? [] : [`${(100 * share).toFixed(1)} %`]),
    countText(rows),
    ...(rowsPerSecond === undefined ? [] : [`${numberText(rowsPerSecond)} rows/s`]),
    `${numberText(failed)} failed`,
    ...(left === undefined ? [] : [`${durationText(left)} left`]),
  ].join("  ");
}

/** The same behind a bar, where the input's size is known. */
export function barText(progress: OfflineProgress, pace: Pace): string {
  const share = shareOf(progress);
  const text = progressText(progress, pace);
  if (share === undefined) return text;
  const done = Math.round(share * barWidth);
  return `[${"#".repeat(done)}${"-".repeat(barWidth - done)}]  ${text}`;
}

/** `1 row`, `12,345 rows`. */
export function countText(rows: number): string {
  return `${numberText(rows)} ${rows === 1 ? "row" : "rows"}`;
}

/** `12,345`; small ones with as many digits as tell something. */
export function numberText(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: value < 10 ? 1 : 0 });
}

/** `45s`, `1m 20s`, `3h 5m`. */
export function durationText(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3_600) return `${Math.floor(whole / 60)}m ${whole % 60}s`;
  return `${numberText(Math.floor(whole / 3_600))}h ${Math.floor((whole % 3_600) / 60)}m`;
}

function shareOf({ inputBytes, totalBytes }: OfflineProgress): number | undefined {
  return totalBytes === undefined || totalBytes === 0 ? undefined : Math.min(1, inputBytes / totalBytes);
}

/** What a display needs of standard error. */
export interface DisplayStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const barMs = 200;
const lineMs = 5_000;

/** Shows how far a run is: a bar on a terminal, elsewhere a line every few seconds; or nothing. Lines that are written meanwhile stay whole. */
export class ProgressDisplay {
  readonly #stream: DisplayStream;
  readonly #isQuiet: boolean;
  readonly #pace = new Pace();
  #shown = "";
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: DisplayStream, isQuiet: boolean) {
    this.#stream = stream;
    this.#isQuiet = isQuiet;
  }

  /** @param read - tells how far it is, whenever it is asked */
  start(read: () => OfflineProgress | undefined): void {
    const tick = (): void => {
      const progress = read();
      if (progress === undefined) return;
      this.#pace.add(performance.now(), progress);
      this.#show(progress);
    };
    const first = read();
    if (first !== undefined) this.#pace.add(performance.now(), first);
    this.#timer = setInterval(tick, this.#isBar ? barMs : lineMs);
    this.#timer.unref();
  }

  /** Writes a line for a person, unless nothing is to be said. */
  say(text: string): void {
    if (!this.#isQuiet) this.write(`servable: ${text}\n`);
  }

  /** Writes whole lines above the bar. */
  write(lines: string): void {
    const shown = this.#shown;
    this.#clear();
    this.#stream.write(lines);
    if (shown !== "") this.#draw(shown);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#clear();
  }

  get #isBar(): boolean {
    return this.#stream.isTTY === true;
  }

  #show(progress: OfflineProgress): void {
    if (this.#isQuiet) return;
    if (this.#isBar) {
      this.#clear();
      // A line that is broken by the terminal can't be cleared.
      this.#draw(barText(progress, this.#pace).slice(0, (this.#stream.columns ?? 80) - 1));
    } else this.say(progressText(progress, this.#pace));
  }

  #draw(text: string): void {
    this.#shown = text;
    this.#stream.write(text);
  }

  #clear(): void {
    if (this.#shown === "") return;
    this.#shown = "";
    this.#stream.write("\r\u001b[K");
  }
}
