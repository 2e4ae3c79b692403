export { OfflineRuntime, type OfflineProgress, type OfflineResult } from "./runtime/offline/offline-runtime.ts";
export type { OfflineRuntimeOptions } from "./runtime/offline/options.ts";
