// @ts-check
/** The answer to a call: a value, a problem, a picture, or a stream item by item. */
import { codeBlock, copyButton, h } from "./page-dom.js";
import { isJsonType } from "./page-schema.js";
import { boxesIn, prettyJson, sizeText, streamReader, timeText } from "./page-wire.js";

const mostItemsShown = 500;
const mostTextShown = 400_000;

/** @typedef {import("./page-wire.js").Box} Box */
/** @typedef {{ kind: "value" | "problem" | "cancelled" | "gone", status: number | undefined, boxes: Box[] }} Outcome */

export class AnswerView {
  /** What stands on the page. */
  element;
  #summary = h("p", { class: "summary", role: "status" });
  /** What the page adds to an answer, above its text. */
  extra = h("div", { class: "found", hidden: true });
  #tools = h("span", { class: "tools" });
  #body = h("div", { class: "answer-body" });
  /** @type {string[]} */
  #objectUrls = [];

  /** @param {string} id */
  constructor(id) {
    const head = h("div", { class: "field-head" }, h("h3", { id }, "Answer"), this.#tools);
    this.element = h("section", { class: "answer", "aria-labelledby": id, hidden: true }, head, this.#summary, this.extra, this.#body);
  }

  clear() {
    for (const url of this.#objectUrls.splice(0)) URL.revokeObjectURL(url);
    this.#body.replaceChildren();
    this.#tools.replaceChildren();
    this.extra.hidden = true;
    this.#summary.replaceChildren("Calling …");
    this.element.hidden = false;
  }

  /**
   * Sends the request and shows what comes back.
   * @param {string} url
   * @param {RequestInit & { signal: AbortSignal }} request
   * @returns {Promise<Outcome>}
   */
  async run(url, request) {
    this.clear();
    const started = performance.now();
    const took = () => timeText(performance.now() - started);
    /** @type {Response | undefined} */
    let response;
    try {
      response = await fetch(url, request);
      return await this.#show(response, took);
    } catch (error) {
      if (request.signal.aborted) {
        this.#say("warn", "Cancelled", [`after ${took()}`]);
        return { kind: "cancelled", status: undefined, boxes: [] };
      }
      this.#say("bad", "No answer", [`after ${took()}`]);
      const reason = error instanceof Error ? error.message : String(error);
      const words =
        response === undefined
          ? "The server can't be reached, or it cut the connection. See whether it still runs, then call again."
          : `The answer broke off. ${reason}`;
      this.#body.append(h("p", { class: "problem-detail" }, words));
      return { kind: "gone", status: undefined, boxes: [] };
    }
  }

  /**
   * @param {Response} response
   * @param {() => string} took
   * @returns {Promise<Outcome>}
   */
  async #show(response, took) {
    const contentType = response.headers.get("content-type") ?? "";
    const status = `${response.status} ${response.statusText}`.trim();
    const id = response.headers.get("x-request-id");
    const about = (/** @type {number} */ bytes) => [took(), sizeText(bytes), ...(id === null ? [] : [`request ${id}`])];

    if (response.ok && /^(text\/event-stream|application\/x-ndjson)/.test(contentType)) {
      return this.#showStream(response, contentType, status, about);
    }
    const bytes = new Uint8Array(await response.arrayBuffer());
    this.#say(response.ok ? "good" : "bad", status, about(bytes.length));
    if (isJsonType(contentType)) {
      const text = new TextDecoder().decode(bytes);
      const value = parse(text);
      if (!response.ok && value !== undefined) {
        this.#body.append(...problemView(value));
        return { kind: "problem", status: response.status, boxes: [] };
      }
      const pretty = value === undefined ? text : prettyJson(value);
      this.#showText(pretty, "json");
      return { kind: "value", status: response.status, boxes: boxesIn(value) };
    }
    if (contentType.startsWith("text/") && bytes.length > 0) this.#showText(new TextDecoder().decode(bytes), "plain");
    else this.#body.append(...this.#otherView(bytes, contentType));
    return { kind: response.ok ? "value" : "problem", status: response.status, boxes: [] };
  }

  /**
   * @param {Response} response
   * @param {string} contentType
   * @param {string} status
   * @param {(bytes: number) => string[]} about
   * @returns {Promise<Outcome>}
   */
  async #showStream(response, contentType, status, about) {
    this.#say("good", status, ["receiving …"]);
    const count = h("p", { class: "help" }, "No item yet.");
    const list = h("ol", { class: "items" });
    this.#body.append(count, list);
    const read = streamReader(contentType);
    const decoder = new TextDecoder();
    let bytes = 0;
    let items = 0;
    /** @type {unknown} */
    let problem;
    let ended = !contentType.startsWith("text/event-stream");

    /** @param {string} piece */
    const take = (piece) => {
      for (const { event, data } of read(piece)) {
        const value = parse(data);
        const failure =
          event === "error"
            ? value
            : event === "message" && isProblemLine(contentType, value)
              ? /** @type {any} */ (value).error
              : undefined;
        if (failure !== undefined) problem = failure;
        else if (event === "end") ended = true;
        else if (event === "message") {
          items += 1;
          if (items <= mostItemsShown) list.append(h("li", {}, codeBlock(value === undefined ? data : prettyJson(value), "json")));
        }
      }
      const shown = items > mostItemsShown ? `, of which the first ${mostItemsShown} are shown` : "";
      count.textContent = items === 0 ? "No item yet." : `${items} ${items === 1 ? "item" : "items"}${shown}.`;
    };

    const reader = response.body?.getReader();
    try {
      for (;;) {
        const piece = await reader?.read();
        if (piece === undefined || piece.done) break;
        bytes += piece.value.length;
        take(decoder.decode(piece.value, { stream: true }));
      }
      take("\n\n");
    } catch (error) {
      // Newline-delimited JSON ends a failed stream by cutting the connection, after the problem: the problem is what to show.
      if (problem === undefined) throw error;
    }
    if (items === 0) count.textContent = "The stream ended with no item.";
    if (problem !== undefined) {
      this.#say("bad", `${status}, then the stream failed`, about(bytes));
      this.#body.append(...problemView(problem));
      return { kind: "problem", status: response.status, boxes: [] };
    }
    this.#say(ended ? "good" : "warn", ended ? `${status}, complete` : `${status}, cut off before its end`, about(bytes));
    return { kind: "value", status: response.status, boxes: [] };
  }

  /**
   * @param {Uint8Array<ArrayBuffer>} bytes
   * @param {string} contentType
   * @returns {Node[]}
   */
  #otherView(bytes, contentType) {
    if (bytes.length === 0) return [h("p", { class: "help" }, "The answer has no body.")];
    const url = URL.createObjectURL(new Blob([bytes], { type: contentType }));
    this.#objectUrls.push(url);
    const type = contentType.split(";")[0] ?? "";
    const save = h("a", { href: url, download: `answer.${type.split("/")[1] ?? "bin"}` }, `Save the answer (${type || "unknown type"})`);
    return type.startsWith("image/")
      ? [h("img", { class: "picture", src: url, alt: "The picture that the service answered with." }), save]
      : [save];
  }

