import { expect, test } from "vitest";
import { double } from "../../examples/double/double.ts";

test("doubles a number", async () => {
  expect(await double.call({ x: 21 })).toEqual({ y: 42 });
});

test("refuses what is no number, and names the field", async () => {
  // @ts-expect-error -- the type says so too
  await expect(double.call({ x: "21" })).rejects.toMatchObject({ code: "invalid_request", issues: [{ path: ["x"] }] });
});
