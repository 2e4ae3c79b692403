import { checkAnswer } from "./http.ts";
import { anyJson } from "./json-text.ts";
import { hostileText, mutate } from "./mutate.ts";
import type { Random } from "./random.ts";
import { shown, Wrong, type FuzzCase } from "./target.ts";
import { readAnswers, talk, type WireScript } from "./wire.ts";

const good = '{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}';

/** HTTP that is broken beneath its bodies, and clients that are slow, stop in the middle, or go away. */
export const brokenHttp: FuzzCase = async (random, target) => {
  const bytes = random.from(messages)(random);
  const end = random.from(["half-close", "half-close", "leave", "wait"] as const);
  const slow = random.chance(0.1);
  const script: WireScript = {
    parts: pieces(random, bytes, slow ? random.between(5, 20) : random.between(1, 3)),
    pauseMs: slow ? 5 : 0,
    // The server has five minutes of patience with a body that does not come, and we have less.
    end: end === "wait" ? "leave" : end,
    leaveMs: random.from([0, 1, 5, 30]),
  };
  const came = await talk(target.server.httpPort, script);
  try {
    for (const answer of readAnswers(came, script.end === "leave")) checkAnswer(answer, target.server, "GET");
  } catch (thrown) {
    throw new Wrong(`${(thrown as Error).message}\n  sent: ${shown(bytes)}\n  came: ${shown(came)}`, { cause: thrown });
  }
};

function pieces(random: Random, bytes: Buffer, count: number): readonly Buffer[] {
  const cuts = [0, ...random.list(count - 1, () => random.below(bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return cuts.slice(1).map((end, index) => bytes.subarray(cuts[index], end));
}

function post(headers: string, body: string | Buffer, path = "/v2/models/id_fp32/infer"): Buffer {
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`, "latin1"), Buffer.from(body)]);
}

const sound = (): Buffer => post(`Content-Length: ${good.length}\r\n`, good);

const messages: readonly ((random: Random) => Buffer)[] = [
  // A content length that lies.
  (random) =>
    post(
      `Content-Length: ${random.from(["0", "1", "69", "71", "1000", "-1", "1e3", "abc", "", "9".repeat(30), "67108865", "2147483648"])}\r\n`,
      good,
    ),
  () => post(`Content-Length: ${good.length}\r\nContent-Length: 5\r\n`, good),
  () => post(`Content-Length: ${good.length}\r\nTransfer-Encoding: chunked\r\n`, good),
  // Chunks that are none.
  (random) => post("Transfer-Encoding: chunked\r\n", chunks(random)),
  (random) => post(`Transfer-Encoding: ${random.from(["gzip", "chunked, gzip", "identity", "x", "chunked, chunked"])}\r\n`, chunks(random)),
  // Bytes of a request, or several, with something wrong in them.
  (random) => mutate(random, sound()),
  (random) => mutate(random, Buffer.concat(random.list(random.between(2, 5), sound))),
  (random) => Buffer.concat([...random.list(random.between(1, 20), sound), Buffer.from("GET /v2 HTTP/1.1\r\n\r\n")]),
  (random) => random.bytes(random.size(3_000)),
  // First lines.
  (random) =>
    Buffer.from(
      `${random.from(["GET", "POST", "BREW", "", "GET ".repeat(100), "\0"])} ${hostileText(random)} HTTP/${random.from(["1.1", "1.0", "0.9", "2", "3.0", "x"])}\r\nHost: x\r\n\r\n`,
    ),
  (random) => post(`Content-Length: ${good.length}\r\n`, good, `/v2/models/${hostileText(random)}/infer`),
  (random) => Buffer.from(`GET /v2/models/${hostileText(random)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
  () => Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  () => Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]),
  // Heads.
  (random) => post(`Content-Length: ${good.length}\r\n${hostileText(random)}: ${hostileText(random)}\r\n`, good),
  (random) => post(`Content-Length: ${good.length}\r\nInference-Header-Content-Length: ${hostileText(random)}\r\n`, good),
  (random) => post(random.list(random.from([50, 2_001, 3_000]), (index) => `h${index}: x\r\n`).join(""), ""),
  (random) => post(`X: ${"y".repeat(random.from([1_000, 16_000, 100_000]))}\r\n`, ""),
  (random) => post(`Expect: ${random.from(["100-continue", "x"])}\r\nContent-Length: ${good.length}\r\n`, good),
  (random) => post(`Upgrade: ${random.from(["h2c", "websocket", "x"])}\r\nConnection: Upgrade\r\nContent-Length: ${good.length}\r\n`, good),
  () => Buffer.from("CONNECT /v2 HTTP/1.1\r\nHost: x\r\n\r\n"),
  // The raw binary and split ones, whose header length is no number.
  (random) =>
    post(
      `Content-Length: 4000\r\nInference-Header-Content-Length: ${random.from(["abc", "NaN", "-5", "0.5", "1,2"])}\r\n`,
      random.bytes(4_000),
    ),
  // Routes that read their body otherwise.
  (random) => {
    const body = anyJson(random);
    const path = random.from(["/v2/logging", "/v2/repository/index", "/v2/models/id_fp32/generate", "/v2/models/id_fp32/generate_stream"]);
    return post(`Content-Length: ${Buffer.byteLength(body) + random.from([0, 1, 100])}\r\n`, body.includes("log_") ? "{}" : body, path);
  },
];

function chunks(random: Random): string {
  const size = random.from([
    good.length.toString(16),
    "0",
    "1",
    "-1",
    "fffffffff",
    "ffffffffffffffffff",
    "g",
    "",
    `${good.length.toString(16)};x=${"y".repeat(random.size(20_000))}`,
  ]);
  return `${size}\r\n${good}\r\n${random.from(["0\r\n\r\n", "0\r\n", "", "0\r\nX: y\r\n\r\n", "5\r\nab"])}`;
}
