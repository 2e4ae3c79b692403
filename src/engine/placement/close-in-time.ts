import { ServableError } from "../../errors.ts";

/** How long what runs may take to close once nothing is asked of it any more. */
export const closeMs = 5_000;

/** Waits for a `close` of somebody's own, but not for ever: a stop is to end. @throws ServableError `service_failed` where it has not ended in time */
export async function closeInTime(closing: void | Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new ServableError("service_failed", `close() did not end within ${closeMs} ms.`));
    }, closeMs);
  });
  try {
    await Promise.race([closing, late]);
  } finally {
    clearTimeout(timer);
  }
}
