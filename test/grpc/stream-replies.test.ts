import * as grpc from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import type { StreamCall } from "../../src/runtime/grpc/host.ts";
import { StreamReplies } from "../../src/runtime/grpc/stream-replies.ts";
import { Caller } from "./calling.ts";

const path = "/test.Test/Stream";
const same = (bytes: Buffer): Buffer => bytes;
const message = Buffer.alloc(2 * 1024, 1);

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** A stream to a client that does not read before it is told to. */
async function open(use: (call: StreamCall) => void): Promise<grpc.ClientDuplexStream<Buffer, Buffer>> {
  const server = new grpc.Server();
  const definition = {
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
  server.addService({ Stream: definition }, { Stream: use });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  const { client } = new Caller(`grpc://127.0.0.1:${port}`);
  const call = client.makeBidiStreamRequest(path, same, same);
  call.on("error", () => undefined);
  call.write(Buffer.from("begin"));
  ends.push(() => {
    client.close();
    server.forceShutdown();
  });
  return call;
}

test("a client that takes nothing of a stream does not keep it for ever", async () => {
  let sent = 0;
  const failed = new Promise<unknown>((resolve) => {
    const client = open((call) => {
      const replies = new StreamReplies(call, 200);
      const sendOn = async (): Promise<void> => {
        while (!replies.areOver) {
          await replies.send(message);
          sent += 1;
        }
      };
      sendOn().catch(resolve);
    });
    // One that never begins to read takes all that comes.
    void client.then((call) => call.on("data", () => call.pause()));
  });
  await expect(failed).resolves.toMatchObject({
    code: "cancelled",
    message: expect.stringMatching(/took nothing of the stream for \d+ s/) as string,
  });
  expect(sent).toBeGreaterThan(0);
});

test("one that takes a little now and then gets all of it", async () => {
  const count = 200;
  const client = await open((call) => {
    const replies = new StreamReplies(call, 400);
    const sendAll = async (): Promise<void> => {
      for (let index = 0; index < count; index += 1) await replies.send(message);
    };
    sendAll().then(
      () => replies.end(),
      (thrown: unknown) => replies.fail({ code: 13, details: String(thrown) }),
    );
  });
  let bytes = 0;
  const status = new Promise<grpc.StatusObject>((resolve) => client.on("status", resolve));
  const ended = new Promise((resolve) => client.on("end", resolve));
  client.on("data", (part: Buffer) => {
    bytes += part.byteLength;
    client.pause();
    setTimeout(() => client.resume(), 10);
  });
  expect(await status).toMatchObject({ code: 0 });
  await ended;
  expect(bytes).toBe(count * message.byteLength);
});
