import type { RequestEvent } from "../engine/observer.ts";
import type { StageTime } from "../service/call-context.ts";

/** What one line takes at most; an event that could take more is not written here. */
export const longestLine = 2_048;
const longestId = 128;
const mostStages = 16;
const mostNames = 256;
/** Beyond it a time has more digits than these lines are made for. */
const longestUs = 1e12;

/** Names as they stand in JSON, as bytes: services, outcomes and stages are few, and come again and again. */
const names = new Map<string, Uint8Array>();

/**
 * Writes the log line of a request that was answered, byte by byte: what pino makes of the same event (a test holds them together), in a tenth of
 * the time and with nothing for the garbage collector. Everything else that is logged, pino writes.
 *
 * @param time - the beginning of the line up to its id, as pino writes level and time
 * @param at - where it begins; there must be room for {@link longestLine} bytes
 * @returns where it ends, or -1 for an event that pino must write: an id that needs escapes, names or numbers beyond what is foreseen
 */
export function writeRequestLine(into: Uint8Array, at: number, time: string, event: RequestEvent): number {
  const { requestId, service, stages } = event;
  const us = microseconds(event.totalMs);
  if (service === undefined || stages.length > mostStages || us < 0 || requestId.length > longestId) return -1;
  let end = putText(into, at, time);
  end = putBytes(into, end, idKey);
  end = putPlain(into, end, requestId);
  if (end < 0) return -1;
  const serviceName = nameOf(service);
  const outcome = nameOf(event.outcome);
  if (serviceName === undefined || outcome === undefined) return -1;
  end = putBytes(into, end, serviceKey);
  end = putBytes(into, end, serviceName);
  end = putBytes(into, end, outcomeKey);
  end = putBytes(into, end, outcome);
  end = putBytes(into, end, msKey);
  end = putMilliseconds(into, end, us);
  end = putBytes(into, end, stagesKey);
  end = putStages(into, end, stages);
  if (end < 0) return -1;
  into[end++] = brace;
  if (event.items !== undefined) {
    end = putBytes(into, end, itemsKey);
    end = putWhole(into, end, event.items);
  }
  return putBytes(into, end, ending);
}

function putStages(into: Uint8Array, at: number, stages: readonly StageTime[]): number {
  let end = at;
  for (let index = 0; index < stages.length; index += 1) {
    const name = stages[index]?.stage ?? "";
    if (isAgain(stages, index, name)) continue;
    // A stage that came twice, such as the checks of input and output, is one time.
    let us = 0;
    for (let other = index; other < stages.length; other += 1) {
      const stage = stages[other];
      if (stage?.stage !== name) continue;
      const more = microseconds(stage.ms);
      if (more < 0) return -1;
      us += more;
    }
    const bytes = nameOf(name);
    if (bytes === undefined) return -1;
    if (end !== at) into[end++] = comma;
    end = putBytes(into, end, bytes);
    into[end++] = colon;
    end = putMilliseconds(into, end, us);
  }
  return end;
}

function isAgain(stages: readonly StageTime[], index: number, name: string): boolean {
  for (let before = 0; before < index; before += 1) if (stages[before]?.stage === name) return true;
  return false;
}

/** Microseconds are enough, and keep the lines short. @returns -1 for a time that is none */
function microseconds(ms: number): number {
  const us = Math.round(ms * 1_000);
  return us >= 0 && us < longestUs ? us : -1;
}

const encoder = new TextEncoder();
const bytesOf = (text: string): Uint8Array => encoder.encode(text);
const idKey = bytesOf(',"requestId":"');
const serviceKey = bytesOf('","service":');
const outcomeKey = bytesOf(',"outcome":');
const msKey = bytesOf(',"ms":');
const stagesKey = bytesOf(',"stages":{');
const itemsKey = bytesOf(',"items":');
const ending = bytesOf(',"msg":"request"}\n');
const comma = 0x2c;
const brace = 0x7d;
const colon = 0x3a;
const point = 0x2e;
const zero = 0x30;

/** @returns undefined for a name that is longer, or one more, than is foreseen */
function nameOf(name: string): Uint8Array | undefined {
  const known = names.get(name);
  if (known !== undefined) return known;
  if (names.size >= mostNames) return undefined;
  const bytes = bytesOf(JSON.stringify(name));
  // Outside ASCII a byte is no character any more, and the block is read as such.
  if (bytes.length > 64 || bytes.some((byte) => byte > 0x7e)) return undefined;
  names.set(name, bytes);
  return bytes;
}

/** A loop: `set` costs more than these few bytes. */
function putBytes(into: Uint8Array, at: number, bytes: Uint8Array): number {
  for (let index = 0; index < bytes.length; index += 1) into[at + index] = bytes[index] ?? 0;
  return at + bytes.length;
}

function putText(into: Uint8Array, at: number, text: string): number {
  for (let index = 0; index < text.length; index += 1) into[at + index] = text.charCodeAt(index);
  return at + text.length;
}

/** @returns -1 for a text that JSON, or ASCII, writes otherwise */
function putPlain(into: Uint8Array, at: number, text: string): number {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code < 0x20 || code > 0x7e || code === 0x22 || code === 0x5c) return -1;
    into[at + index] = code;
  }
  return at + text.length;
}

function putWhole(into: Uint8Array, at: number, value: number): number {
  let digits = 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits += 1;
  let rest = value;
  for (let place = at + digits - 1; place >= at; place -= 1) {
    const tens = Math.floor(rest / 10);
    into[place] = zero + (rest - tens * 10);
    rest = tens;
  }
  return at + digits;
}

/** As JavaScript writes a number of milliseconds: no zeros at its end. */
function putMilliseconds(into: Uint8Array, at: number, us: number): number {
  const whole = Math.floor(us / 1_000);
  const rest = us - whole * 1_000;
  let end = putWhole(into, at, whole);
  if (rest === 0) return end;
  into[end++] = point;
  const hundreds = Math.floor(rest / 100);
  const tens = Math.floor((rest - hundreds * 100) / 10);
  const ones = rest - hundreds * 100 - tens * 10;
  into[end++] = zero + hundreds;
  if (tens !== 0 || ones !== 0) into[end++] = zero + tens;
  if (ones !== 0) into[end++] = zero + ones;
  return end;
}
