import { CallContext, toCallContext } from "./call-context.ts";
import { promiseOrStream } from "./chain.ts";
import { callChecked } from "./checked-call.ts";
import type { AnyServiceDefinition } from "./definition.ts";
import type { Service, ServiceContext } from "./service.ts";

const instances = new WeakMap<object, Promise<Service>>();

/** Runs a definition's service here and now: checked, with no runtime around it. Made and set up once, at the first call. */
export function callBare(definition: AnyServiceDefinition, argument: unknown, context?: Partial<ServiceContext>): unknown {
  const callContext = toCallContext(context);
  let instance = instances.get(definition);
  if (instance === undefined) {
    instance = prepare(definition, callContext);
    instances.set(definition, instance);
    // A setup that failed is tried again at the next call.
    instance.catch(() => instances.delete(definition));
  }
  // A call that a service makes with its own context is a part of its own time: told beside it, it would count twice.
  const isNested = context instanceof CallContext;
  return promiseOrStream(instance.then((service) => callChecked(service, definition, argument, callContext, !isNested)));
}

async function prepare(definition: AnyServiceDefinition, context: ServiceContext): Promise<Service> {
  const service = definition.create();
  await service.setup?.({ signal: new AbortController().signal, log: context.log });
  return service;
}
