import { ServableError } from "../errors.ts";
import { refuseUnknownKeys, type KeysOf } from "../known-keys.ts";
import { definitionOf } from "../service/define-service.ts";
import { isDefinition, type AnyServiceDefinition, type ServicePolicy } from "../service/definition.ts";
import { ServiceLoader, type LoaderSpec } from "../service/loader.ts";
import { isService, isServiceClass } from "../service/service.ts";

/** A service to run: a definition, a class of services, a {@link LoaderSpec}, or one of these with a policy of its own. */
export type ServiceSource = AnyServiceDefinition | ServiceLoader | LoaderSpec | (new () => object) | ServiceEntry;

/** A service with a policy that wins over its definition's. */
export interface ServiceEntry {
  readonly service: AnyServiceDefinition | ServiceLoader | LoaderSpec | (new () => object);
  readonly policy?: ServicePolicy | undefined;
}

const entryKeys = { service: true, policy: true } satisfies KeysOf<ServiceEntry>;

/** A source without its policy, and the policy where it carries one. @throws ServableError `invalid_config` */
export function entryOf(source: ServiceSource): ServiceEntry {
  if (!isEntry(source)) return { service: source };
  refuseUnknownKeys(source, entryKeys, "A service with a policy of its own");
  return source;
}

function isEntry(source: ServiceSource): source is ServiceEntry {
  return typeof source === "object" && (source as ServiceSource | null) !== null && "service" in source;
}

/** Finds the definition of what is to run, and how a worker constructs it. @throws ServableError `load_failed` or `invalid_config` */
export async function resolveSource(
  source: ServiceEntry["service"],
): Promise<{ readonly definition: AnyServiceDefinition; readonly loader: ServiceLoader | undefined }> {
  if (isDefinition(source)) return { definition: source, loader: undefined };
  if (isServiceClass(source)) {
    const definition = definitionOf(source);
    if (definition !== undefined) return { definition, loader: undefined };
  }
  if (source instanceof ServiceLoader) return { definition: await source.definition(), loader: source };
  if (typeof source === "object" && (source as LoaderSpec | null) !== null && "module" in source) {
    const loader = new ServiceLoader(source);
    return { definition: await loader.definition(), loader };
  }
  throw new ServableError(
    "invalid_config",
    `A service to run must be a definition, a class that extends Service, or a LoaderSpec${insteadOf(source)}.`,
  );
}

/** What it is instead, where that tells what was meant. */
function insteadOf(source: unknown): string {
  if (typeof source === "string") return `; of a module give { module: ${JSON.stringify(source)} }`;
  if (isService(source)) return "; this one is an instance: give its class";
  return typeof source === "function" ? "; this one is a function: give what defineService makes of it" : "";
}
