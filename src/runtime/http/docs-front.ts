import { readFileSync } from "node:fs";
import type { FastifyInstance } from "fastify";
import type { HttpAnswer } from "./call.ts";
import { answerOpenApi } from "./openapi-answer.ts";
import { replying, route, type FrontOptions } from "./service-front.ts";

/** What the documentation front gets. */
export interface DocsFrontOptions extends FrontOptions {
  /** Whether a token is asked for, so that the document says so. */
  readonly authenticated: boolean;
  /** Whether the page is served, besides the document. @default true */
  readonly page?: boolean | undefined;
  /** Whether the health routes are served, too, so that the document says so. @default true */
  readonly health?: boolean | undefined;
  /** Whether `/metrics` is served, too, so that the document says so. @default true */
  readonly metrics?: boolean | undefined;
}

const script = "text/javascript; charset=utf-8";

/** The page's files: path, file in `web/`, media type. */
const pageFiles = [
  ["/", "index.html", "text/html; charset=utf-8"],
  ["/page.js", "page.js", script],
  ["/page-answer.js", "page-answer.js", script],
  ["/page-dom.js", "page-dom.js", script],
  ["/page-form.js", "page-form.js", script],
  ["/page-schema.js", "page-schema.js", script],
  ["/page-service.js", "page-service.js", script],
  ["/page-wire.js", "page-wire.js", script],
  ["/page.css", "page.css", "text/css; charset=utf-8"],
] as const;

const pageHeaders = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
} as const;

/** Paths that need no token: the page holds no secret, and a browser can't send a token for it. */
export const pagePaths: ReadonlySet<string> = new Set(pageFiles.map(([path]) => path));

/** `/openapi.json`, and the page at `/`. */
export function docsFront(app: FastifyInstance, { engine, authenticated, page, health, metrics }: DocsFrontOptions): void {
  route(app, engine, {
    method: "GET",
    url: "/openapi.json",
    answer: replying(() => answerOpenApi(engine, { authenticated, health, metrics })),
  });
  if (page === false) return;
  for (const [path, file, mediaType] of pageFiles) {
    const body = readFileSync(new URL(`../../../web/${file}`, import.meta.url));
    const answer: HttpAnswer = { status: 200, headers: { ...pageHeaders, "content-type": mediaType }, body };
    route(app, engine, { method: "GET", url: path, answer: replying((request) => toFolder(path, request.url) ?? answer) });
  }
}

/** Under a prefix Fastify serves `/` also without its slash, and from there the page's relative links lead astray. */
function toFolder(path: string, url: string): HttpAnswer | undefined {
  const [used = ""] = url.split("?", 1);
  if (path !== "/" || used.endsWith("/")) return undefined;
  return { status: 308, headers: { location: `${used.slice(used.lastIndexOf("/") + 1)}/` }, body: "" };
}
