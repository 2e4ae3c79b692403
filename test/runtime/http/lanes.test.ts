/**
 * `POST /{service}` is answered past Fastify where no hooks of others can be, past Node's HTTP where it is simple besides, and by Fastify where
 * there can be hooks: whatever is sent, all must answer the same.
 */
import fc from "fast-check";
import { BytesHandler, TextHandler, defineService, streamOf } from "servable";
import { HttpRuntime } from "servable/http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { converseRaw, exchangeRaw, splitAnswers } from "../../support/raw-answers.ts";
import { keepLog, openRaw, until } from "../../support/serving.ts";
import { sized } from "../../support/sizes.ts";

const policy = { deadlineMs: 3_000, concurrency: 1_000, maxBodyBytes: 5_000 };
const services = [
  defineService({ name: "echo", policy, call: (value) => value }),
  defineService({ name: "double", policy, input: z.object({ x: z.number() }), call: ({ x }) => ({ y: 2 * x }) }),
  defineService({ name: "text", policy, request: new TextHandler(), response: new TextHandler(), call: (text) => `<${text}>` }),
  defineService({ name: "bytes", policy, request: new BytesHandler(), response: new BytesHandler(), call: (bytes) => bytes }),
  defineService({
    name: "count",
    policy,
    async *call(n) {
      for (let item = 0; item < Math.abs(Number(n)) && item < 20; item += 1) yield await Promise.resolve(item);
      if (Number(n) < 0) throw new Error("in the middle");
    },
  }),
  defineService({
    name: "pieces",
    policy,
    response: new BytesHandler(),
    async *call(n) {
      for (let item = 0; item < Number(n) && item < 20; item += 1) yield await Promise.resolve(Uint8Array.of(65 + item));
    },
  }),
  defineService({
    name: "sum",
    policy,
    input: streamOf(z.number()),
    async call(items) {
      let sum = 0;
      for await (const item of items) sum += item;
      return sum;
    },
  }),
  defineService({
    name: "fail",
    policy,
    call(): never {
      throw new Error("no luck");
    },
  }),
];

const direct = new HttpRuntime({ services, port: 0, log: keepLog() });
const behindFastify = new HttpRuntime({ services, port: 0, log: keepLog(), configure: () => undefined });
const portOf = ({ url }: HttpRuntime): number => Number(new URL(url).port);
beforeAll(() => Promise.all([direct.start(), behindFastify.start()]));
afterAll(() => Promise.all([direct.stop(), behindFastify.stop()]));

/** The last request of each connection; where the one before it is cut short, it is taken for the rest of that one's body. */
const goodbye = "GET /livez HTTP/1.1\r\nhost: x\r\nx-request-id: bye\r\nconnection: close\r\n\r\n";

/** How often each status was answered. */
const statuses = new Map<string, number>();

async function expectTheSame(pieces: readonly (string | Uint8Array)[], exchange = exchangeRaw): Promise<void> {
  const [past, behind] = await Promise.all([direct, behindFastify].map((runtime) => exchange(portOf(runtime), [...pieces, goodbye])));
  expect(past).toEqual(behind);
  expect(past?.length).toBeGreaterThan(0);
  for (const { status } of past ?? []) statuses.set(status.slice(9, 12), (statuses.get(status.slice(9, 12)) ?? 0) + 1);
}

function told(thrown: unknown): string {
  const { actual, expected } = thrown as { actual?: unknown; expected?: unknown };
  return actual === undefined ? String(thrown) : `past Fastify: ${JSON.stringify(actual)}\nbehind it: ${JSON.stringify(expected)}`;
}

const often = <T>(...values: readonly [T, ...T[]]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(values[0]) }, { weight: 3, arbitrary: fc.constantFrom(...values) });
const seldom = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined, freq: 4 });

