// @ts-check
/** Small helpers to build what is seen. */

/**
 * @typedef {string | Node | null | undefined | false} Child
 * @typedef {Record<string, string | number | boolean | undefined | ((event: any) => void)>} Attributes
 */

/**
 * @param {Element} element
 * @param {Attributes} attributes functions are listeners, named as `onclick`; false and undefined leave the attribute out
 * @param {Child[]} children
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
}

/**
 * Makes an element.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

/**
 * Makes an element of a drawing.
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(element, attributes, children);
  return element;
}

/**
 * The element with this id, which the page has.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function byId(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`The page has no #${id}.`);
  return element;
}

/**
 * A button that copies a text and says so.
 * @param {string} label what is copied, for people who can't see where the button stands
 * @param {() => string} text
 */
export function copyButton(label, text) {
  const button = h("button", { type: "button", class: "quiet small", "aria-label": `Copy ${label}` }, "Copy");
  button.addEventListener("click", () => {
    void copy(text()).then((done) => {
      button.textContent = done ? "Copied" : "Not allowed";
      setTimeout(() => (button.textContent = "Copy"), 1600);
    });
  });
  return button;
}

/**
 * @param {string} text
 * @returns {Promise<boolean>}
 */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages that came over plain HTTP from another machine have no clipboard; the old way needs a selected field.
    const focused = document.activeElement;
    const field = h("textarea", { class: "offscreen", "aria-hidden": "true" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (focused instanceof HTMLElement) focused.focus();
    return done;
  }
}

const longestColoured = 60_000;
const jsonToken = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|\b(true|false|null)\b/g;

/**
 * Text as a block of code; JSON in colours, unless it is so long that colouring it would make the page wait.
 * @param {string} text
 * @param {"json" | "plain"} kind
 */
export function codeBlock(text, kind) {
  const block = h("pre", { class: "code", tabindex: "0" });
  if (kind === "plain" || text.length > longestColoured) {
    block.append(text);
    return block;
  }
  let from = 0;
  for (const match of text.matchAll(jsonToken)) {
    const [whole, string, colon, number] = match;
    block.append(text.slice(from, match.index));
    from = match.index + (string ?? whole).length;
    const name = string === undefined ? (number === undefined ? "word" : "number") : colon === undefined ? "string" : "key";
    block.append(h("span", { class: `t-${name}` }, string ?? whole));
  }
  block.append(text.slice(from));
  return block;
}
