// @ts-check
/* global HTMLButtonElement, HTMLFormElement, HTMLInputElement */
/**
 * The page of a servable runtime: reads `./openapi.json`, shows each service, and calls it. Plain JavaScript with no build and no
 * dependency. Every address is relative, so that the page works beneath a prefix; nothing is styled or scripted inline, so that it
 * works under a strict Content-Security-Policy.
 */
import { byId, h } from "./page-dom.js";
import { servicesOf } from "./page-schema.js";
import { ServiceView } from "./page-service.js";
import { readState } from "./page-wire.js";

/** @typedef {import("./page-schema.js").OpenApi} OpenApi */

const documentUrl = new URL("./openapi.json", location.href);
const stateEveryMs = 4000;
const tokenKey = `servable.token ${documentUrl.pathname}`;

const title = byId("title", HTMLElement);
const main = byId("main", HTMLElement);
const navigation = byId("services", HTMLElement);
const state = byId("state", HTMLElement);
const stateReason = byId("state-reason", HTMLElement);
const tokenToggle = byId("token-toggle", HTMLButtonElement);
const tokenPanel = byId("token-panel", HTMLFormElement);
const tokenField = byId("token", HTMLInputElement);

/** @type {Map<string, ServiceView>} */
let views = new Map();
/** The document as it was read, to notice when the server offers something else; undefined until there is one. @type {string | undefined} */
let documentText;

// ------------------------------------------------------------------------------------------------ token

const token = () => sessionStorage.getItem(tokenKey) ?? "";

/** @returns {Record<string, string>} */
const authorization = () => (token() === "" ? {} : { authorization: `Bearer ${token()}` });

/** @param {boolean} open */
function showTokenPanel(open) {
  tokenToggle.hidden = false;
  tokenPanel.hidden = !open;
  tokenToggle.setAttribute("aria-expanded", String(open));
  tokenToggle.textContent = token() === "" ? "Token" : "Token set";
}

/** @param {string} value */
function setToken(value) {
  if (value === "") sessionStorage.removeItem(tokenKey);
  else sessionStorage.setItem(tokenKey, value);
  showTokenPanel(false);
  for (const view of views.values()) view.refresh();
  if (documentText === undefined) void readDocument();
  void readReadiness();
}

tokenToggle.addEventListener("click", () => {
  showTokenPanel(tokenPanel.hidden !== false);
  tokenField.value = token();
  if (!tokenPanel.hidden) tokenField.focus();
});
tokenPanel.addEventListener("submit", (event) => {
  event.preventDefault();
  // A token that was copied with its scheme or a line break would be sent with both.
  setToken(tokenField.value.trim().replace(/^Bearer\s+/i, ""));
  tokenToggle.focus();
});
byId("token-forget", HTMLButtonElement).addEventListener("click", () => {
  tokenField.value = "";
  setToken("");
  tokenToggle.focus();
});

/** A call was refused for its token. */
function askForToken() {
  showTokenPanel(true);
  tokenField.value = token();
  tokenField.focus();
}

// ------------------------------------------------------------------------------------------------ state

/**
 * @param {"ready" | "degraded" | "down" | "gone"} kind
 * @param {string} word
 * @param {string} reason
 */
function showState(kind, word, reason) {
  // Written only when it changes: a status that is written again is read out again.
  if (state.textContent !== word) state.textContent = word;
  state.dataset["state"] = kind;
  if (stateReason.textContent !== reason) stateReason.textContent = reason;
  stateReason.hidden = reason === "" || kind === "ready";
  stateReason.dataset["state"] = kind;
}

async function readReadiness() {
  const wasGone = state.dataset["state"] === "gone";
  try {
    const response = await fetch("./readyz", { headers: { accept: "application/json", ...authorization() }, cache: "no-store" });
    const body = await response.json().catch(() => undefined);
    const { state: kind, word, reason } = readState(response.status, body);
    showState(kind, word, reason);
    if (wasGone && documentText !== undefined) void readDocument();
  } catch {
    showState(
      "gone",
      "no answer",
      "The server does not answer. It may have stopped or be starting anew; this page asks again every few seconds.",
    );
  }
}

// ------------------------------------------------------------------------------------------------ services

/** Reads the document, and shows it; where one is shown already and the server offers another by now, says so instead. */
async function readDocument() {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(documentUrl, { headers: { accept: "application/json", ...authorization() }, cache: "no-store" });
  } catch {
    if (documentText === undefined) say("The server does not answer.", "This page reads its services as soon as it does.");
    return;
  }
  if (response.status === 401) {
    const what = token() === "" ? "This server asks for a token." : "The server does not know this token.";
    say(what, "Give one above to see the services.");
    askForToken();
    return;
  }
  const text = await response.text().catch(() => "");
  /** @type {OpenApi} */
  let api;
  try {
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    api = JSON.parse(text);
  } catch (error) {
    say("What this server offers could not be read.", `openapi.json: ${error instanceof Error ? error.message : String(error)}`);
    return;
  }
  if (documentText !== undefined) {
    if (text !== documentText) offerReload();
    return;
  }
  documentText = text;
  show(api);
}

/**
 * @param {string} what
 * @param {string} then
 */
function say(what, then) {
  main.replaceChildren(h("div", { class: "empty" }, h("p", {}, h("strong", {}, what)), h("p", {}, then)));
}

function offerReload() {
  if (document.getElementById("changed") !== null) return;
  const reload = h("button", { type: "button", onclick: () => location.reload() }, "Show them");
  main.before(h("p", { id: "changed", class: "notice", role: "status" }, "The server's services have changed. ", reload));
}

/** @param {OpenApi} api */
function show(api) {
  const entries = servicesOf(api);
  title.textContent = api.info.title;
  document.title = api.info.title;
  if (api.components?.securitySchemes !== undefined || token() !== "") showTokenPanel(false);
  if (entries.length === 0) {
    say("This server offers no service yet.", "Give it a module that exports one: servable serve ./service.ts");
    return;
  }
  const host = { documentUrl, token, onUnauthenticated: askForToken, onGone: () => void readReadiness() };
  views = new Map(entries.map((entry) => [entry.name, new ServiceView(api, entry, host)]));
  const items = entries.map(({ name, operation }) =>
    h("li", {}, h("a", { href: `#${name}` }, h("b", {}, name), operation.description ? h("span", {}, operation.description) : null)),
  );
  navigation.replaceChildren(h("ul", {}, ...items));
  navigation.hidden = entries.length < 2;
  main.replaceChildren(...[...views.values()].map(({ element }) => element));
  select(false);
  window.addEventListener("hashchange", () => select(true));
}

/** @param {boolean} moveFocus */
function select(moveFocus) {
  const names = [...views.keys()];
  const wanted = decodeURIComponent(location.hash.slice(1));
  // The skip link's target, say, is no service.
  if (moveFocus && !views.has(wanted)) return;
  const chosen = views.has(wanted) ? wanted : names[0];
  for (const [name, view] of views) view.element.hidden = name !== chosen;
  for (const link of navigation.querySelectorAll("a")) {
    if (link.hash === `#${chosen}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (moveFocus) views.get(wanted)?.heading.focus();
}

// A file that is dropped beside its place would otherwise be opened by the browser, in place of the page.
for (const type of ["dragover", "drop"]) window.addEventListener(type, (event) => event.preventDefault());

void readDocument();
void readReadiness();
setInterval(() => {
  if (document.hidden) return;
  void readReadiness();
  if (documentText === undefined && main.querySelector(".empty") !== null && tokenPanel.hidden) void readDocument();
}, stateEveryMs);
