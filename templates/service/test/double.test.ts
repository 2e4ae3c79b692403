import assert from "node:assert/strict";
import { test } from "node:test";
import { callService } from "servable/testing";
import { double } from "../src/double.ts";

test("doubles a number", async () => {
  assert.deepEqual(await callService(double, { x: 2 }), { y: 4 });
});

test("refuses what is not a number", async () => {
  // @ts-expect-error -- x is a number, which the compiler knows, too
  const refused = callService(double, { x: "2" });
  await assert.rejects(refused, { code: "invalid_request" });
});
