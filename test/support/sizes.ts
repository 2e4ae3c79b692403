/**
 * Tests of large volumes, or of many rounds, run in a smaller size by `npm test`, and in their full one where FULL_TESTS=1 says so, as
 * `.ci/run` does. Their names say which it was.
 */
export function sized(few: number, many: number): number {
  return process.env.FULL_TESTS === "1" ? many : few;
}
