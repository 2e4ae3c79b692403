import fc from "fast-check";
import { expect, test } from "vitest";
import { EventStreamParser, type ServerSentEvent } from "../../src/client/event-stream.ts";

function parse(bytes: Uint8Array, cuts: readonly number[] = []): ServerSentEvent[] {
  const parser = new EventStreamParser();
  const edges = [0, ...[...cuts].sort((a, b) => a - b), bytes.byteLength];
  return edges.slice(1).flatMap((end, index) => [...parser.push(bytes.subarray(edges[index], end))]);
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

test("reads events with every kind of line ending", () => {
  const expected = [
    { type: "message", data: '{"n":1}' },
    { type: "end", data: "" },
  ];
  for (const newline of ["\n", "\r\n", "\r"]) {
    expect(parse(encode(['data: {"n":1}', "", "event: end", "data:", "", ""].join(newline)))).toEqual(expected);
  }
});

test("joins data lines, drops comments, and takes one space off a value", () => {
  const text = ": keep-alive\n\ndata:  two spaces\ndata:none\nid: 7\nretry: 10\nunknown: x\n\n: again\nevent: end\n\n";
  expect(parse(encode(text))).toEqual([
    { type: "message", data: " two spaces\nnone" },
    { type: "end", data: "" },
  ]);
});

test("gives no event that no blank line ends", () => {
  expect(parse(encode("data: 1\n\ndata: 2\n"))).toEqual([{ type: "message", data: "1" }]);
});

test("gives the same events cut at every byte", () => {
  const bytes = encode('data: {"text":"grüße 🌍"}\r\n\r\nevent: end\r\ndata: {}\r\n\r\n');
  const whole = parse(bytes);
  expect(whole.map(({ type }) => type)).toEqual(["message", "end"]);
  for (let cut = 0; cut <= bytes.byteLength; cut++) expect(parse(bytes, [cut])).toEqual(whole);
  expect(parse(bytes, Array.from(bytes.keys()))).toEqual(whole);
});

test("gives back whatever was sent, wherever it is cut", () => {
  const newline = fc.constantFrom("\n", "\r\n", "\r");
  const line = fc.string({ unit: "binary" }).map((text) => text.replaceAll(/[\r\n]/g, ""));
  const event = fc.record({
    type: fc.constantFrom("message", "end", "error"),
    data: fc.array(line, { minLength: 1, maxLength: 3 }),
    newline,
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 12 }), (events, positions) => {
      const text = events
        .map(({ type, data, newline: end }) => `event: ${type}${end}${data.map((value) => `data: ${value}${end}`).join("")}${end}`)
        .join("");
      const bytes = encode(text);
      const cuts = positions.map((position) => position % (bytes.byteLength + 1));
      // A lone surrogate has no UTF-8: what was sent is what the encoder made of it.
      const sent = events.map(({ type, data }) => ({ type, data: new TextDecoder().decode(encode(data.join("\n"))) }));
      expect(parse(bytes, cuts)).toEqual(sent);
    }),
  );
});
