import type { IncomingMessage } from "node:http";
import { ServableError } from "../errors.ts";
import type { KeysOf } from "../known-keys.ts";
import { networkFailure, sendRequest } from "./http-request.ts";
import { withRetries } from "./retry.ts";
import { checkRead, checkWrite } from "./storage.ts";
import type { ArtifactSource, ReadOptions, Storage, StoredContent, WriteOptions } from "./storage.ts";
import { checkArtifactName, publicUri } from "./uri.ts";

/** How an HTTP server is spoken to. */
export interface HttpStorageOptions {
  /** Sent with every request. @default none */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Sent as a bearer token. @default none */
  readonly token?: string | undefined;
  /** How long nothing may happen on a connection. @default 60000 */
  readonly idleMs?: number | undefined;
  /** How often a write is tried again. @default 4 */
  readonly retries?: number | undefined;
}

/** The keys of {@link HttpStorageOptions}. */
export const httpKeys: KeysOf<HttpStorageOptions> = { headers: true, token: true, idleMs: true, retries: true };

const mostRedirects = 5;

/**
 * Artifacts on any HTTP server that takes GET and PUT. A query in the URL (a signature) goes along with every request.
 *
 * A PUT says its length before its first byte, so a server that knows its trade refuses one that breaks off. HTTP has no more than that: for a server that
 * keeps half a body, the names that `makeTritonConfiguration` gives hold a digest, and whoever downloads checks it.
 */
export class HttpStorage implements Storage {
  readonly #base: URL;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #idleMs: number;
  readonly #retries: number;

  constructor(url: string, options: HttpStorageOptions = {}) {
    this.#base = new URL(url);
    const { username, password } = this.#base;
    this.#base.username = "";
    this.#base.password = "";
    this.#base.hash = "";
    const basic = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64");
    this.#headers = {
      "user-agent": "servable",
      ...(username !== "" && { authorization: `Basic ${basic}` }),
      ...(options.token !== undefined && { authorization: `Bearer ${options.token}` }),
      ...lowerCased(options.headers ?? {}),
    };
    this.#idleMs = options.idleMs ?? 60_000;
    this.#retries = options.retries ?? 4;
  }

  uriOf(name?: string): string {
    return this.#url(name).href;
  }

  async read(name?: string, options: ReadOptions = {}): Promise<StoredContent> {
    checkRead(options);
    const { offset = 0, version, signal } = options;
    const url = this.#url(name);
    const headers = {
      ...this.#headers,
      "accept-encoding": "identity",
      ...(offset > 0 && { range: `bytes=${offset}-`, ...(version !== undefined && { "if-range": version }) }),
    };
    const { answer, url: reached } = await this.#follow(url, headers, signal);
    if (answer.statusCode === 416 && offset > 0) {
      answer.destroy();
      // It has become shorter.
      return this.read(name, { signal });
    }
    if (answer.statusCode !== 200 && answer.statusCode !== 206) throw refused(answer, url, "read");
    const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(answer.headers["content-range"] ?? "");
    if (answer.statusCode === 206 && Number(range?.[1]) !== offset) {
      answer.destroy();
      throw new ServableError(
        "load_failed",
        `${publicUri(url.href)} was asked for from byte ${offset} on, and answered with another part.`,
      );
    }
    const length = answer.headers["content-length"];
    const whole = answer.statusCode === 206 ? Number(range?.[2]) : length === undefined ? undefined : Number(length);
    // One that is given up before anybody reads it fails, too.
    answer.on("error", () => undefined);
    return {
      offset: answer.statusCode === 206 ? offset : 0,
      bytes: whole,
      version: strong(answer.headers.etag),
      content: bodyOf(answer, reached, signal),
    };
  }

  async write(name: string, source: ArtifactSource, options: WriteOptions = {}): Promise<void> {
    checkWrite(options);
    const { signal, onProgress } = options;
    const url = this.#url(checkArtifactName(name));
    await withRetries({ retries: this.#retries, signal }, async () => {
      const headers = { "content-type": "application/octet-stream", ...this.#headers, "content-length": String(source.bytes) };
      const body = counted(source.read(0, source.bytes), onProgress);
      const answer = await sendRequest(url, { method: "PUT", headers, body, idleMs: this.#idleMs, signal });
      if (answer.statusCode === undefined || answer.statusCode < 200 || answer.statusCode > 299) throw refused(answer, url, "written");
      for await (const _ of bodyOf(answer, url, signal)) continue;
    });
  }

  #url(name: string | undefined): URL {
    const url = new URL(this.#base);
    if (name === undefined) return url;
    const added = checkArtifactName(name).split("/").map(encodeURIComponent).join("/");
    url.pathname = `${url.pathname.replace(/\/$/, "")}/${added}`;
    return url;
  }

  async #follow(
    url: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly answer: IncomingMessage; readonly url: URL }> {
    let reached = url;
    for (let redirects = 0; redirects <= mostRedirects; redirects += 1) {
      const sent = reached.origin === url.origin ? headers : withoutSecrets(headers, this.#headers);
      const answer = await sendRequest(reached, { method: "GET", headers: sent, idleMs: this.#idleMs, signal });
      const { location } = answer.headers;
      if (![301, 302, 303, 307, 308].includes(answer.statusCode ?? 0) || location === undefined) return { answer, url: reached };
      answer.destroy();
      if (!URL.canParse(location, reached.href)) break;
      reached = new URL(location, reached);
      if (reached.protocol !== "https:" && reached.protocol !== "http:") break;
    }
    throw new ServableError("load_failed", `${publicUri(url.href)} redirects too often, or to what is no HTTP address.`);
  }
}

function lowerCased(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

/** What was meant for one server is not for another one that it sends us to. */
function withoutSecrets(
  headers: Readonly<Record<string, string>>,
  own: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name === "user-agent" || !(name in own)));
}

/** A weak ETag does not promise the same bytes. */
function strong(etag: string | undefined): string | undefined {
  return etag?.startsWith('"') === true ? etag : undefined;
}

async function* counted(content: AsyncIterable<Uint8Array>, onProgress: ((bytes: number) => void) | undefined): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const part of content) {
    yield part;
    bytes += part.byteLength;
    onProgress?.(bytes);
  }
}

async function* bodyOf(answer: IncomingMessage, url: URL, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  try {
    for await (const part of answer as AsyncIterable<Uint8Array>) yield part;
  } catch (thrown) {
    throw networkFailure(thrown, url, signal, "broke off");
  } finally {
    answer.destroy();
  }
}

function refused(answer: IncomingMessage, url: URL, use: "read" | "written"): ServableError {
  answer.destroy();
  const { statusCode: status = 0, statusMessage = "" } = answer;
  const where = publicUri(url.href);
  if (status === 404 || status === 410) return new ServableError("not_found", `${where} does not exist (HTTP ${status}).`);
  if (status === 401 || status === 403) {
    return new ServableError(
      "unauthenticated",
      `${where} may not be ${use} with what was sent (HTTP ${status}): check its token or headers.`,
    );
  }
  const text = `${where} could not be ${use}: HTTP ${status} ${statusMessage}`.trimEnd();
  if (status >= 500 || status === 408 || status === 429) return new ServableError("unavailable", text);
  return new ServableError("load_failed", text);
}
