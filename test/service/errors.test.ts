import { describe, expect, test } from "vitest";
import { ServableError, causeText, messageOf } from "../../src/errors.ts";

const cannotBeAsked = new Proxy(
  {},
  {
    get: refuse,
    has: refuse,
    getPrototypeOf: refuse,
  },
);
function refuse(): never {
  throw new Error("refused");
}
const withGetter = (name: string): Error => Object.defineProperty(new Error("with a getter"), name, { get: refuse });

describe("what plain JavaScript can put into an error is left out where it can't be told", () => {
  test.each([5n, { self: 1n }, "text", null, [1], { toJSON: refuse }, () => 1])("details %#", (details) => {
    expect(new ServableError("not_found", "gone", { details: details as never }).details).toEqual({});
  });
  test("details keep what JSON keeps, and are the error's own", () => {
    const details = { kept: [1], gone: () => 1 };
    const error = new ServableError("not_found", "gone", { details: details as never });
    details.kept.push(2);
    expect(error.details).toEqual({ kept: [1] });
  });
  test.each(["text", [null], [{ message: 1n, path: [] }], [{ message: "m" }], [{ message: "m", path: [Symbol("s")] }]])(
    "issues %#",
    (issues) => {
      expect(new ServableError("invalid_request", "odd", { issues: issues as never }).issues).toEqual([]);
    },
  );
  test.each(["soon", NaN, Infinity, 5n])("retryAfterMs %#", (retryAfterMs) => {
    expect(new ServableError("overloaded", "full", { retryAfterMs: retryAfterMs as never }).retryAfterMs).toBeUndefined();
  });
});

test.each([cannotBeAsked, undefined, { [Symbol.for("servable.error")]: true }])("is no ServableError, %#", (value) => {
  expect(ServableError.isInstance(value)).toBe(false);
});

test.each([
  [cannotBeAsked, "(object that can't be told)"],
  [withGetter("message"), "(object that can't be told)"],
  [Object.assign(new Error(), { message: { status: 502 } }), '{"status":502}'],
  [Object.assign(new Error(), { message: undefined }), "undefined"],
  [undefined, "undefined"],
  [Symbol("s"), "Symbol(s)"],
  [5n, "(bigint that can't be told)"],
])("messageOf always gives a text, %#", (thrown, text) => {
  expect(messageOf(thrown)).toBe(text);
});

test.each([cannotBeAsked, withGetter("stack"), withGetter("name"), Object.assign(new Error("e"), { stack: () => 1 })])(
  "causeText always gives a text, %#",
  (cause) => {
    expect(typeof causeText(cause)).toBe("string");
  },
);
