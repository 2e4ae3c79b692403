import { describe, expect, test } from "vitest";
import type { RequestHandler, ResponseHandler } from "../../../src/service/handlers/handler.ts";
import { matchesMediaType, parseMediaType } from "../../../src/service/handlers/media-type.ts";
import { negotiateResponse, selectRequestHandler, selectResponseHandler } from "../../../src/service/handlers/negotiate.ts";
import { failureOf } from "./support.ts";

function handlerOf(...mediaTypes: string[]): RequestHandler & ResponseHandler {
  return { mediaTypes, deserialize: () => undefined, serialize: () => "" };
}
const json = handlerOf("application/json", "application/*+json");
const image = handlerOf("image/png", "image/jpeg", "image/*", "multipart/form-data");
const svg = handlerOf("image/svg+xml");
const both = [json, image, svg];

describe("media types", () => {
  test.each([
    ["text/plain", "text/plain", {}],
    ["Text/PLAIN; Charset=UTF-8", "text/plain", { charset: "UTF-8" }],
    ['multipart/form-data; boundary="a;b \\"c\\""', "multipart/form-data", { boundary: 'a;b "c"' }],
    ["a/b;x=1;x=2; ;y=3;", "a/b", { x: "1", y: "3" }],
    [" a/b ", "a/b", {}],
  ])("%s", (text, essence, parameters) => {
    const parsed = parseMediaType(text);
    expect(parsed?.essence).toBe(essence);
    expect(Object.fromEntries(parsed?.parameters ?? [])).toEqual(parameters);
  });

  test.each(["", "text", "text/", "/plain", "text/plain; charset", "te xt/plain", 'a/b; x="open', "a/b/c", "a/b; x=é"])(
    "refuses %j",
    (text) => {
      expect(parseMediaType(text)).toBeUndefined();
    },
  );

  test("a long run of blanks is read in no time", () => {
    expect(parseMediaType(`a/b;${" ".repeat(50_000)}x`)).toBeUndefined();
  });

  test.each([
    ["image/*", "image/png", true],
    ["image/*", "imagery/png", false],
    ["image/*", "image/", false],
    ["application/*+json", "application/problem+json", true],
    ["application/*+json", "application/json", false],
    ["application/*+json", "application/+json", false],
    ["*/*", "a/b", true],
    ["text/plain", "text/plain", true],
    ["text/plain", "text/plainer", false],
  ])("%s and %s: %s", (pattern, essence, expected) => {
    expect(matchesMediaType(pattern, essence)).toBe(expected);
  });
});

describe("choosing who reads", () => {
  test("goes by the type, not by its case or parameters", () => {
    expect(selectRequestHandler(both, undefined)).toBe(json);
    expect(selectRequestHandler(both, "")).toBe(json);
    for (let round = 0; round < 2; round++) {
      expect(selectRequestHandler(both, "application/json")).toBe(json);
      expect(selectRequestHandler(both, "Application/JSON ; charset=utf-8")).toBe(json);
      expect(selectRequestHandler(both, "application/ld+json")).toBe(json);
      expect(selectRequestHandler(both, "image/webp")).toBe(image);
      expect(selectRequestHandler(both, "image/svg+xml")).toBe(svg);
      expect(selectRequestHandler(both, "multipart/form-data; boundary=x")).toBe(image);
    }
  });

  test("tells lists of handlers apart", () => {
    expect(selectRequestHandler([image], "image/svg+xml")).toBe(image);
    expect(selectRequestHandler([json, svg], "image/svg+xml")).toBe(svg);
  });

  test("lists what is taken", async () => {
    const error = await failureOf(() => selectRequestHandler([json, image], "text/csv"), "unsupported_media_type");
    expect(error.message).toContain("'text/csv'");
    expect(error.message).toContain("application/json, application/*+json, image/png, image/jpeg, image/* or multipart/form-data");
    expect(error.details).toEqual({ accepted: [...json.mediaTypes, ...image.mediaTypes] });
  });

  test("helps people who use curl -d or fetch", async () => {
    const form = "application/x-www-form-urlencoded";
    expect((await failureOf(() => selectRequestHandler([json], form), "unsupported_media_type")).message).toContain(
      "-H 'content-type: application/json'",
    );
    expect((await failureOf(() => selectRequestHandler([image], form), "unsupported_media_type")).message).not.toContain("curl");
    expect((await failureOf(() => selectRequestHandler([json], "text/plain;charset=UTF-8"), "unsupported_media_type")).message).toContain(
      "fetch",
    );
  });

  test("nonsense is refused, and shortened", async () => {
    for (const nonsense of ["json", "application", "x".repeat(10_000), ";", "é/ü"]) {
      const error = await failureOf(() => selectRequestHandler([json], nonsense), "unsupported_media_type");
      expect(error.message.length).toBeLessThan(300);
    }
    await failureOf(() => selectRequestHandler([], "application/json"), "unsupported_media_type");
  });

  test("thousands of different types don't lose the right answer", () => {
    for (let index = 0; index < 1000; index++) expect(selectRequestHandler(both, `image/x-${index}`)).toBe(image);
    expect(selectRequestHandler(both, "application/problem+json")).toBe(json);
  });
});

describe("choosing what is written", () => {
  test.each([
    [undefined, "application/json"],
    ["", "application/json"],
    ["*/*", "application/json"],
    ["image/*", "image/png"],
    ["image/jpeg", "image/jpeg"],
    ["IMAGE/JPEG", "image/jpeg"],
    ["text/html, image/jpeg;q=0.5, image/png;q=0.6", "image/png"],
    ["application/json;q=0.1, */*", "image/png"],
    ["text/event-stream, */*;q=0.1", "text/event-stream"],
    ["image/svg+xml", "image/svg+xml"],
  ])("%s gives %s", (accept, expected) => {
    expect(negotiateResponse(both, accept, ["text/event-stream"])).toBe(expected);
    expect(negotiateResponse(both, accept, ["text/event-stream"])).toBe(expected);
  });

  test("extra offers are part of what is remembered", async () => {
    expect(negotiateResponse(both, "text/event-stream", ["text/event-stream"])).toBe("text/event-stream");
    await failureOf(() => negotiateResponse(both, "text/event-stream"), "not_acceptable");
    expect(negotiateResponse([], undefined, ["application/x-ndjson"])).toBe("application/x-ndjson");
  });

  test.each(["text/html", "multipart/form-data", "application/json;q=0", "nonsense", "image/*;q=0, text/*"])(
    "%s is refused",
    async (accept) => {
      const error = await failureOf(() => negotiateResponse([json, image], accept), "not_acceptable");
      expect(error.details).toEqual({ available: ["application/json", "image/png", "image/jpeg"] });
      expect(error.message).toContain("ask for application/json, image/png or image/jpeg");
    },
  );

  test("finds the handler of a type", () => {
    expect(selectResponseHandler(both, "image/jpeg")).toBe(image);
    expect(selectResponseHandler(both, "text/event-stream")).toBeUndefined();
  });
});
