// @ts-check
/** One service: what it takes and gives, and a form to call it. */
import { AnswerView } from "./page-answer.js";
import { codeBlock, copyButton, h } from "./page-dom.js";
import { FileInput, TextInput } from "./page-form.js";
import { acceptOf, fieldsOf, formFieldsOf, isJsonType, modesOf, resolve, sampleOf } from "./page-schema.js";
import { compactJson, curlLine, prettyJson } from "./page-wire.js";

/** @typedef {import("./page-schema.js").OpenApi} OpenApi */
/** @typedef {import("./page-schema.js").ServiceEntry} ServiceEntry */
/** @typedef {import("./page-schema.js").FieldRow} FieldRow */
/** @typedef {import("./page-schema.js").Media} Media */
/** @typedef {import("./page-schema.js").Mode} Mode */
/** @typedef {import("./page-wire.js").Call} Call */
/**
 * @typedef {object} Host what the view needs of the page around it
 * @property {URL} documentUrl
 * @property {() => string} token
 * @property {() => void} onUnauthenticated
 * @property {() => void} onGone
 */

/** @type {Record<Mode, string>} */
const modeNames = { json: "JSON", lines: "Items, one a line", text: "Text", file: "File" };

export class ServiceView {
  element;
  heading;
  #host;
  #entry;
  #url;
  #requestContent;
  #accept;
  #modes;
  #answer;
  #curl = h("div", { class: "block" });
  /** @type {Partial<Record<"json" | "lines" | "text", TextInput>>} */
  #texts = {};
  /** @type {FileInput | undefined} */
  #file;
  #formField = "file";
  /** @type {Map<string, HTMLInputElement>} */
  #formFields = new Map();
  /** @type {Mode} */
  #mode;
  /** @type {AbortController | undefined} */
  #running;
  #callButton = h("button", { type: "submit", class: "primary" }, "Call");
  #cancelButton = h("button", { type: "button", hidden: true }, "Cancel");

