import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/** `npm test`: everything but the page, which needs a browser (vitest.page.config.ts). */
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/page/**"],
    globalSetup: ["test/support/build-fixtures.ts"],
    setupFiles: ["test/support/seed.ts"],
    // Native modules and worker threads of our own want a whole process around them.
    pool: "forks",
    // One process after the other for each file would cost more than most files do. So what a test changes for its process (its
    // environment, listeners) it puts back.
    isolate: false,
    // Many tests wait for processes or for time to pass; more at once would let those that measure time wait for a processor.
    maxWorkers: Math.max(3, availableParallelism() - 1),
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // "servable" is this package's own dist/: run as Node runs it, so that a test and what it starts share one copy.
    server: { deps: { external: [/\/dist\//] } },
    typecheck: { enabled: false },
  },
});
