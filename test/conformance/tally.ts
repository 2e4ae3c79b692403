/** Counts what was tried, and says each on standard output. */
export class Tally {
  passed = 0;
  failed = 0;
  skipped = 0;

  /** Tries one thing. @throws what it throws: most of what follows builds on it */
  async check(what: string, run: () => Promise<void> | void): Promise<void> {
    const since = performance.now();
    try {
      await run();
    } catch (thrown) {
      process.stdout.write(`FAILED - ${what}\n`);
      this.failed += 1;
      throw thrown;
    }
    this.passed += 1;
    process.stdout.write(`ok - ${what} (${Math.round(performance.now() - since)} ms)\n`);
  }

  /** Counts what was counted elsewhere. */
  add(counts: { readonly passed?: number; readonly failed?: number; readonly skipped?: number }): void {
    this.passed += counts.passed ?? 0;
    this.failed += counts.failed ?? 0;
    this.skipped += counts.skipped ?? 0;
  }

  /** The closing line, which .ci/run reads. */
  toString(): string {
    return `${this.passed} passed, ${this.failed} failed${this.skipped === 0 ? "" : `, ${this.skipped} skipped`}`;
  }
}
