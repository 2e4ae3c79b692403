import type { Engine } from "../../engine/engine.ts";
import type { HttpAnswer } from "./call.ts";
import { openApiDocument, type OpenApiOptions } from "./openapi.ts";

/** Answers with the OpenAPI document of what the engine runs. */
export function answerOpenApi(engine: Engine, options: Omit<OpenApiOptions, "services">): HttpAnswer {
  const document = openApiDocument({ ...options, services: [...engine.definitions.values()] });
  return { status: 200, headers: { "content-type": "application/json" }, body: JSON.stringify(document) };
}
