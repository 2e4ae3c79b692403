/** One server-sent event. */
export interface ServerSentEvent {
  /** Its name; `message` where it has none. */
  readonly type: string;
  readonly data: string;
}

/**
 * Reads server-sent events (WHATWG HTML, section 9.2.6) out of bytes that may be cut anywhere: inside a line ending, inside a
 * character. What is not ended by a blank line is no event. `id` and `retry` are for reconnecting, which a call can't do. Unlike a
 * browser's EventSource, it gives an event that has a name and no data, too: `end` needs none.
 */
export class EventStreamParser {
  readonly #decoder = new TextDecoder();
  #partialLine = "";
  #endedWithCarriageReturn = false;
  #type = "";
  #data: string[] = [];

  /** Whether the bytes so far end in the middle of an event. */
  get isPartial(): boolean {
    return this.#partialLine !== "" || this.#type !== "" || this.#data.length > 0;
  }

  /** The events that the bytes so far complete. */
  push(bytes: Uint8Array): readonly ServerSentEvent[] {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text === "") return [];
    if (this.#endedWithCarriageReturn && text.startsWith("\n")) text = text.slice(1);
    this.#endedWithCarriageReturn = text.endsWith("\r");
    const events: ServerSentEvent[] = [];
    const [first = "", ...more] = text.split(/\r\n|\r|\n/);
    // Only new text is searched for line endings, so that one long line in many pieces costs no more than its length.
    this.#partialLine += first;
    for (const next of more) {
      this.#readLine(this.#partialLine, events);
      this.#partialLine = next;
    }
    return events;
  }

  #readLine(line: string, events: ServerSentEvent[]): void {
    if (line === "") {
      const named = this.#type !== "";
      if (named || this.#data.length > 0) events.push({ type: named ? this.#type : "message", data: this.#data.join("\n") });
      this.#type = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.#type = value;
    else if (field === "data") this.#data.push(value);
  }
}