const names = services.map(({ name }) => `/${name}`);
const target = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...names) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      ...["/echo?x=1", "/echo?", "/echo#x", "//echo", "/echo/", "/ECHO", "/%65cho", "/echo%2Fbatch", "/echo/batch", "/double/batch"],
      ...[
        "/./echo",
        "/x/../echo",
        "/echo;x",
        "/echo%00",
        "/%zz",
        "/nobody",
        "/",
        "*",
        "http://x/echo",
        "http://x/echo?y=1",
        "HTTP://X/echo",
      ],
      ...["https://other:1/double", "/echo//batch", "/sum/batch", "/__proto__", "/constructor", "/livez", "/metrics/x", "/\xe9cho"],
    ),
  },
);
const method = often("POST", "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND", "TRACE", "post");
const contentType = often<string | undefined>(
  "application/json",
  ...[
    undefined,
    "",
    "text/plain",
    "application/octet-stream",
    "application/x-ndjson",
    "Application/JSON; Charset=UTF-8",
    "image/png",
    "json",
  ],
  ...["application/json;;;=", "multipart/form-data", "application/vnd.x+json", "a b/c", "text/plain; charset=latin1"],
);
const accept = often<string | undefined>(
  undefined,
  ...[
    "",
    "*/*",
    "application/json",
    "text/event-stream",
    "application/x-ndjson",
    "text/html",
    "application/json;q=0",
    "text/*",
    "nonsense",
  ],
  ...["application/octet-stream", "text/event-stream, */*;q=0.1", ",,;", "application/x-ndjson;q=0.5, text/event-stream;q=0.6"],
);
const oddHeader = fc.constantFrom(
  ...["x-request-id: mine", "x-request-id: a b", "x-request-id: one\r\nx-request-id: two", "x-timeout-ms: 0", "x-timeout-ms: soon"],
  ...["x-timeout-ms: 99999999", "x-timeout-ms: 5000\r\nx-timeout-ms: 6000", "origin: http://evil.test", "origin: null", "origin: http://x"],
  ...["sec-fetch-site: cross-site", "sec-fetch-site: same-origin", "expect: 100-continue", "expect: a-miracle", "authorization: Bearer x"],
  ...["te: trailers"],
  ...[
    "content-encoding: gzip",
    "content-type: text/plain",
    "accept: text/plain",
    "host: second",
    "connection: close",
    "connection: keep-alive",
  ],
  ...["keep-alive: timeout=1", "cookie: a=b", "range: bytes=0-1", "if-none-match: *", "accept-encoding: gzip, br", "x-empty:", "x y: bad"],
  ...["x-folded: a\r\n b", "x-forwarded-for: 1.2.3.4", "access-control-request-method: POST", "no colon", ": no name"],
);
const json = fc.oneof(
  fc.constantFrom(
    ...['{"x":1}', '{"x":"1"}', "3", "0", "-2", "null", "{", "", "[1,2]", '[{"x":1},{"x":"2"}]', '{"__proto__":{"a":1}}', "1e999"],
  ),
  fc.constantFrom("1\n2\n3\n", "1\nx\n", '"ä€"', "NaN", `"${"x".repeat(4_998)}"`, `"${"x".repeat(6_000)}"`, "\xff\xfe{", " ".repeat(10)),
);
/** How the body is framed: rightly, or in one of the ways in which it can be wrong. */
const framing = often(
  ...(["length", "chunks", "chunks and trailers", "none", "length 0", "too short", "too long", "no number"] as const),
  ...(["twice", "twice, different", "both", "bad chunk", "chunk extension", "gzip, chunked", "negative", "huge"] as const),
);

interface Sent {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly hasHost: boolean;
  readonly contentType: string | undefined;
  readonly accept: string | undefined;
  readonly odd: readonly string[];
  readonly body: string;
  readonly framing: string;
}

const chunked = (body: Buffer, extension = ""): Buffer => {
  const cut = Math.floor(body.length / 2);
  const chunk = (part: Buffer): readonly (Buffer | string)[] =>
    part.length === 0 ? [] : [`${part.length.toString(16)}${extension}\r\n`, part, "\r\n"];
  return Buffer.concat([...chunk(body.subarray(0, cut)), ...chunk(body.subarray(cut)), "0\r\n"].map((part) => Buffer.from(part)));
};

/** The lines and the bytes that belong to a framing. */
function framed(framing: string, body: Buffer): readonly [head: readonly string[], body: Buffer] {
  const length = `content-length: ${body.length}`;
  const end = Buffer.from("\r\n");
  switch (framing) {
    case "length":
      return [[length], body];
    case "chunks":
      return [["transfer-encoding: chunked"], Buffer.concat([chunked(body), end])];
    case "chunks and trailers":
      return [
        ["transfer-encoding: chunked", "trailer: x-sum"],
        Buffer.concat([chunked(body), Buffer.from("x-sum: 1\r\ncontent-type: x\r\n"), end]),
      ];
    case "chunk extension":
      return [["transfer-encoding: Chunked"], Buffer.concat([chunked(body, ";a=b"), end])];
    case "bad chunk":
      return [["transfer-encoding: chunked"], Buffer.concat([Buffer.from("zz\r\n"), body, end])];
    case "gzip, chunked":
      return [["transfer-encoding: gzip, chunked"], Buffer.concat([chunked(body), end])];
    case "length 0":
      return [["content-length: 0"], Buffer.alloc(0)];
    case "too short":
      return [[`content-length: ${Math.max(0, body.length - 1)}`], body];
    case "too long":
      return [[`content-length: ${body.length + 1}`], body];
    case "huge":
      return [["content-length: 99999999999"], body];
    case "no number":
      return [["content-length: 1x"], body];
    case "negative":
      return [["content-length: -1"], body];
    case "twice":
      return [[length, length], body];
    case "twice, different":
      return [[length, "content-length: 1"], body];
    case "both":
      return [[length, "transfer-encoding: chunked"], Buffer.concat([chunked(body), end])];
    default:
      return [[], Buffer.alloc(0)];
  }
}

