import { describe, expect, test } from "vitest";
import { LoadReport } from "../../../src/runtime/triton/load-report.ts";
import { LogLines } from "../../../src/runtime/triton/log-lines.ts";

/** What tritonserver 2.51 printed, but for paths. */
const printed = String.raw`W1124 00:19:12.055697 10111 pinned_memory_manager.cc:273] "Unable to allocate pinned system memory"
I1124 00:19:12.061433 10111 model_lifecycle.cc:472] "loading: identity:1"
I1124 00:19:12.061474 10111 model_lifecycle.cc:472] "loading: add_sub:1"
I1124 00:19:12.061489 10111 model_lifecycle.cc:472] "loading: broken:1"
[libprotobuf ERROR /build/text_format.cc:337] Error parsing text-format inference.ModelConfig: 1:32: Expected integer, got: zz
E1124 00:23:08.631567 12842 model_repository_manager.cc:1460] "Poll failed for model directory 'unreadable': failed to read text proto from config.pbtxt"
E1124 00:23:08.631920 12842 model_repository_manager.cc:724] "failed to load model 'empty': at least one version must be available under the version policy of model 'empty'"
E1124 00:19:15.229313 10111 model_lifecycle.cc:642] "failed to load 'broken' version 1: Internal: InvalidProtobuf: parsing failed.\n\nAt:\n  model.py(33): open_session\n"
I1124 00:19:17.529623 10111 model_lifecycle.cc:839] "successfully loaded 'add_sub'"
I1124 00:19:17.833823 10111 server.cc:674] 
+-----------+---------+------------------------------------------------+
| Model     | Version | Status                                         |
+-----------+---------+------------------------------------------------+
| add_sub   | 1       | READY                                          |
| broken    | 1       | UNAVAILABLE: Internal: InvalidProtobuf         |
|           |         |                                                |
|           |         | At:                                            |
| other     | 2       | UNAVAILABLE: Internal: a | b                   |
| never     | -       | Not loaded: No model version was found         |
+-----------+---------+------------------------------------------------+

E1124 00:19:33.516323139   10885 chttp2_server.cc:1060]                UNKNOWN:No address added
2026-11-24T00:19:26Z W 10537 http_server.cc:4713] "with another time"
error: creating server: Internal - failed to load all models
tritonserver: unrecognized option '--nonsense=1'`;

function read(text: string) {
  const reader = new LogLines();
  return text.split("\n").flatMap((line) => reader.read(line) ?? []);
}

describe("a log of tritonserver", () => {
  const lines = read(printed);

  test("is read to levels and text", () => {
    expect(lines[0]).toEqual({
      level: "warn",
      text: "Unable to allocate pinned system memory",
      fields: { where: "pinned_memory_manager.cc:273" },
    });
    const texts = new Map(lines.map(({ level, text }) => [text, level]));
    expect(texts.get("loading: identity:1")).toBe("info");
    expect(texts.get("UNKNOWN:No address added")).toBe("error");
    expect(texts.get("with another time")).toBe("warn");
    expect(texts.get("error: creating server: Internal - failed to load all models")).toBe("error");
    expect(texts.get("tritonserver: unrecognized option '--nonsense=1'")).toBe("error");
    expect(lines.find(({ text }) => text.startsWith("failed to load 'broken'"))?.text.split("\n")).toContain("At:");
    expect(lines.filter(({ text }) => text.startsWith("|")).every(({ level }) => level === "debug")).toBe(true);
  });

  test("tells of every model why it did not load, and which still loads", () => {
    const report = new LoadReport();
    for (const line of lines) report.add(line);
    expect(Object.fromEntries(report.failures)).toEqual({
      unreadable: "failed to read text proto from config.pbtxt (line:column 1:32: Expected integer, got: zz)",
      empty: "at least one version must be available under the version policy of model 'empty'",
      broken: "version 1: Internal: InvalidProtobuf: parsing failed.",
      other: "Internal: a | b",
      never: "Not loaded: No model version was found",
    });
    expect(report.loading).toEqual(["identity"]);
  });

  test("what follows a line without a head of its own has its level", () => {
    const [, second] = read('E1124 00:19:15.1 1 a.cc:1] "first"\n  second');
    expect(second).toEqual({ level: "error", text: "  second", fields: {} });
  });
});

describe("a log of this package's own server", () => {
  test("is read to levels, text and fields", () => {
    const [line] = read('{"level":40,"time":"2026-11-24T00:23:15.297Z","model":"m","msg":"model loaded"}');
    expect(line).toEqual({ level: "warn", text: "model loaded", fields: { model: "m" } });
  });

  test("what only looks like it is a line like any other", () => {
    expect(read('{"level":"high","msg":1}\n{not json}').map(({ text }) => text)).toEqual(['{"level":"high","msg":1}', "{not json}"]);
  });

  test("tells of models", () => {
    const report = new LoadReport();
    for (const line of read('{"level":50,"model":"m","version":"3","err":{"message":"no good\\n"},"msg":"model did not load"}'))
      report.add(line);
    expect(report.failures.get("m")).toBe("version 3: no good");
  });
});
