/** More than any account of a failure has, and little enough to hold. */
const maxBytes = 16 * 1024 * 1024;

/** The body of an answer that is no success, as text: as far as one that never ends may be read. */
export async function readFailureText(response: Response): Promise<string> {
  const reader: ReadableStreamDefaultReader<Uint8Array> | undefined = response.body?.getReader();
  if (reader === undefined) return "";
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    text += decoder.decode(next.value, { stream: true });
    bytes += next.value.byteLength;
    if (bytes < maxBytes) continue;
    reader.cancel().catch(() => undefined);
    break;
  }
  return text + decoder.decode();
}
