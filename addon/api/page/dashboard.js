// The page: fetches /dashboard/data, shows it, and keeps it current by the events of /dashboard/events.

import { ask, post, Unauthorized } from "./ask.js";
import { BudgetForm } from "./budget.js";
import { Details } from "./details.js";
import { byId, setText } from "./format.js";
import {
  createCharts, showBreakdown, showConversations, showErrors, showNotices, showRequests, showSpeed, showSummary, showWindows,
} from "./views.js";

const VERSION = 1;
const REQUESTS_SHOWN = 50;
const REFRESH_MS = 1_000;
const RETRY_MS = 5_000;
const TICK_MS = 30_000;

class Dashboard {
  #data = null;
  #clockOffset = 0;
  #timer = null;
  #latest = 0;
  #events = null;
  #sort = { by: "timestamp", down: true };

  constructor() {
    this.details = new Details();
    this.charts = createCharts();
    this.budget = new BudgetForm((settings) => this.#saveBudget(settings));
    byId("periods").addEventListener("change", () => {
      history.replaceState(null, "", `#${this.#period()}`);
      this.refresh();
    });
    byId("source-filter").addEventListener("change", () => this.#showRequests(Infinity));
    byId("search").addEventListener("input", () => this.#showRequests(Infinity));
    byId("by").addEventListener("change", () => this.#showBreakdown());
    byId("requests-head").addEventListener("click", (event) => this.#sortBy(event.target.closest("[data-by]")));
    for (const kind of ["click", "keydown"]) {
      byId("requests").addEventListener(kind, (event) => this.#open(event, event.target.closest("tr")?.dataset.id));
      byId("conversations").addEventListener(kind, (event) => this.#open(event, event.target.closest("[data-turn]")?.dataset.turn));
    }
    byId("login").addEventListener("submit", (event) => this.#login(event));
    const wanted = document.querySelector(`#periods [value="${CSS.escape(location.hash.slice(1))}"]`);
    if (wanted) wanted.checked = true;
    setInterval(() => this.#tick(), TICK_MS);
  }

  #period() {
    return document.querySelector("#periods :checked").value;
  }

  #now() {
    return Date.now() + this.#clockOffset;
  }

  // Only the newest question's answer is shown: a slow one for another period may come later.
  async refresh() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const question = ++this.#latest;
    byId("main").setAttribute("aria-busy", "true");
    try {
      const data = await ask(`/dashboard/data?period=${this.#period()}`);
      if (question === this.#latest) this.#show(data);
    } catch (error) {
      if (question === this.#latest) this.#fail(error);
    } finally {
      if (question === this.#latest) byId("main").setAttribute("aria-busy", "false");
    }
  }

  refreshSoon() {
    this.#timer ??= setTimeout(() => this.refresh(), REFRESH_MS);
  }

  #show(data) {
    if (data.version !== VERSION) return location.reload();
    const freshest = this.#data?.requests[0]?.id ?? Infinity;
    this.#data = data;
    this.#clockOffset = data.now - Date.now();
    byId("login").hidden = true;
    byId("figures").hidden = false;
    this.charts.money.show(data.series.points, data.series.step);
    this.charts.tokens.show(data.series.points, data.series.step);
    showSummary(data.summary);
    this.#showBreakdown().catch((error) => this.#fail(error));
    showSpeed(data.speed);
    showErrors(data.errors, data.now);
    showNotices(data.notices, data.ready);
    this.#live();
    this.budget.show(data.budget);
    this.#showRequests(freshest);
    this.#tick();
    this.listen();
  }

  #showRequests(freshest) {
    if (this.#data) showRequests(this.#data.requests, this.#now(), freshest, this.#sort);
  }

  #sortBy(button) {
    if (!button) return;
    const by = button.dataset.by;
    this.#sort = { by, down: this.#sort.by === by ? !this.#sort.down : true };
    for (const other of document.querySelectorAll("#requests-head th")) other.removeAttribute("aria-sort");
    button.closest("th").setAttribute("aria-sort", this.#sort.down ? "descending" : "ascending");
    this.#showRequests(Infinity);
  }

  async #open(event, id) {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (step) event.target.closest("tr")?.[step]?.focus();
    if (!id || (event.type === "keydown" && event.key !== "Enter")) return;
    let request = this.#data.requests.find((each) => String(each.id) === id);
    if (!request) {
      const { requests } = await ask("/analytics/requests?limit=1000");
      request = requests.find((each) => String(each.id) === id);
    }
    if (request) this.details.open(request);
  }

  async #showBreakdown() {
    const by = byId("by").value;
    const path = `/analytics?period=${this.#period()}&by=${by}`;
    byId("csv").href = `${path}&format=csv`;
    showBreakdown(await ask(path));
  }

  #tick() {
    if (!this.#data) return;
    showWindows(this.#data.windows, this.#now());
    showConversations(this.#data.conversations, this.#now());
  }

  #fail(error) {
    if (error instanceof Unauthorized) {
      byId("figures").hidden = true;
      byId("login").hidden = false;
      byId("secret").focus();
      this.#state("waiting", "Signed out");
      return;
    }
    this.#state("lost", "No connection");
    // fetch itself fails with a TypeError: nobody answered.
    const reason = error instanceof TypeError ? "The proxy does not answer. Start it again." : error.message;
    showNotices([`${reason} Trying again every ${RETRY_MS / 1_000} seconds.`]);
    this.#timer ??= setTimeout(() => this.refresh(), RETRY_MS);
  }

  /** The stream of events is open; whether requests are served is another question. */
  #live() {
    if (this.#events?.readyState !== EventSource.OPEN) return;
    if (this.#data?.ready === false) this.#state("unready", "NOT READY");
    else this.#state("live", "Live");
  }

  #state(state, text) {
    byId("live").dataset.state = state;
    setText("live", text);
  }

  async #login(event) {
    event.preventDefault();
    setText("login-error", "");
    try {
      await post("/dashboard/login", { secret: byId("secret").value });
      byId("secret").value = "";
      await this.refresh();
    } catch (error) {
      setText("login-error", error instanceof Unauthorized ? "That is not the secret. It is what PROXY_SECRET_KEY says, or else in the file ~/.ccproxy/secret." : error.message);
    }
  }

  async #saveBudget(settings) {
    const answer = await post("/budget", settings);
    this.#update("budget", { ...this.#data.budget, settings: answer.settings, known: true });
  }

  listen() {
    if (this.#events) return;
    const events = (this.#events = new EventSource("/dashboard/events"));
    events.addEventListener("open", () => {
      // What happened while nobody listened is in the data only.
      if (byId("live").dataset.state === "lost") this.refreshSoon();
      this.#live();
    });
    events.addEventListener("error", () => {
      this.#state("lost", "Reconnecting…");
      if (events.readyState !== EventSource.CLOSED) return;
      // The browser gives up when it is refused; the reason is in the answer to an ordinary question.
      this.#events = null;
      this.#timer ??= setTimeout(() => this.refresh(), RETRY_MS);
    });
    events.addEventListener("request", (event) => this.#add(JSON.parse(event.data)));
    for (const name of ["totals", "resync"]) events.addEventListener(name, () => this.refreshSoon());
    events.addEventListener("windows", (event) => this.#update("windows", JSON.parse(event.data).windows));
    events.addEventListener("conversations", (event) => this.#update("conversations", JSON.parse(event.data).conversations));
    events.addEventListener("budget", (event) => this.#update("budget", JSON.parse(event.data)));
  }

  #add(request) {
    const freshest = this.#data.requests[0]?.id ?? 0;
    if (request.id > freshest) {
      this.#data.requests = [request, ...this.#data.requests].slice(0, REQUESTS_SHOWN);
      this.#showRequests(freshest);
    }
    this.refreshSoon();
  }

  #update(part, value) {
    this.#data[part] = value;
    if (part === "budget") this.budget.show(value);
    else this.#tick();
  }
}

new Dashboard().refresh();
