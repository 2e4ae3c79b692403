/** For tests of services, and of handlers, models and runtimes of your own. */
export { callService, createTestRuntime, TestRuntime, type TestRuntimeOptions, type TestServices } from "./testing/test-runtime.ts";
export type { ContractCase } from "./testing/contract.ts";
export { modelContract, type ModelContractOptions } from "./testing/model-contract.ts";
export {
  runtimeContract,
  type ContractReply,
  type ContractRequest,
  type RunningRuntime,
  type RuntimeContractOptions,
} from "./testing/runtime-contract.ts";
export { handlerContract, type HandlerContractOptions, type HandlerExample } from "./testing/handler-contract.ts";
