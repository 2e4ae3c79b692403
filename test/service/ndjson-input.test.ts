import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ndjsonItems } from "../../src/service/ndjson-input.ts";

const encoder = new TextEncoder();
async function read(chunks: readonly Uint8Array[], maxItemBytes = 1000): Promise<unknown[]> {
  const items: unknown[] = [];
  for await (const item of ndjsonItems(chunks, maxItemBytes)) items.push(item);
  return items;
}
const text = (...parts: string[]): Uint8Array[] => parts.map((part) => encoder.encode(part));

test("however the bytes are cut, the items are the same", async () => {
  // Keys that change prototypes are refused, which is another test's business.
  const json = fc.jsonValue({ depthSize: "small" }).filter((value) => !JSON.stringify(value).includes("proto"));
  await fc.assert(
    fc.asyncProperty(
      fc.array(json, { maxLength: 8 }),
      fc.array(fc.nat(400), { maxLength: 10 }),
      fc.constantFrom("\n", "\r\n", "\n\n", "\n \t\r\n"),
      fc.boolean(),
      async (values, cuts, end, endsWithBreak) => {
        const bytes = encoder.encode(values.map((value) => JSON.stringify(value)).join(end) + (endsWithBreak ? end : ""));
        const places = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
        const chunks = places.slice(1).map((place, index) => bytes.subarray(places[index], place));
        expect(await read(chunks, 100_000)).toEqual(values.map((value) => JSON.parse(JSON.stringify(value)) as unknown));
      },
    ),
    { numRuns: 60 },
  );
});

describe("lines", () => {
  test("that are blank don't count", async () => {
    expect(await read(text("\n\n1\n  \n\t\r\n2\n"))).toEqual([1, 2]);
    expect(await read([])).toEqual([]);
    expect(await read(text(""))).toEqual([]);
  });

  test("that are too long are refused before they end, others never", async () => {
    let asked = 0;
    const endless = (function* () {
      for (;;) {
        asked += 1;
        yield encoder.encode("1".repeat(100));
      }
    })();
    const items = ndjsonItems(endless, 1000);
    await expect(items.next()).rejects.toMatchObject({ code: "payload_too_large", details: { maxBodyBytes: 1000 } });
    expect(asked).toBe(11);
    expect(await read(text(`"${"x".repeat(998)}"\n`.repeat(5)))).toHaveLength(5);
    await expect(read(text(`"${"x".repeat(999)}"\n`))).rejects.toMatchObject({ code: "payload_too_large" });
  });

  test("that are not JSON are named by their place", async () => {
    await expect(read(text("1\n\n{\n"))).rejects.toMatchObject({
      code: "invalid_request",
      stage: "deserialize",
      message: expect.stringMatching(/^Item 1 of the stream: /) as string,
    });
    await expect(read(text('1\n{"a":1e999}\n'))).rejects.toMatchObject({ issues: [{ path: [1, "a"] }] });
    await expect(read([new Uint8Array([0xff, 0x0a])])).rejects.toMatchObject({ code: "invalid_request" });
  });

  test("are read when they are asked for, and no sooner", async () => {
    let given = 0;
    const chunks = (function* () {
      for (; given < 100;) {
        given += 1;
        yield encoder.encode(`${given}\n`);
      }
    })();
    const items = ndjsonItems(chunks, 100);
    expect(given).toBe(0);
    await items.next();
    await items.next();
    expect(given).toBe(2);
    await items.return(undefined);
    expect(given).toBe(2);
  });
});
