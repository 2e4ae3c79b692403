import type { FastifyInstance } from "fastify";
import type { EngineStatus } from "../../engine/engine.ts";
import type { HttpAnswer } from "./call.ts";
import { replying, route, type FrontOptions } from "./service-front.ts";

/** `/livez`, `/startupz` and `/readyz`: the truth about the engine and its places, with the reason in the body. */
export function healthFront(app: FastifyInstance, { engine }: FrontOptions): void {
  for (const path of ["livez", "startupz", "readyz"] as const) {
    route(app, engine, { method: "GET", url: `/${path}`, answer: replying(() => answerHealth(engine.status(), path)) });
  }
}

/** Answers one of the health routes. */
export function answerHealth(status: EngineStatus, path: "livez" | "startupz" | "readyz"): HttpAnswer {
  const { state, ready, degraded, reason, services } = status;
  switch (path) {
    case "livez":
      return json(200, { status: "alive" });
    case "startupz": {
      const started = state !== "unstarted" && state !== "starting";
      return json(started ? 200 : 503, { status: started ? "started" : "starting" });
    }
    case "readyz": {
      const notReady = state === "ready" ? "not_ready" : state;
      return json(ready ? 200 : 503, { status: ready ? (degraded ? "degraded" : "ready") : notReady, reason, services });
    }
  }
}

function json(status: number, body: object): HttpAnswer {
  return { status, headers: { "content-type": "application/json", "cache-control": "no-store" }, body: JSON.stringify(body) };
}