  /**
   * @param {string} text
   * @param {"json" | "plain"} kind
   */
  #showText(text, kind) {
    const isLong = text.length > mostTextShown;
    this.#tools.append(copyButton("the answer", () => text));
    this.#body.append(codeBlock(isLong ? `${text.slice(0, mostTextShown)}\n…` : text, kind));
    if (isLong) this.#body.append(h("p", { class: "help" }, "Only the beginning is shown. Copy takes it all."));
  }

  /**
   * @param {"good" | "warn" | "bad"} tone
   * @param {string} word
   * @param {string[]} facts
   */
  #say(tone, word, facts) {
    const parts = facts.map((fact) => h("span", { class: "fact" }, fact));
    this.#summary.replaceChildren(h("strong", { class: "badge", "data-tone": tone }, word), ...parts.flatMap((part) => [" ", part]));
  }
}

/**
 * @param {string} text
 * @returns {unknown} undefined where it is not JSON
 */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * @param {string} contentType
 * @param {unknown} value
 */
function isProblemLine(contentType, value) {
  if (!contentType.startsWith("application/x-ndjson") || typeof value !== "object" || value === null) return false;
  const { error } = /** @type {any} */ (value);
  return Object.keys(value).length === 1 && typeof error?.code === "string";
}

const knownMembers = new Set(["type", "title", "status", "detail", "code", "requestId", "errors", "instance"]);

/**
 * A problem document in words (RFC 9457): what was wrong, in which fields, and what may help.
 * @param {any} problem
 * @returns {Node[]}
 */
function problemView(problem) {
  if (typeof problem !== "object" || problem === null) return [codeBlock(prettyJson(problem), "json")];
  const { title, detail, code, errors } = problem;
  const facts = Object.entries(problem).filter(([name]) => !knownMembers.has(name));
  const fields = (Array.isArray(errors) ? errors : []).map((/** @type {any} */ issue) => {
    const path = Array.isArray(issue.path) ? issue.path.join(".") : issue.path;
    return h("li", {}, h("code", {}, path || issue.pointer || "(the value)"), " ", issue.detail ?? issue.message ?? "");
  });
  const words = [detail, title].find((text) => typeof text === "string" && text !== "") ?? "The call failed.";
  return [
    h(
      "p",
      { class: "problem-detail" },
      words,
      typeof code === "string" && " ",
      typeof code === "string" && h("code", { class: "tag" }, code),
    ),
    ...(fields.length === 0 ? [] : [h("ul", { class: "problem-fields", "aria-label": "Fields that are wrong" }, ...fields)]),
    ...(facts.length === 0
      ? []
      : [h("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, factText(value))]))]),
    h("details", {}, h("summary", {}, "The problem as it was sent"), codeBlock(prettyJson(problem), "json")),
  ];
}

/** @param {unknown} value */
function factText(value) {
  const isListOfTexts = Array.isArray(value) && value.every((item) => typeof item === "string");
  return isListOfTexts ? value.join(", ") : typeof value === "string" ? value : prettyJson(value);
}
