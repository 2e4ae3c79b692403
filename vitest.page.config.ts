import { defineConfig } from "vitest/config";

/** `npm run test:page`: the page at `/` in a real browser (Chromium at /usr/bin/chromium, or where CHROMIUM_PATH says). */
export default defineConfig({
  test: {
    include: ["test/page/**/*.test.ts"],
    pool: "forks",
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    server: { deps: { external: [/\/dist\//] } },
  },
});
