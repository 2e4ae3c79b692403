/**
 * One case of a contract suite. It knows no test runner: hand each one to yours.
 *
 * @example
 * ```ts
 * import { test } from "vitest";
 * import { modelContract } from "servable/testing";
 *
 * for (const { name, run, skip } of modelContract({ create, example })) test.skipIf(skip !== undefined)(name, run);
 * ```
 */
export interface ContractCase {
  /** What holds when the case passes. */
  readonly name: string;
  /** Resolves when it holds; rejects with what is wrong when it does not. */
  run(): Promise<void>;
  /** Why the case does not apply here; undefined when it does. */
  readonly skip?: string;
}
