import { request, type Agent } from "node:http";

/** What came back for one request. */
export interface Reply {
  readonly status: number;
  /** When it had come (`performance.now()`). */
  readonly at: number;
  readonly ms: number;
  /** Its JSON. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** Posts one small request. */
export function post(url: string, agent: Agent): Promise<Reply> {
  const start = performance.now();
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json" };
    const message = request(url, { method: "POST", agent, headers }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("error", reject);
      response.on("end", () => {
        const body = JSON.parse(Buffer.concat(parts).toString()) as Readonly<Record<string, unknown>>;
        const at = performance.now();
        resolve({ status: response.statusCode ?? 0, at, ms: at - start, body });
      });
    });
    message.on("error", reject);
    message.end('{"n":1}');
  });
}
