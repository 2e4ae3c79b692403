import type { FastifyPluginAsync, FastifyPluginCallback } from "fastify";

/** The mark that `fastify-plugin` sets, too: what the plugin adds, it adds where it is registered, not in a scope of its own. */
const skipOverride = Symbol.for("skip-override");

/** A plugin whose hooks reach the scope in which it is registered. The one that was given is left as it is. */
export function reachingOut(plugin: FastifyPluginCallback | FastifyPluginAsync): FastifyPluginCallback | FastifyPluginAsync {
  // Bound, since that keeps the number of its parameters: with three Fastify waits for `done`.
  const copy = (plugin as FastifyPluginAsync).bind(undefined);
  // With what `fastify-plugin` noted of it: its name, and what it depends on.
  return Object.assign(copy, plugin, { [skipOverride]: true });
}
