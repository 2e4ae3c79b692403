const perProcess = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
let count = 0;

/** A name for a request that no other has: 64 random bits for each thread, and a count. It is in every log line, and proves nothing. */
export function newRequestId(): string {
  count += 1;
  return `${perProcess}-${count.toString(36)}`;
}
