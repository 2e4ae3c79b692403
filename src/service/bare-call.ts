import { toCallContext } from "./call-context.ts";
import { chain, promiseOrStream } from "./chain.ts";
import { callChecked } from "./checked-call.ts";
import type { ServiceDefinition } from "./definition.ts";
import type { Service, ServiceContext } from "./service.ts";

const instances = new WeakMap<object, Promise<Service>>();

/** Runs a definition's service here and now: checked, with no runtime around it. Made and set up once, at the first call. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the seam between a definition's types and its one untyped way
export function callBare(definition: ServiceDefinition<string, any, any>, argument: unknown, context?: Partial<ServiceContext>): any {
  const callContext = toCallContext(context);
  let instance = instances.get(definition);
  if (instance === undefined) {
    instance = prepare(definition, callContext);
    instances.set(definition, instance);
    // A setup that failed is tried again at the next call.
    instance.catch(() => instances.delete(definition));
  }
  return promiseOrStream(instance.then((service) => chain(callChecked(service, definition, argument, callContext), (value) => value)));
}

async function prepare(definition: ServiceDefinition, context: ServiceContext): Promise<Service> {
  const service = definition.create();
  await service.setup?.({ signal: new AbortController().signal, log: context.log });
  return service;
}
