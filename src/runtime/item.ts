import type { EncodedResponse } from "../service/full-service.ts";

/** The answer to one item of a list, as JSON text; a streamed answer is a list of its own. */
export async function outputText(response: EncodedResponse): Promise<string> {
  return response.kind === "value" ? textOf(response.body) : await collect(response.items);
}

async function collect(items: AsyncIterable<Uint8Array | string>): Promise<string> {
  const texts: string[] = [];
  for await (const item of items) texts.push(textOf(item));
  return `[${texts.join(",")}]`;
}

function textOf(body: Uint8Array | string): string {
  return typeof body === "string" ? body : new TextDecoder().decode(body);
}
