import type { Engine } from "../../engine/engine.ts";
import type { HttpAnswer } from "./exchange.ts";
import { openApiDocument } from "./openapi.ts";

/** Answers with the OpenAPI document of what the engine runs. */
export function answerOpenApi(engine: Engine, authenticated: boolean): HttpAnswer {
  const document = openApiDocument({ services: [...engine.definitions.values()], authenticated });
  return { status: 200, headers: { "content-type": "application/json" }, body: JSON.stringify(document) };
}
