const newline = 0x0a;
const carriageReturn = 0x0d;
const byteOrderMark = [0xef, 0xbb, 0xbf] as const;

/** Where a line of the input ends. */
export interface LinePlace {
  /** Counts every line from 1, blank ones too, as an editor does. */
  readonly line: number;
  /** Bytes of the input up to its end, the line break included. */
  readonly inputBytes: number;
}

/** One line of the input. */
export interface Line extends LinePlace {
  /**
   * Without its line break; undefined where it is longer than a line may be. Always a view on a larger buffer: what is posted to a
   * worker whole is taken away from here, and a row may have to be run twice.
   */
  readonly body: Uint8Array | undefined;
}

/**
 * Cuts bytes into lines and never holds more of them than one piece and one line of allowed length. Blank lines are passed over. Line
 * breaks are `\n` or `\r\n`; the last line needs none.
 */
export class LineReader {
  readonly #read: () => Promise<Uint8Array | undefined>;
  readonly #maxLineBytes: number;
  #line: number;
  #inputBytes: number;
  #piece: Uint8Array | undefined;
  #at = 0;
  /** Earlier pieces of a line that goes on in the next one. */
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #ended = false;

  /**
   * @param read - gives the next piece, or undefined at the end
   * @param start - the end of the last line that is not wanted any more
   */
  constructor(read: () => Promise<Uint8Array | undefined>, maxLineBytes: number, start: LinePlace = { line: 0, inputBytes: 0 }) {
    this.#read = read;
    this.#maxLineBytes = maxLineBytes;
    this.#line = start.line;
    this.#inputBytes = start.inputBytes;
  }

  /** Whether the input is at its end; `take` may still have lines. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Reads on, once. */
  async fill(): Promise<void> {
    this.#piece = await this.#read();
    this.#at = 0;
    if (this.#piece === undefined) this.#ended = true;
  }

  /** The next line that is not blank; undefined where `fill` has to come first, or the input is over. */
  take(): Line | undefined {
    for (;;) {
      const line = this.#next();
      if (line?.body === undefined || !isBlank(line.body)) return line;
    }
  }

  #next(): Line | undefined {
    const piece = this.#piece;
    if (piece === undefined) return this.#ended && this.#partBytes > 0 ? this.#finish(0) : undefined;
    const end = piece.indexOf(newline, this.#at);
    const part = piece.subarray(this.#at, end === -1 ? undefined : end);
    if (end === -1) {
      this.#piece = undefined;
      this.#keep(part);
      return undefined;
    }
    this.#at = end + 1;
    if (this.#partBytes === 0) return this.#make(part, part.byteLength, 1);
    this.#keep(part);
    return this.#finish(1);
  }

  #keep(part: Uint8Array): void {
    if (part.byteLength === 0) return;
    this.#partBytes += part.byteLength;
    // A little more than a line may have: a carriage return and a byte order mark do not count.
    if (this.#partBytes > this.#maxLineBytes + byteOrderMark.length + 1) this.#parts = [];
    else this.#parts.push(part);
  }

  #finish(breakBytes: number): Line {
    const byteLength = this.#partBytes;
    let body: Uint8Array | undefined;
    if (this.#parts.length > 0) {
      const whole = Buffer.allocUnsafeSlow(byteLength + 1);
      let at = 0;
      for (const part of this.#parts) {
        whole.set(part, at);
        at += part.byteLength;
      }
      body = whole.subarray(0, byteLength);
    }
    this.#parts = [];
    this.#partBytes = 0;
    return this.#make(body, byteLength, breakBytes);
  }

  #make(bytes: Uint8Array | undefined, byteLength: number, breakBytes: number): Line {
    const isFirst = this.#inputBytes === 0;
    this.#line += 1;
    this.#inputBytes += byteLength + breakBytes;
    const body = bytes && this.#withinLimit(withoutReturn(isFirst ? withoutMark(bytes) : bytes));
    return { line: this.#line, inputBytes: this.#inputBytes, body };
  }

  #withinLimit(body: Uint8Array): Uint8Array | undefined {
    return body.byteLength > this.#maxLineBytes ? undefined : body;
  }
}

function withoutMark(bytes: Uint8Array): Uint8Array {
  return byteOrderMark.every((byte, index) => bytes[index] === byte) ? bytes.subarray(byteOrderMark.length) : bytes;
}

function withoutReturn(bytes: Uint8Array): Uint8Array {
  return bytes.at(-1) === carriageReturn ? bytes.subarray(0, -1) : bytes;
}

function isBlank(body: Uint8Array): boolean {
  return body.every((byte) => byte === 0x20 || byte === 0x09 || byte === carriageReturn);
}
