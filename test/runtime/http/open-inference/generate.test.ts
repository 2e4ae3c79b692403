import { setTimeout as pause } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRaw, until } from "../../../support/serving.ts";
import { front, type Fronted } from "./support.ts";

let served: Fronted;
beforeAll(async () => {
  served = await front();
});
afterAll(() => served[Symbol.asyncDispose]());

const names = { model_name: "words", model_version: "1" };
const events = (text: string): readonly unknown[] =>
  text
    .split("\n\n")
    .filter((event) => event !== "")
    .map((event) => JSON.parse(event.replace(/^data: /, "")) as unknown);

test("members named like inputs become tensors, the answer is flat", async () => {
  const answer = await served.post("/v2/models/add/generate", '{"INPUT0":[1,2],"INPUT1":[3,4],"id":"7"}');
  expect(answer.headers.get("content-type")).toBe("application/json");
  expect(await answer.json()).toEqual({ id: "7", model_name: "add", model_version: "1", OUTPUT: [4, 6] });
});

test("of a decoupled model, exactly one response", async () => {
  expect(await (await served.post("/v2/models/words/generate", '{"text":"one"}')).json()).toEqual({ ...names, word: "one" });
  for (const text of ["", "one two"]) {
    const answer = await served.post("/v2/models/words/generate", JSON.stringify({ text }));
    expect([answer.status, await answer.json()]).toEqual([
      500,
      {
        error:
          "generate expects model to produce exactly 1 response, use generate stream for model that generates various number of responses",
      },
    ]);
  }
  await until(() => served.plane.models.get("words")?.inside === 0);
});

test("as a stream, one event each", async () => {
  const answer = await served.post("/v2/models/words/versions/1/generate_stream", '{"text":"one two three"}');
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
  expect(events(await answer.text())).toEqual(["one", "two", "three"].map((word) => ({ ...names, word })));
});

test("of a model that is not decoupled, a stream of one", async () => {
  const answer = await served.post("/v2/models/text/generate_stream", '{"INPUT":"hello"}');
  expect(events(await answer.text())).toEqual([{ model_name: "text", model_version: "1", OUTPUT: "hello" }]);
});

test("a stream of nothing is empty", async () => {
  const answer = await served.post("/v2/models/words/generate_stream", '{"text":""}');
  expect([answer.status, await answer.text()]).toEqual([200, ""]);
});

test("the first response decides the status, a later failure is an event", async () => {
  const first = await served.post("/v2/models/words/generate_stream", '{"text":"fail one"}');
  expect([first.status, first.headers.get("content-type"), await first.text()]).toEqual([
    400,
    "text/event-stream; charset=utf-8",
    'data: {"error":"a bad word"}\n\n',
  ]);
  const later = await served.post("/v2/models/words/generate_stream", '{"text":"one fail two"}');
  expect([later.status, events(await later.text())]).toEqual([200, [{ ...names, word: "one" }, { error: "a bad word" }]]);
});

test.each([
  ["no JSON", "{", {}, 500, /^failed to parse the request JSON buffer/],
  ["an object as a parameter", '{"text":"a","x":{}}', {}, 400, /parameter 'x' has invalid type/],
  ["too many elements", '{"text":["a","b"]}', {}, 400, "The schema can not convert input 'text' to tensor with proper shape"],
  ["compression", gzipSync("{}"), { "content-encoding": "gzip" }, 400, "Unsupported content-encoding, only 'identity' is supported."],
  ["unknown compression", "{}", { "content-encoding": "br" }, 400, "Unsupported content-encoding, only 'identity' is supported."],
] as const)("refused before it begins: %s", async (_name, body, headers, status, error) => {
  for (const action of ["generate", "generate_stream"]) {
    const answer = await served.post(`/v2/models/words/${action}`, body, headers);
    expect(answer.headers.get("content-type")).toBe("application/json");
    expect({ status: answer.status, ...((await answer.json()) as object) }).toEqual({
      status,
      error: typeof error === "string" ? error : (expect.stringMatching(error) as string),
    });
  }
});

test("a client that goes away ends the stream", async () => {
  const model = served.plane.models.get("words");
  const abort = new AbortController();
  const text = new Array<string>(100_000).fill("word").join(" ");
  const answer = await served.post("/v2/models/words/generate_stream", JSON.stringify({ text }), {}, abort.signal);
  const reader = answer.body?.getReader();
  await reader?.read();
  expect(model?.inside).toBe(1);
  abort.abort();
  await until(() => model?.inside === 0);
});

test("what waits behind an answer on a connection that ends is called off, streams with no room among them", async () => {
  const [wait, words] = ["wait", "words"].map((name) => served.plane.models.get(name));
  using connection = await openRaw(served.port);
  const send = (path: string, body: string, header = ""): void => {
    connection.write(`POST /v2/models/${path} HTTP/1.1\r\nhost: x\r\n${header}content-length: ${body.length}\r\n\r\n${body}`);
  };
  const none = '{"inputs":[]}';
  for (let count = 0; count < 3; count += 1) send("wait/infer", none, `inference-header-content-length: ${none.length}\r\n`);
  send("words/generate_stream", JSON.stringify({ text: new Array<string>(1_000).fill("word".repeat(1_000)).join(" ") }));
  await until(() => wait?.inside === 3 && words?.inside === 1, "the calls");
  // Until there is no room for more words.
  await pause(300);
  connection.socket.resetAndDestroy();
  await until(() => wait?.inside === 0 && words?.inside === 0, "their end");
});