  /**
   * @param {OpenApi} api
   * @param {ServiceEntry} entry
   * @param {Host} host
   */
  constructor(api, entry, host) {
    this.#host = host;
    this.#entry = entry;
    const base = new URL(`${api.servers?.[0]?.url ?? "."}/`.replace(/\/+$/, "/"), host.documentUrl);
    this.#url = new URL(entry.path.slice(1), base).href;
    this.#requestContent = entry.operation.requestBody?.content ?? {};
    const answerContent = entry.operation.responses["200"]?.content ?? {};
    this.#accept = acceptOf(answerContent);
    this.#modes = modesOf(this.#requestContent);
    this.#mode = this.#modes[0]?.mode ?? "json";
    this.#answer = new AnswerView(`${entry.name}-answer`);

    const { operation, name } = entry;
    this.heading = h("h2", { id: `${name}-heading`, tabindex: "-1" }, name);
    this.element = h(
      "section",
      { class: "service", "aria-labelledby": `${name}-heading` },
      h("div", { class: "service-head" }, this.heading, h("code", { class: "route" }, `POST ${entry.path}`)),
      operation.description ? h("p", { class: "lead" }, operation.description) : null,
      h("div", { class: "columns" }, this.#tryView(api), h("div", { class: "facts-column" }, ...describeSides(api, entry))),
    );
    this.element.addEventListener("paste", (event) => this.#mode === "file" && this.#file?.paste(event));
    this.refresh();
  }

  /** Writes the curl line anew; call it when the token has changed. */
  refresh() {
    const line = curlLine(this.#build(), this.#host.token() !== "");
    this.#curl.replaceChildren(
      h(
        "div",
        { class: "block-tools" },
        copyButton("the curl line", () => line),
      ),
      codeBlock(line, "plain"),
    );
  }

  /** @param {OpenApi} api */
  #tryView(api) {
    const { name } = this.#entry;
    const inputs = h("div", { class: "inputs" });
    for (const { mode, types } of this.#modes) inputs.append(this.#input(api, mode, types));
    const showMode = () => {
      [...inputs.children].forEach((child) => child.toggleAttribute("hidden", child.getAttribute("data-mode") !== this.#mode));
      this.refresh();
    };
    const choice = h("fieldset", { class: "modes", hidden: this.#modes.length < 2 }, h("legend", {}, "Send"));
    for (const { mode } of this.#modes) {
      const radio = h("input", { type: "radio", name: `${name}-mode`, value: mode, checked: mode === this.#mode });
      radio.addEventListener("change", () => {
        this.#mode = mode;
        showMode();
      });
      choice.append(h("label", {}, radio, ` ${modeNames[mode]}`));
    }
    [...inputs.children].forEach((child) => child.toggleAttribute("hidden", child.getAttribute("data-mode") !== this.#mode));

    this.#cancelButton.addEventListener("click", () => this.#running?.abort());
    const form = h(
      "form",
      { class: "try-form", novalidate: true },
      choice,
      inputs,
      h("div", { class: "row" }, this.#callButton, this.#cancelButton, h("span", { class: "help keys" }, "or Ctrl + Enter")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#call();
    });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      void this.#call();
    });
    const curl = h("details", { class: "curl" }, h("summary", {}, "This call with curl"), this.#curl);
    const title = h("h3", { id: `${name}-try` }, "Try it");
    return h("div", { class: "try", role: "group", "aria-labelledby": `${name}-try` }, title, form, curl, this.#answer.element);
  }

  /**
   * @param {OpenApi} api
   * @param {Mode} mode
   * @param {string[]} types
   */
  #input(api, mode, types) {
    const id = `${this.#entry.name}-${mode}`;
    const onchange = () => this.refresh();
    if (mode === "file") {
      this.#file = new FileInput({ id, types, onchange });
      const form = types.find((type) => type.startsWith("multipart/"));
      const { file, fields } = formFieldsOf(api, form === undefined ? undefined : this.#requestContent[form]);
      this.#formField = file;
      const rows = fields.map((field) => {
        const input = h("input", { id: `${id}-${field.name}`, type: "text", oninput: onchange });
        this.#formFields.set(field.name, input);
        return h("div", { class: "field" }, h("label", { for: input.id }, field.name), input, h("p", { class: "help" }, field.description));
      });
      return h("div", { "data-mode": mode }, this.#file.element, ...rows);
    }
    const media = this.#requestContent[types[0] ?? ""];
    const label = { json: "Input, as JSON", lines: "Items, each as JSON on a line of its own", text: "Input, as text" }[mode];
    const text = new TextInput({ id, kind: mode, label, initial: initialText(api, mode, media), onchange });
    this.#texts[mode] = text;
    return h("div", { "data-mode": mode }, text.element);
  }

  /** @returns {Call} */
  #build() {
    const types = this.#modes.find(({ mode }) => mode === this.#mode)?.types ?? [];
    /** @type {Call} */
    const call = { url: this.#url, headers: {}, text: undefined, file: undefined, field: undefined, fields: {} };
    if (this.#mode === "file") {
      const file = this.#file?.file;
      const fields = this.#filledFields();
      const type = fields.length > 0 ? undefined : bodyTypeFor(types, file?.type);
      call.file = file;
      if (type === undefined) {
        call.field = this.#formField;
        call.fields = Object.fromEntries(fields);
      } else {
        call.headers["content-type"] = type;
      }
    } else {
      const text = this.#texts[this.#mode]?.text ?? "";
      call.text =
        this.#mode === "json" ? compactJson(text) : this.#mode === "lines" && text !== "" && !text.endsWith("\n") ? `${text}\n` : text;
      call.headers["content-type"] = concrete(types[0]);
    }
    call.headers["accept"] = this.#accept;
    return call;
  }

  /** @returns {[string, string][]} */
  #filledFields() {
    return [...this.#formFields].flatMap(([name, { value }]) => (value === "" ? [] : [[name, value]]));
  }

  async #call() {
    if (this.#running !== undefined) return;
    const input = this.#mode === "file" ? this.#file : this.#texts[this.#mode];
    if (input === undefined) return;
    if (!input.check()) {
      input.focus();
      return;
    }
    const call = this.#build();
    const token = this.#host.token();
    const headers = { ...call.headers, ...(token !== "" && { authorization: `Bearer ${token}` }) };
    this.#file?.draw([]);
    this.#setRunning(new AbortController());
    try {
      const signal = /** @type {AbortController} */ (/** @type {unknown} */ (this.#running)).signal;
      const outcome = await this.#answer.run(this.#url, { method: "POST", headers, body: bodyOf(call), signal });
      if (outcome.status === 401) this.#host.onUnauthenticated();
      if (outcome.kind === "gone") this.#host.onGone();
      if (this.#mode === "file" && call.file !== undefined && call.file === this.#file?.file) this.#showBoxes(outcome.boxes);
    } finally {
      this.#setRunning(undefined);
    }
  }

  /** @param {AbortController | undefined} running */
  #setRunning(running) {
    const hadFocus = document.activeElement === this.#cancelButton || document.activeElement === this.#callButton;
    this.#running = running;
    this.#callButton.disabled = running !== undefined;
    this.#cancelButton.hidden = running === undefined;
    this.#answer.element.setAttribute("aria-busy", String(running !== undefined));
    // A button that goes takes the keyboard's place with it, unless that is handed on.
    if (hadFocus) (running === undefined ? this.#callButton : this.#cancelButton).focus();
  }

  /** @param {import("./page-wire.js").Box[]} boxes */
  #showBoxes(boxes) {
    const point = this.#file?.draw(boxes);
    this.#answer.extra.hidden = point === undefined;
    if (point === undefined) return;
    const rows = boxes.map(({ text, score }, index) => {
      const shown = score === undefined ? null : h("span", { class: "score" }, score.toFixed(3));
      return h("li", { onmouseenter: () => point(index), onmouseleave: () => point(undefined) }, h("span", {}, text || "(no text)"), shown);
    });
    const title = `${boxes.length} ${boxes.length === 1 ? "box" : "boxes"}, drawn over the picture`;
    this.#answer.extra.replaceChildren(h("h4", {}, title), h("ol", {}, ...rows));
  }
}

/** @param {Call} call */
function bodyOf(call) {
  if (call.field === undefined) return call.text ?? call.file ?? "";
  const form = new FormData();
  for (const [name, value] of Object.entries(call.fields)) form.append(name, value);
  if (call.file !== undefined) form.append(call.field, call.file);
  return form;
}

/**
 * The type with which a file can be sent as it is; undefined where only a form will do.
 * @param {string[]} types what the service reads
 * @param {string} [fileType] undefined where no file is chosen yet
 */
function bodyTypeFor(types, fileType) {
  const whole = types.filter((type) => !type.startsWith("multipart/"));
  const covers = (/** @type {string} */ range) =>
    range === fileType || range === "*/*" || (range.endsWith("/*") && fileType?.startsWith(range.slice(0, -1)));
  if (fileType && whole.some(covers)) return fileType;
  const octets = whole.find((type) => type === "application/octet-stream");
  const first = whole.find((type) => !type.includes("*"));
  if (fileType === undefined) return first ?? (whole.length === types.length ? octets : undefined);
  return octets ?? (whole.length === types.length ? fileType || first || "application/octet-stream" : undefined);
}

/** @param {string | undefined} type */
const concrete = (type) => (type === undefined || type.includes("*") ? "text/plain" : type);

/**
 * @param {OpenApi} api
 * @param {Mode} mode
 * @param {Media | undefined} media
 */
function initialText(api, mode, media) {
  if (mode === "text") return typeof media?.example === "string" ? media.example : "";
  if (mode === "json") return prettyJson(media?.example ?? sampleOf(api, media?.schema) ?? {});
  if (typeof media?.example === "string") return media.example;
  const item = JSON.stringify(sampleOf(api, media?.["x-item-schema"]) ?? {});
  return `${item}\n${item}\n`;
}

/**
 * @param {OpenApi} api
 * @param {ServiceEntry} entry
 * @returns {Node[]}
 */
function describeSides(api, { operation, name, batch }) {
  const side = (/** @type {string} */ title, /** @type {import("./page-schema.js").Content} */ content) => {
    const types = Object.keys(content);
    const main =
      types.find(isJsonType) ??
      types.find((type) => content[type]?.["x-item-schema"] !== undefined) ??
      types.find((type) => type.startsWith("multipart/")) ??
      types[0];
    const isFormOrFile = main?.startsWith("multipart/") && types.some((type) => !type.startsWith("multipart/"));
    const media = main === undefined ? undefined : content[main];
    const item = media?.["x-item-schema"];
    const shown = types.filter((type) => item !== undefined || content[type]?.["x-item-schema"] === undefined);
    const note = item !== undefined ? ": a stream of items, each of them:" : isFormOrFile ? ". The file itself, or a form with:" : "";
    const id = `${name}-${title.toLowerCase()}`;
    return h(
      "section",
      { "aria-labelledby": id },
      h("h3", { id }, title),
      h("p", { class: "help" }, shown.flatMap((type, index) => [index > 0 ? ", " : "", type]).join(""), note),
      fieldTable(api, item ?? media?.schema, id),
    );
  };
  return [
    side("Input", operation.requestBody?.content ?? {}),
    side("Output", operation.responses["200"]?.content ?? {}),
    ...(batch ? [h("p", { class: "help" }, "Takes a list of inputs, too: ", h("code", {}, `POST /${name}/batch`), ".")] : []),
  ];
}

/**
 * @param {OpenApi} api
 * @param {import("./page-schema.js").Schema | undefined} schema
 * @param {string} labelledBy
 */
function fieldTable(api, schema, labelledBy) {
  const rows = fieldsOf(api, schema);
  const isNothingKnown = Object.keys(resolve(api, schema)).length === 0;
  if (isNothingKnown) return h("p", {}, "Anything: the service names no schema.");
  // The roles are written out because the style sheet takes the table's display away, and browsers the roles with it.
  const head = ["Name", "Type", "Required or optional", "Description"].map((text) => h("th", { scope: "col", role: "columnheader" }, text));
  return h(
    "table",
    { class: "fields", role: "table", "aria-labelledby": labelledBy },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...head)),
    h("tbody", { role: "rowgroup" }, ...rows.map(fieldRow)),
  );
}

/** @param {FieldRow} row */
function fieldRow({ name, type, required, description }) {
  const cut = Math.max(name.lastIndexOf(".") + 1, 0);
  const path = [h("span", { class: "dim" }, name.slice(0, cut)), name.slice(cut) || "(the value)"];
  return h(
    "tr",
    { role: "row" },
    h("th", { scope: "row", role: "rowheader" }, h("code", {}, ...path)),
    h("td", { role: "cell", class: "type" }, h("code", {}, type)),
    h("td", { role: "cell", class: "presence" }, required ? "required" : "optional"),
    h("td", { role: "cell" }, description),
  );
}
