import { describe, expect, test } from "vitest";
import { InlinePlacement } from "../../src/engine/placement/inline.ts";
import { WorkerPlacement } from "../../src/engine/placement/worker-placement.ts";
import { resolvePolicy } from "../../src/engine/policy.ts";
import { defineService } from "../../src/service/define-service.ts";
import { CallContext } from "../../src/service/call-context.ts";
import { keepLog } from "../support/serving.ts";

const service = defineService({ name: "s", call: (value) => value });
const request = { contentType: "application/json", body: new Uint8Array(), responseType: "application/json" };
const soon = { code: "not_ready", retryAfterMs: 1_000 };

describe("a place that is not ready says when to come again", () => {
  test("inline", () => {
    const placement = new InlinePlacement({
      definition: service,
      log: keepLog(),
      policy: resolvePolicy(service, {}),
      onChange: () => undefined,
    });
    expect(() => placement.run(request, new CallContext())).toThrow(expect.objectContaining(soon));
  });

  test("on threads, to who waits for one and who comes later", async () => {
    const placement = new WorkerPlacement({
      service: "s",
      kind: "thread",
      spec: { module: "file:///none.js" },
      policy: resolvePolicy(service, { placement: "thread" }),
      log: keepLog(),
      onChange: () => undefined,
    });
    const waiting = placement.run(request, new CallContext());
    const refused = expect(waiting).rejects.toMatchObject(soon);
    await placement.stop();
    await refused;
    await expect(placement.run(request, new CallContext())).rejects.toMatchObject(soon);
  });
});
