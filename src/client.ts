/** Typed clients of services: runs in Node, browsers and workers. */
export { createClient } from "./client/create-client.ts";
export type { BatchResult, Client, DynamicMethod, StreamMethod, UnaryMethod } from "./client/client-types.ts";
export type { CallOptions, ClientOptions, Fetch } from "./client/options.ts";
export { ServableError, type ErrorCode, type FieldIssue, type JsonValue, type ServableErrorOptions } from "./errors.ts";
