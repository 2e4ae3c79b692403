import { Engine } from "../../engine/engine.ts";
import type { EngineLogger } from "../../engine/observer.ts";
import { ServableError } from "../../errors.ts";
import type { Placement } from "../../service/definition.ts";
import { ServiceLoader } from "../../service/loader.ts";
import { modelFailure } from "../model-failure.ts";
import { instanceName, typescriptProbeSpec, type TypeScriptFile } from "./typescript-backend.ts";
import type { Declaration } from "./typescript-declared.ts";

/**
 * Asks a model in TypeScript, in a worker that ends afterwards, what it declares of itself.
 *
 * @throws ServableError `load_failed` where it can't be imported
 */
export async function probeTypeScript(file: TypeScriptFile, placement: Placement, log: EngineLogger): Promise<Declaration> {
  const engine = new Engine({ services: [{ service: new ServiceLoader(typescriptProbeSpec(file)), policy: { placement } }], log });
  try {
    await engine.start().catch((thrown: unknown) => {
      throw modelFailure(thrown);
    });
    const answer = await engine.admit(instanceName).run({ contentType: "application/json", body: new TextEncoder().encode("null") });
    if (answer.kind !== "value") throw new ServableError("internal", "A model tells what it declares in one answer.");
    const text = typeof answer.body === "string" ? answer.body : new TextDecoder().decode(answer.body);
    return JSON.parse(text) as Declaration;
  } finally {
    await engine.stop(0);
  }
}
