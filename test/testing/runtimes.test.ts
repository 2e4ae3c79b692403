/** The contract of runtimes, tried on the two that there are. */
import { HttpRuntime, fetchHandler, type ServiceEntry } from "servable/http";
import { runtimeContract, type ContractReply, type ContractRequest, type RunningRuntime } from "servable/testing";
import { describe, expect, test } from "vitest";
import { keepLog } from "../support/serving.ts";

type Send = (path: string, init: RequestInit) => Promise<Response>;

function overHttp(send: Send): RunningRuntime["send"] {
  return async ({ service, json, signal }: ContractRequest): Promise<ContractReply> => {
    const response = await send(`/${service}`, {
      method: "POST",
      body: json,
      headers: { "content-type": "application/json" },
      ...(signal && { signal }),
    });
    if (!response.ok) return { items: [], code: ((await response.json()) as { code: ContractReply["code"] & string }).code };
    if (response.headers.get("content-type")?.startsWith("application/x-ndjson") !== true)
      return { items: [await response.text()], code: undefined };
    const lines: string[] = [];
    let rest = "";
    try {
      for await (const part of response.body!.pipeThrough(new TextDecoderStream())) rest += part;
    } catch {
      // A failure cuts the connection, after the line that tells of it.
    }
    lines.push(...rest.split("\n").filter((line) => line !== ""));
    const last = JSON.parse(lines.at(-1) ?? "null") as { error?: { code: ContractReply["code"] & string } } | null;
    if (typeof last === "object" && last?.error !== undefined) return { items: lines.slice(0, -1), code: last.error.code };
    return { items: lines, code: undefined };
  };
}

const runtimes: Record<string, (services: readonly ServiceEntry[]) => Promise<RunningRuntime>> = {
  async HttpRuntime(services) {
    const runtime = new HttpRuntime({ services, port: 0, log: keepLog() });
    await runtime.start();
    return { send: overHttp((path, init) => fetch(runtime.url + path, init)), stop: () => runtime.stop() };
  },
  async fetchHandler(services) {
    const handle = fetchHandler(services);
    await handle.start();
    return { send: overHttp((path, init) => handle(new Request(`http://host.test${path}`, init))), stop: () => handle.close() };
  },
};

describe.each(Object.entries(runtimes))("%s", (_name, start) => {
  for (const { name, run, skip } of runtimeContract({ start })) test.skipIf(skip !== undefined)(name, run);
});

describe("the contract itself", () => {
  test("has a case for each promise, and skips only with a reason", () => {
    const cases = runtimeContract({ start: () => Promise.reject(new Error("never")), skip: { "answers a request": "because" } });
    expect(cases.length).toBeGreaterThanOrEqual(12);
    expect(cases.filter(({ skip }) => skip !== undefined).map(({ name, skip }) => [name, skip])).toEqual([
      ["answers a request", "because"],
    ]);
  });

  test.each([
    ["answers nothing", (): ContractReply => ({ items: [], code: undefined })],
    ["calls every failure internal", (): ContractReply => ({ items: [], code: "internal" })],
    ["always answers the same", (): ContractReply => ({ items: ['{"x":1}'], code: undefined })],
  ])("finds out a runtime that %s", async (_name, reply) => {
    const cases = runtimeContract({
      start: () => Promise.resolve({ send: () => Promise.resolve(reply()), stop: () => Promise.resolve() }),
    });
    const quick = cases.filter(({ name }) => !/left|limits|stops|deadline/.test(name));
    const results = await Promise.allSettled(quick.map(({ run }) => run()));
    expect(results.filter(({ status }) => status === "rejected").length).toBeGreaterThanOrEqual(quick.length - 1);
  });
});
