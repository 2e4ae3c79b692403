import path from "node:path";
import { fileURLToPath } from "node:url";

export const root: string = fileURLToPath(new URL("../../", import.meta.url));

/** The modules that build-fixtures.ts makes JavaScript of. */
export const fixtures = [
  "test/fixtures/crash-loop.ts",
  "test/fixtures/inference-services.ts",
  "test/fixtures/waiting-services.ts",
  "test/fixtures/wild-services.ts",
  "test/fixtures/worker-services.ts",
  "test/runtime/offline/services.ts",
  "test/cli/services.ts",
] as const;

/** Where the JavaScript of one is: beneath the repository, so that `servable` is this package. */
export function builtFixture(fixture: (typeof fixtures)[number]): string {
  return path.join(root, ".cache", "fixtures", fixture.replaceAll("/", "-").replace(/\.ts$/, ".mjs"));
}
