import { spawnSync } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const script = fileURLToPath(new URL("../../.ci/run", import.meta.url));
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "servable-ci-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

interface Counts {
  readonly passed: number;
  readonly failed: number;
}

/** Runs .ci/run with an npm that runs nothing and reports what it is told to: it is the counting that is tested. */
async function runCi(
  results: { readonly test: Counts; readonly check: string; readonly page: Counts; readonly clients: string; readonly store?: string },
  chromium: string,
) {
  const report = ({ passed, failed }: Counts): string => {
    const body = JSON.stringify({ numPassedTests: passed, numFailedTests: failed, numPendingTests: 0, testResults: [] });
    return `for word; do case $word in --outputFile.json=*) echo '${body}' > "\${word#*=}";; esac; done; exit ${failed > 0 ? 1 : 0}`;
  };
  const npm = path.join(folder, "npm");
  await writeFile(
    npm,
    `#!/bin/sh
case "$1 $2" in
  "run check") echo '${results.check}'; exit 0;;
  "run test:conformance") echo '${results.clients}'; exit ${results.clients.includes("failed") ? 1 : 0};;
  "run test:conformance:s3") echo '${results.store ?? "2 passed, 0 failed"}'; exit ${results.store === undefined ? 0 : 1};;
  "run test:fuzz") echo '4 passed, 0 failed'; exit 0;;
  "run test:page") ${report(results.page)};;
  "test --") ${report(results.test)};;
esac
exit 99
`,
  );
  await chmod(npm, 0o755);
  const env = { ...process.env, PATH: `${folder}:${process.env.PATH ?? ""}`, CHROMIUM_PATH: chromium };
  const { status, stdout } = spawnSync(script, { env, encoding: "utf8" });
  return { status, lines: stdout.trimEnd().split("\n") };
}

describe(".ci/run", () => {
  const fine = {
    test: { passed: 5, failed: 0 },
    check: "ok   types",
    page: { passed: 2, failed: 0 },
    clients: "3 passed, 1 skipped in 2.50s",
  };

  test("adds up tests, checks, page tests, the real clients' and the store's in its closing line", async () => {
    const { status, lines } = await runCi(fine, process.execPath);
    expect(lines.at(-1)).toBe("17 passed, 0 failed, 1 skipped");
    expect(status).toBe(0);
  });

  test("says that the page's tests are skipped where there is no browser, and why, and does not fail for it", async () => {
    const { status, lines } = await runCi(fine, path.join(folder, "no-browser"));
    expect(lines).toContainEqual(expect.stringMatching(/^skipped: the page's tests in a browser, because .*no-browser$/));
    expect(lines.at(-1)).toBe("15 passed, 0 failed, 2 skipped");
    expect(status).toBe(0);
  });

  test.each([
    ["a test", { ...fine, test: { passed: 4, failed: 1 } }, "16 passed, 1 failed, 1 skipped"],
    ["a check", { ...fine, check: "FAIL types" }, "16 passed, 1 failed, 1 skipped"],
    ["a page test", { ...fine, page: { passed: 0, failed: 2 } }, "15 passed, 2 failed, 1 skipped"],
    ["the store", { ...fine, store: "1 passed, 1 failed" }, "16 passed, 1 failed, 1 skipped"],
    ["a real client", { ...fine, clients: "2 failed, 1 passed in 2.50s" }, "15 passed, 2 failed"],
  ])("fails with %s", async (_what, results, closing) => {
    const { status, lines } = await runCi(results, process.execPath);
    expect(lines.at(-1)).toBe(closing);
    expect(status).toBe(1);
  });
});
