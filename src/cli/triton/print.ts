import { once } from "node:events";

/** Writes to standard output, at the pace of whoever reads it; if nobody does any more (`| head`), there is nothing left to do. */
export async function print(text: string): Promise<void> {
  if (process.stdout.listenerCount("error") === 0) {
    process.stdout.on("error", () => {
      process.exit(0);
    });
  }
  if (!process.stdout.write(text)) await once(process.stdout, "drain");
}
