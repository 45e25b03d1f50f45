// The budget: what was spent against each limit, and editing. The server judges what is typed; its answer is shown
// at the field that it names.

import { meter } from "./charts.js";
import { byId, el, money, setText } from "./format.js";

const LIMITS = [
  { name: "hourlyLimit", period: "hour", label: "Hour" },
  { name: "dailyLimit", period: "day", label: "Day" },
  { name: "weeklyLimit", period: "week", label: "Week" },
  { name: "monthlyLimit", period: "month", label: "Month" },
];

export class BudgetForm {
  #edited = false;

  constructor(send) {
    this.send = send;
    this.form = byId("budget");
    byId("budget-rows").replaceChildren(...LIMITS.map((limit) => this.#row(limit)));
    this.form.addEventListener("input", () => {
      this.#edited = true;
      setText("budget-status", "Not saved yet");
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
  }

  #row({ name, label }) {
    const input = el("input", {
      id: name, type: "text", inputmode: "decimal", autocomplete: "off", placeholder: "no limit", "aria-describedby": `${name}-spent ${name}-error`,
    });
    return el("div", { class: "budget-row" },
      el("label", { for: name }, label, el("span", { class: "hidden" }, " limit in US dollars")),
      el("span", { class: "money" }, input),
      el("span", { class: "quiet number", id: `${name}-spent` }),
      el("div", { class: "budget-meter", id: `${name}-meter` }),
      el("p", { class: "error", id: `${name}-error`, role: "alert" }),
    );
  }

  // What is being typed stays; everything else follows the server.
  show({ settings, spent, known }) {
    byId("budget-unknown").hidden = known;
    for (const { name, period, label } of LIMITS) {
      setText(`${name}-spent`, `${money(spent[period])} spent`);
      const limit = settings[name];
      // A limit of nothing is used up from the start.
      const share = limit ? spent[period] / limit : 1;
      byId(`${name}-meter`).replaceChildren(...(limit === null ? [] : [meter(share, `${label}: spent of the limit`)]));
      if (!this.#edited) byId(name).value = limit ?? "";
    }
    if (!this.#edited) byId("budget-enabled").checked = settings.enabled;
  }

  #typed() {
    const body = { enabled: byId("budget-enabled").checked };
    for (const { name } of LIMITS) {
      const text = byId(name).value.trim();
      const number = Number(text);
      body[name] = text === "" ? null : Number.isFinite(number) ? number : text;
    }
    return body;
  }

  async #save() {
    this.#showError(null, "");
    const button = this.form.querySelector("button");
    button.disabled = true;
    try {
      await this.send(this.#typed());
      this.#edited = false;
      setText("budget-status", "Saved");
    } catch (error) {
      const field = /^(\w+): /.exec(error.message);
      this.#showError(field?.[1], field ? error.message.slice(field[0].length) : error.message);
    } finally {
      button.disabled = false;
    }
  }

  #showError(field, message) {
    const known = LIMITS.some(({ name }) => name === field);
    for (const { name } of LIMITS) {
      setText(`${name}-error`, name === field ? message : "");
      byId(name).setAttribute("aria-invalid", String(name === field));
    }
    setText("budget-status", known ? "Not saved: see above" : message && `Not saved: ${message}`);
    if (known) byId(field).focus();
  }
}
