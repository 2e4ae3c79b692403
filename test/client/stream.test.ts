import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { createInterface } from "node:readline";
import { describe, expect, test, vi } from "vitest";
import { createClient, ServableError } from "../../src/client.ts";
import type * as services from "./services.ts";
import { sendJson, sendProblem, startEvents, startWireServer } from "./wire-server.ts";

type Module = typeof services;

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** What a loop got, and what it threw. */
async function collectAll<T>(items: AsyncIterable<T>): Promise<{ items: T[]; error: unknown }> {
  const list: T[] = [];
  try {
    for await (const item of items) list.push(item);
    return { items: list, error: undefined };
  } catch (error) {
    return { items: list, error };
  }
}

describe("a stream of outputs", () => {
  test("gives its items as they come", async () => {
    let sendNext: (() => void) | undefined;
    await using server = await startWireServer((_arrival, response) => {
      startEvents(response);
      let n = 0;
      sendNext = () => {
        n += 1;
        response.write(n <= 3 ? `data: {"n":${n}}\n\n` : "event: end\ndata:\n\n");
        if (n > 3) response.end();
      };
      sendNext();
    });
    const seen: number[] = [];
    // The next item is sent only when this one has been seen, so the loop ends only if nothing is held back.
    for await (const { n } of createClient<Module>(server.url).count({})) {
      seen.push(n);
      sendNext?.();
    }
    expect(seen).toEqual([1, 2, 3]);
  });

  test("leaves its connection to the next call", async () => {
    const ports: (number | undefined)[] = [];
    await using server = await startWireServer((_arrival, response) => {
      ports.push(response.socket?.remotePort);
      startEvents(response);
      response.write("data: {}\n\n");
      response.end("event: end\n\n");
    });
    const client = createClient<Module>(server.url);
    await collect(client.count({}));
    // The end of a body is read after its last event, in the background; a connection that was cut would never come again.
    await vi.waitFor(async () => {
      await collect(client.count({}));
      expect(ports.at(-1)).toBe(ports.at(-2));
    });
  });

  test("awaited, gives the iterable", async () => {
    await using server = await startWireServer((_arrival, response) => {
      startEvents(response);
      response.end('data: {"n":1}\n\nevent: end\n\n');
    });
    const items = await Promise.resolve(createClient<Module>(server.url).count({}));
    await expect(collect(items)).resolves.toEqual([{ n: 1 }]);
  });

  test("that fails throws the problem out of the loop, after the items before it", async () => {
    await using server = await startWireServer((_arrival, response) => {
      startEvents(response);
      const problem = {
        type: "about:blank",
        title: "Service failed",
        status: 500,
        detail: "It broke.",
        code: "service_failed",
        requestId: "r-1",
      };
      response.end(`data: {"n":1}\n\nevent: error\ndata: ${JSON.stringify(problem)}\n\n`);
    });
    const { items, error } = await collectAll(createClient<Module>(server.url).count({}));
    expect(items).toEqual([{ n: 1 }]);
    expect(error).toMatchObject({ code: "service_failed", message: "It broke.", requestId: "r-1" });
  });

  test.each([
    ["closed", (socket: { end(): void; destroy(): void }) => socket.end()],
    ["cut", (socket: { end(): void; destroy(): void }) => socket.destroy()],
  ])("that is %s without its end is an error", async (_how, close) => {
    await using server = await startWireServer((_arrival, response) => {
      startEvents(response);
      response.write('data: {"n":1}\n\n', () => close(response));
    });
    const { items, error } = await collectAll(createClient<Module>(server.url).count({}));
    expect(items).toEqual([{ n: 1 }]);
    expect(error).toMatchObject({ code: "unavailable", message: expect.stringMatching(/stream from http.* broke off/) });
  });

  test("that was refused throws out of the loop, also when it is iterated late, and is no unhandled rejection", async () => {
    const unhandled = vi.fn();
    process.on("unhandledRejection", unhandled);
    try {
      await using server = await startWireServer((_arrival, response) => sendProblem(response, { status: 401, code: "unauthenticated" }));
      const stream = createClient<Module>(server.url).count({});
      await vi.waitUntil(() => server.arrivals.length === 1);
      await new Promise((resolve) => setTimeout(resolve, 50));
      await expect(collect(stream)).rejects.toMatchObject({ code: "unauthenticated" });
      expect(unhandled).not.toHaveBeenCalled();
    } finally {
      process.off("unhandledRejection", unhandled);
    }
  });

  test("left early cancels the request", async () => {
    const gone = deferred();
    await using server = await startWireServer((_arrival, response) => {
      response.on("close", () => gone.resolve(response.writableFinished));
      startEvents(response);
      response.write('data: {"n":1}\n\n');
    });
    for await (const item of createClient<Module>(server.url).count({})) {
      expect(item).toEqual({ n: 1 });
      break;
    }
    await expect(gone.promise).resolves.toBe(false);
  });

  test.each(["before the answer", "awaited and never iterated"])("returned %s cancels the request", async (when) => {
    const gone = deferred();
    await using server = await startWireServer((_arrival, response) => {
      response.on("close", () => gone.resolve(response.writableFinished));
      if (when !== "before the answer") startEvents(response);
      response.flushHeaders();
    });
    const stream = createClient<Module>(server.url).count({});
    const iterable = when === "before the answer" ? stream : await Promise.resolve(stream);
    const iterator = iterable[Symbol.asyncIterator]();
    const pending = when === "before the answer" ? iterator.next() : undefined;
    await vi.waitUntil(() => server.arrivals.length === 1);
    await expect(iterator.return?.()).resolves.toEqual({ done: true, value: undefined });
    await expect(pending ?? iterator.next()).resolves.toEqual({ done: true, value: undefined });
    await expect(gone.promise).resolves.toBe(false);
  });

  test("ends with the caller's signal, with its reason kept", async () => {
    await using server = await startWireServer((_arrival, response) => {
      startEvents(response);
      response.write('data: {"n":1}\n\n');
    });
    const controller = new AbortController();
    const reason = new Error("the user closed the window");
    const stream = createClient<Module>(server.url).count({}, { signal: controller.signal });
    const thrown: unknown = await (async () => {
      for await (const item of stream) {
        expect(item).toEqual({ n: 1 });
        controller.abort(reason);
      }
    })().catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: "cancelled", cause: reason });
  });

  test("ends when an item is too long in coming, however long the stream is", async () => {
    await using server = await startWireServer((_arrival, response) => {
      startEvents(response);
      response.write('data: {"n":1}\n\n');
    });
    const { items, error } = await collectAll(createClient<Module>(server.url).count({}, { timeoutMs: 1500 }));
    expect(items).toEqual([{ n: 1 }]);
    expect(error).toMatchObject({ code: "deadline_exceeded" });
  });

  test("gives a slow reader its time", async () => {
    await using server = await startWireServer((_arrival, response) => {
      startEvents(response);
      response.end('data: {"n":1}\n\ndata: {"n":2}\n\nevent: end\n\n');
    });
    const seen: unknown[] = [];
    for await (const item of createClient<Module>(server.url).count({}, { timeoutMs: 1500 })) {
      seen.push(item);
      if (seen.length === 1) await new Promise((resolve) => setTimeout(resolve, 1600));
    }
    expect(seen).toHaveLength(2);
  });

  test("skips events that it does not know, and reports an item that is not JSON", async () => {
    await using server = await startWireServer((_arrival, response) => {
      startEvents(response);
      response.end('event: progress\ndata: half\n\ndata: {"n":1}\n\ndata: {"n":\n\n');
    });
    const { items, error } = await collectAll(createClient<Module>(server.url).count({}));
    expect(items).toEqual([{ n: 1 }]);
    expect(error).toMatchObject({ code: "internal", message: expect.stringMatching(/sent an item with JSON that can't be read/) });
  });
});

describe("a stream of inputs", () => {
  test("is sent while it is made", async () => {
    const arrived: string[] = [];
    const first = deferred();
    const server = createServer((request, response) => {
      expect(request.headers["content-type"]).toBe("application/x-ndjson");
      createInterface(request)
        .on("line", (line) => {
          arrived.push(line);
          first.resolve(true);
        })
        .on("close", () => sendJson(response, { sum: 3 }));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = createClient<Module>(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    async function* items(): AsyncGenerator<{ x: number }> {
      yield { x: 1 };
      // Nothing more comes before the server has the first item: collecting them first would never end.
      await first.promise;
      yield { x: 2 };
    }
    await expect(client.total(items())).resolves.toEqual({ sum: 3 });
    expect(arrived).toEqual(['{"x":1}', '{"x":2}']);
    server.closeAllConnections();
    server.close();
  });

  test("that throws cancels the call, with what it threw as the cause", async () => {
    await using server = await startWireServer((_arrival, response) => sendJson(response, { sum: 0 }));
    const boom = new Error("the microphone is gone");

    async function* items(): AsyncGenerator<{ x: number }> {
      throw boom;
    }
    await expect(createClient<Module>(server.url).total(items())).rejects.toMatchObject({ code: "cancelled", cause: boom });
  });

  test("with an item that JSON can't carry is refused", async () => {
    await using server = await startWireServer((_arrival, response) => sendJson(response, { sum: 0 }));
    async function* items(): AsyncGenerator<{ x: number }> {
      yield { x: Number.NaN };
    }
    await expect(createClient<Module>(server.url).total(items())).rejects.toMatchObject({ code: "invalid_request" });
  });

  test("is returned when nobody takes it, and never sent twice", async () => {
    const returned = deferred();
    async function* items(): AsyncGenerator<{ x: number }> {
      try {
        for (let x = 0; ; x++) {
          await nextTurn();
          yield { x };
        }
      } finally {
        returned.resolve(true);
      }
    }
    let attempts = 0;
    const server = createServer((request, response) => {
      attempts += 1;
      request.once("data", () => {
        sendProblem(response, { status: 503, code: "overloaded" }, { "retry-after": "0", connection: "close" });
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = createClient<Module>(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const error: unknown = await Promise.resolve(client.total(items())).catch((thrown: unknown) => thrown);
    expect(ServableError.isInstance(error)).toBe(true);
    await expect(returned.promise).resolves.toBe(true);
    expect(attempts).toBe(1);
    server.closeAllConnections();
    server.close();
  });

  test("is collected first in a browser, which can't send a body while it is made", async () => {
    vi.stubGlobal("location", { href: "https://shop.example/" });
    try {
      await using server = await startWireServer((_arrival, response) => sendJson(response, { sum: 3 }));
      async function* items(): AsyncGenerator<{ x: number }> {
        yield { x: 1 };
        yield { x: 2 };
      }
      await expect(createClient<Module>(server.url).total(items())).resolves.toEqual({ sum: 3 });
      expect(server.arrivals[0]?.headers["content-length"]).toBe("16");
      expect(server.arrivals[0]?.body.toString()).toBe('{"x":1}\n{"x":2}\n');
    } finally {
      vi.unstubAllGlobals();
    }
  });
});

function deferred(): { readonly promise: Promise<unknown>; readonly resolve: (value: unknown) => void } {
  let resolve: (value: unknown) => void = () => {};
  const promise = new Promise<unknown>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
