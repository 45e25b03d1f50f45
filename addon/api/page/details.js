// One request in a dialog: its figures, what it consisted of, what was changed, and what was sent and returned.

import { ask } from "./ask.js";
import { at, byId, compact, count, duration, el, money, percent } from "./format.js";
import { promptTokens, remedy, sourceName, who } from "./words.js";

const LONGEST = 200_000; // characters of a body that are shown

const term = (name, value) => (value == null || value === "" ? [] : [el("dt", {}, name), el("dd", {}, value)]);

function figures(request) {
  const prompt = promptTokens(request);
  const rows = [
    ["Time", at(request.timestamp, "moment")],
    ["Asked by", who(request)],
    ["Session", request.session],
    ["Served by", sourceName(request.source)],
    ["Status", String(request.status)],
    ["Why not the first choice", request.reason],
    ["Error", request.error && `${request.error}. ${remedy(request.error)}`],
    ["Tokens", `${count(prompt)} in, ${count(request.outputTokens)} out`],
    ["From cache", prompt ? `${percent(request.cacheReadTokens / prompt)} of the prompt` : null],
    ["Cache missed", request.cacheMiss && `${request.cacheMiss}; a hit would have saved ${money(request.cacheMissCost)}`],
    ["Worth", money(request.estimatedCost)],
    ["First token, total", `${duration(request.ttftMs)}, ${duration(request.latencyMs)}`],
    ["Anthropic's request id", request.requestId],
  ];
  return el("dl", {}, ...rows.flatMap(([name, value]) => term(name, value)));
}

function table(head, rows) {
  return el("div", { class: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...rows.map((cells) => el("tr", {}, ...cells.map((cell) => el("td", {}, cell))))),
  ));
}

function anatomy(found) {
  if (!found) return el("p", { class: "empty" }, "No conversation was sent to Claude.");
  const parts = [...found.parts].sort((a, b) => b.tokens - a.tokens);
  const words = [
    `${count(found.tokens)} tokens${found.exact ? ", as Anthropic counted them" : ", estimated"}. Each part is an estimate.`,
    found.cachedFor ? ` What is cached stays so for ${found.cachedFor / 60} minutes after the response.` : "",
    found.neverCalled.length ? ` Never called in this conversation: ${found.neverCalled.join(", ")}.` : "",
  ];
  return el("div", {}, el("p", { class: "quiet" }, ...words), table(["Tokens", "Cost", "Cached", "Part", ""], parts.map((part) => [
    count(part.tokens), money(part.cost), part.tokens ? percent(part.cached / part.tokens) : "–", part.kind, part.name,
  ])));
}

function changes(title, rows) {
  if (!rows) return el("p", { class: "empty" }, "There is no earlier turn of this conversation any more.");
  const listed = rows.map((row) => el("li", {},
    el("span", { class: "name" }, `${row.what} ${row.change}`),
    el("span", { class: "quiet" }, row.addon ? `by ${row.addon}` : ""),
    ...[["was", row.was], ["now", row.now]].flatMap(([word, value]) => (value == null ? [] : [el("code", {}, `${word}: ${value}`)])),
  ));
  return el("section", {}, el("h3", {}, title), el("ul", { class: "rows" }, ...(listed.length ? listed : [el("li", { class: "empty" }, "Nothing.")])));
}

function body(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST)}\n… ${compact(text.length - LONGEST)} more characters` : text;
  return el("pre", { tabindex: "0" }, cut);
}

function attempt(each) {
  const why = each.reason ? `, because of ${each.reason}` : "";
  return el("section", {}, el("h3", {}, `${each.credential}: ${each.outcome}${why}`), el("p", { class: "quiet" }, each.url), body(each.body));
}

const VIEWS = {
  "Figures": (request, entry) => el("div", {}, figures(request), ...entry.notes.map((note) => el("p", { class: "quiet" }, note))),
  "Anatomy": (_, entry) => anatomy(entry.anatomy),
  "What changed": (_, entry) => el("div", {}, changes("On the way to Anthropic", entry.onTheWay), changes("Since the last turn", entry.sinceLastTurn)),
  "Sent by the client": (_, entry) => body(entry.client.body),
  "Sent upstream": (_, entry) => el("div", {}, ...entry.upstream.map(attempt)),
  "Returned": (_, entry) => body(entry.answer),
};

export class Details {
  #dialog = byId("details");
  #request = null;

  constructor() {
    byId("details-close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
  }

  async open(request) {
    this.#request = request;
    byId("details-title").textContent = `${request.model}, ${at(request.timestamp, "second")}`;
    this.#show(figures(request));
    if (!this.#dialog.open) this.#dialog.showModal();
    try {
      if (!request.explain) throw new Error("What was sent is not kept of this request.");
      const entry = await ask(`/explain/${request.explain}`);
      if (this.#request === request) this.#tabs(request, entry);
    } catch (error) {
      if (this.#request === request) this.#show(figures(request), el("p", { class: "empty" }, error.message));
    }
  }

  #tabs(request, entry) {
    const view = el("div", { class: "view" });
    const buttons = Object.entries(VIEWS).map(([name, make]) => {
      const button = el("button", { type: "button", role: "tab" }, name);
      button.addEventListener("click", () => {
        for (const other of buttons) other.setAttribute("aria-selected", String(other === button));
        view.replaceChildren(make(request, entry));
      });
      return button;
    });
    this.#show(el("div", { class: "tabs", role: "tablist" }, ...buttons), view);
    buttons[0].click();
    buttons[0].focus();
  }

  #show(...children) {
    byId("details-body").replaceChildren(...children);
  }
}
