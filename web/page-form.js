// @ts-check
/* global Event */
/** What a person fills in: a text that is checked while it is typed, or a file with its preview. */
import { h, svg } from "./page-dom.js";
import { jsonProblem, prettyJson, sizeText } from "./page-wire.js";

/** @typedef {import("./page-wire.js").Box} Box */

/** A text to send: JSON, one JSON item a line, or any text. */
export class TextInput {
  element;
  #area;
  #error;
  #kind;

  /**
   * @param {object} options
   * @param {string} options.id
   * @param {string} options.label
   * @param {"json" | "lines" | "text"} options.kind
   * @param {string} options.initial
   * @param {() => void} options.onchange
   */
  constructor({ id, label, kind, initial, onchange }) {
    this.#kind = kind;
    this.#error = h("p", { id: `${id}-error`, class: "field-error", "aria-live": "polite" });
    this.#area = h("textarea", { id, spellcheck: "false", autocapitalize: "off", autocomplete: "off", "aria-describedby": `${id}-error` });
    this.#area.value = initial;
    this.#area.addEventListener("input", () => {
      this.#fit();
      this.check();
      onchange();
    });
    const set = (/** @type {string} */ text) => {
      this.#area.value = text;
      this.#area.dispatchEvent(new Event("input"));
    };
    const tools = [
      kind === "json" &&
        h("button", { type: "button", class: "quiet small", onclick: () => this.check() && set(formatted(this.text)) }, "Format"),
      h("button", { type: "button", class: "quiet small", onclick: () => set(initial) }, "Start over"),
    ];
    this.element = h(
      "div",
      { class: "field" },
      h("div", { class: "field-head" }, h("label", { for: id }, label), h("span", { class: "tools" }, ...tools)),
      this.#area,
      this.#error,
    );
    this.#fit();
  }

  get text() {
    return this.#area.value;
  }

  /** Whether it can be sent; says why where it can't. */
  check() {
    const reason = this.#kind === "text" ? undefined : this.#kind === "json" ? jsonReason(this.text) : linesReason(this.text);
    this.#error.textContent = reason ?? "";
    this.#area.setAttribute("aria-invalid", String(reason !== undefined));
    return reason === undefined;
  }

  focus() {
    this.#area.focus();
  }

  #fit() {
    this.#area.rows = Math.min(24, Math.max(4, this.#area.value.split("\n").length + 1));
  }
}

/** @param {string} text */
function formatted(text) {
  return prettyJson(JSON.parse(text));
}

/** @param {string} text */
function jsonReason(text) {
  if (text.trim() === "") return "Nothing to send yet: write a JSON value.";
  const problem = jsonProblem(text);
  return problem && `Not JSON yet: line ${problem.line}, column ${problem.column}: ${problem.reason}.`;
}

/** @param {string} text */
function linesReason(text) {
  const lines = text.split("\n");
  for (const [index, line] of lines.entries()) {
    const problem = line.trim() === "" ? undefined : jsonProblem(line);
    if (problem !== undefined) return `Line ${index + 1} is not JSON yet: column ${problem.column}: ${problem.reason}.`;
  }
  return undefined;
}

/** A file to send: chosen, dropped or pasted, with a preview over which boxes can be drawn. */
export class FileInput {
  element;
  /** @type {File | undefined} */
  file;
  #input;
  #label;
  #facts = h("p", { class: "file-facts", hidden: true });
  #error;
  #frame = h("div", { class: "frame-picture", hidden: true });
  #onchange;
  /** @type {string | undefined} */
  #url;

