import { expect, test } from "vitest";
import { createClient, ServableError } from "../../src/client.ts";
import type { ServiceDefinition } from "../../src/service/definition.ts";
import type * as services from "./services.ts";
import { sendJson, sendProblem, startWireServer } from "./wire-server.ts";

type Module = typeof services;

test("a batch goes in one request, and each item succeeds or fails alone", async () => {
  await using server = await startWireServer((_arrival, response) =>
    sendJson(response, [
      { output: { y: 2 } },
      {
        error: {
          status: 400,
          code: "invalid_request",
          detail: "Not a number.",
          errors: [{ path: "x", pointer: "/x", detail: "is a text" }],
        },
      },
      { output: { y: 6 } },
    ]),
  );
  const results = await createClient<Module>(server.url).double.batch([{ x: 1 }, { x: 2 }, { x: 3 }]);
  expect(server.arrivals).toHaveLength(1);
  expect(server.arrivals[0]).toMatchObject({ method: "POST", path: "/double/batch", body: Buffer.from('[{"x":1},{"x":2},{"x":3}]') });
  expect(results.map(({ output }) => output?.y)).toEqual([2, undefined, 6]);
  expect(ServableError.isInstance(results[1]?.error)).toBe(true);
  expect(results[1]?.error).toMatchObject({
    code: "invalid_request",
    message: "Not a number.",
    issues: [{ path: ["x"], message: "is a text" }],
  });
});

test("a batch that fails as a whole rejects, and is sent again like a call", async () => {
  await using server = await startWireServer((_arrival, response) =>
    sendProblem(response, { status: 503, code: "overloaded" }, { "retry-after": "0" }),
  );
  await expect(createClient<Module>(server.url).double.batch([{ x: 1 }])).rejects.toMatchObject({ code: "overloaded" });
  expect(server.arrivals).toHaveLength(3);
});

test("an answer that is not a result for each input is an error", async () => {
  await using server = await startWireServer((_arrival, response) => sendJson(response, [{ output: 1 }]));
  const client = createClient<Module>(server.url);
  await expect(client.double.batch([{ x: 1 }, { x: 2 }])).rejects.toMatchObject({
    code: "internal",
    message: expect.stringContaining("list of 2"),
  });
});

test("an empty batch needs no request", async () => {
  await using server = await startWireServer((_arrival, response) => sendJson(response, []));
  await expect(createClient<Module>(server.url).double.batch([])).resolves.toEqual([]);
  expect(server.arrivals).toEqual([]);
});

test("a batch of what JSON can't carry is refused, with the item", async () => {
  const any = createClient<ServiceDefinition>("http://127.0.0.1:9").any;
  await expect(any?.batch([1, new Blob(["x"])])).rejects.toMatchObject({ code: "invalid_request", issues: [{ path: [1] }] });
  await expect(any?.batch([{ x: 1 }, { x: Number.NaN }])).rejects.toMatchObject({ code: "invalid_request", issues: [{ path: [1, "x"] }] });
});
