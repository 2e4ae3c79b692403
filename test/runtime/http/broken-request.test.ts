import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { Socket, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { answerBroken } from "../../../src/runtime/http/broken-request.ts";
import { makeCertificate } from "../../support/certificate.ts";
import { openRaw } from "../../support/serving.ts";

const certificate = makeCertificate();

test.skipIf(certificate === undefined)("a connection whose TLS handshake takes too long is closed", async () => {
  const { certFile, keyFile } = certificate!;
  const server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile), handshakeTimeout: 100 });
  const asked: unknown[] = [];
  server.on("clientError", (thrown, socket) => {
    if (!(socket instanceof Socket)) return;
    answerBroken(thrown as { readonly code?: string }, socket, (breakage) => {
      asked.push(breakage);
      return { headers: {}, body: "" };
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  using connection = await openRaw((server.address() as AddressInfo).port);
  expect(await connection.closed).toBe("");
  expect(asked).toEqual([]);
  server.close();
});