  /**
   * @param {object} options
   * @param {string} options.id
   * @param {string[]} options.types the media types that the service takes as a whole body
   * @param {() => void} options.onchange
   */
  constructor({ id, types, onchange }) {
    this.#onchange = onchange;
    const accepted = types.filter((type) => !type.startsWith("multipart/") && type !== "application/octet-stream" && type !== "*/*");
    this.#error = h("p", { id: `${id}-error`, class: "field-error", "aria-live": "polite" });
    this.#input = h("input", {
      id,
      type: "file",
      class: "offscreen",
      accept: accepted.join(",") || undefined,
      "aria-describedby": `${id}-error`,
      onchange: () => this.#choose(this.#input.files?.[0]),
    });
    this.#label = h(
      "label",
      { for: id, class: "drop" },
      h("span", {}, h("b", {}, "Choose a file"), ", drop one here, or paste a picture"),
      h("small", {}, withoutCovered(accepted.length > 0 ? accepted : types).join(", ")),
    );
    this.element = h("div", { class: "field" }, this.#input, this.#label, this.#frame, this.#facts, this.#error);
    this.element.addEventListener("dragover", (event) => {
      event.preventDefault();
      this.#label.classList.add("over");
    });
    this.element.addEventListener("dragleave", () => this.#label.classList.remove("over"));
    this.element.addEventListener("drop", (event) => {
      event.preventDefault();
      this.#label.classList.remove("over");
      this.#choose(event.dataTransfer?.files[0]);
    });
  }

  /** @param {ClipboardEvent} event */
  paste(event) {
    const file = event.clipboardData?.files[0];
    if (file === undefined) return;
    event.preventDefault();
    this.#choose(file);
  }

  check() {
    this.#error.textContent = this.file === undefined ? "Choose a file first." : "";
    return this.file !== undefined;
  }

  focus() {
    this.#input.focus();
  }

  /**
   * Draws boxes over the preview, where there is one.
   * @param {Box[]} boxes in the picture's own pixels
   * @returns {((index: number | undefined) => void) | undefined} makes one of them stand out
   */
  draw(boxes) {
    this.#frame.querySelector("svg")?.remove();
    const picture = this.#frame.querySelector("img");
    if (picture === null || picture.naturalWidth === 0 || boxes.length === 0) return undefined;
    const shapes = boxes.map(({ box, text }) =>
      svg("polygon", { points: box.map((point) => point.join(",")).join(" ") }, svg("title", {}, document.createTextNode(text))),
    );
    const size = `0 0 ${picture.naturalWidth} ${picture.naturalHeight}`;
    const label = `${boxes.length} ${boxes.length === 1 ? "box" : "boxes"} over the picture`;
    this.#frame.append(svg("svg", { viewBox: size, preserveAspectRatio: "none", role: "img", "aria-label": label }, ...shapes));
    return (index) => shapes.forEach((shape, place) => shape.classList.toggle("on", place === index));
  }

  /** @param {File | undefined} file */
  #choose(file) {
    if (this.#url !== undefined) URL.revokeObjectURL(this.#url);
    this.#url = undefined;
    this.file = file;
    this.#frame.replaceChildren();
    this.#frame.hidden = true;
    this.#facts.hidden = file === undefined;
    this.#label.classList.toggle("filled", file !== undefined);
    if (file === undefined) {
      this.#input.value = "";
    } else {
      this.#error.textContent = "";
      const remove = h(
        "button",
        { type: "button", class: "quiet small", onclick: () => (this.#choose(undefined), this.focus()) },
        "Remove",
      );
      this.#facts.replaceChildren(`${file.name} · ${file.type || "unknown type"} · ${sizeText(file.size)} `, remove);
      if (file.type.startsWith("image/")) this.#preview(file);
    }
    this.#onchange();
  }

  /** @param {File} file */
  #preview(file) {
    this.#url = URL.createObjectURL(file);
    const picture = h("img", { alt: `Preview of ${file.name}` });
    // A file may call itself a picture and be none: sending it is still worth a try.
    picture.addEventListener("error", () => (this.#frame.hidden = true));
    picture.src = this.#url;
    this.#frame.append(picture);
    this.#frame.hidden = false;
  }
}

/**
 * Media types without those that a range such as `image/*` among them covers.
 * @param {string[]} types
 */
function withoutCovered(types) {
  return types.filter((type) => !types.some((range) => range !== type && range.endsWith("/*") && type.startsWith(range.slice(0, -1))));
}