function bytesOf({ method, target, version, hasHost, contentType, accept, odd, body, framing }: Sent, id: number): Buffer {
  const [lines, rest] = framed(framing, Buffer.from(body, "latin1"));
  const head = [
    `${method} ${target} ${version}`,
    ...(hasHost ? ["host: x"] : []),
    ...(odd.some((header) => header.startsWith("x-request-id")) ? [] : [`x-request-id: r${id}`]),
    ...(contentType === undefined ? [] : [`content-type: ${contentType}`]),
    ...(accept === undefined ? [] : [`accept: ${accept}`]),
    ...odd,
    ...lines,
  ];
  return Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`, "latin1"), rest]);
}

const sent: fc.Arbitrary<Sent> = fc.record({
  method,
  target,
  version: often("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.1 ", "http/1.1"),
  hasHost: fc.oneof({ weight: 15, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  contentType,
  accept,
  odd: seldom(fc.array(oddHeader, { minLength: 1, maxLength: 3 })).map((list) => list ?? []),
  body: json,
  framing,
});

/** Cut into pieces at some places. */
function cutAt(bytes: Buffer, places: readonly number[]): readonly Buffer[] {
  const sorted = [0, ...places.map((place) => place % bytes.length).sort((a, b) => a - b), bytes.length];
  return sorted.slice(1).flatMap((end, index) => (end > sorted[index]! ? [bytes.subarray(sorted[index], end)] : []));
}

/** What a client that would rather speak another protocol sends along (curl --http2, Java); what comes behind it in one packet Node drops. */
const upgrades = ["upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: x", "upgrade: websocket\r\nconnection: upgrade"];

describe("past Fastify and behind it", () => {
  const runs = sized(100, 10_000);
  const requests = fc.array(sent, { minLength: 1, maxLength: 3 });
  const bytesOfAll = (all: readonly Sent[]): readonly Buffer[] => all.map((request, id) => bytesOf(request, id));

  /** Tells of those that are answered differently. */
  async function compare(count: number, arbitrary: fc.Arbitrary<readonly Buffer[]>, exchange: typeof exchangeRaw): Promise<void> {
    const all = fc.sample(arbitrary, { numRuns: count, seed: Number(process.env.FC_SEED ?? 1) });
    let next = 0;
    const different: string[] = [];
    const sender = async (): Promise<void> => {
      for (let index = next++; index < all.length && different.length < 5; index = next++) {
        const pieces = all[index]!;
        await expectTheSame(pieces, exchange).catch((thrown: unknown) => {
          different.push(`${index}: ${JSON.stringify(Buffer.concat(pieces).toString("latin1").slice(0, 1_500))}\n${told(thrown)}`);
        });
      }
    };
    await Promise.all(Array.from({ length: 100 }, sender));
    expect(different.join("\n\n")).toBe("");
  }

  test(`${runs} connections on which requests follow one another's answers get the same ones`, { timeout: 600_000 }, async () => {
    await compare(runs, requests.map(bytesOfAll), converseRaw);
    for (const status of ["200", "415"]) expect(statuses.get(status), status).toBeGreaterThan(runs / 100);
  });

  test(`${runs} connections, with whatever can be sent, get the same answers`, { timeout: 600_000 }, async () => {
    const cut = fc.record({ sent: requests, cuts: fc.array(fc.nat(), { maxLength: 6 }) });
    await compare(
      runs,
      cut.map((connection) => cutAt(Buffer.concat(bytesOfAll(connection.sent)), connection.cuts)),
      exchangeRaw,
    );
    // What is sent gets far enough to tell the ways apart, and in every way in which it can end.
    expect([...statuses.keys()]).toEqual(expect.arrayContaining(["100", "200", "400", "404", "405", "406", "413", "415", "500"]));
    for (const status of ["200", "415"]) expect(statuses.get(status), status).toBeGreaterThan(runs / 100);
  });

  test.each(upgrades)("one that asks for another protocol gets its answer over this one, and so does the next (%j)", async (header) => {
    const answers = await Promise.all(
      [direct, behindFastify].map(async (runtime) => {
        using connection = await openRaw(portOf(runtime));
        const request = `POST /double HTTP/1.1\r\nhost: x\r\nx-request-id: up\r\n${header}\r\ncontent-length: 7\r\n\r\n{"x":1}`;
        connection.write(request);
        await until(() => connection.received().endsWith('{"y":2}'), "the answer");
        connection.write(request.replace("1}", "2}"));
        await until(() => connection.received().endsWith('{"y":4}'), "the next answer");
        connection.write(goodbye);
        return splitAnswers(await connection.closed);
      }),
    );
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]?.map(({ status }) => status)).toEqual(Array.from({ length: 3 }, () => "HTTP/1.1 200 OK"));
  });
});
