// Each part of the page from its part of /dashboard/data.

import { gauge, meter, smallBars, TimeChart } from "./charts.js";
import { ago, at, byId, compact, count, duration, el, money, percent, plural, setText, span, timestamp } from "./format.js";

const SOURCES = {
  claude_code: "subscription",
  extra_usage: "extra usage",
  api_key: "API key",
  error: "nobody",
  openai: "other provider",
  local: "proxy itself",
  refused: "refused",
  summary: "summary, API key",
  claude_code_summary: "summary, subscription",
};
const promptTokens = (used) => used.inputTokens + used.cacheReadTokens + used.cacheWrite5mTokens + used.cacheWrite1hTokens;
const sourceName = (source) => SOURCES[source] ?? source;

export function createCharts() {
  return {
    money: new TimeChart(byId("money-chart"), {
      label: "Spend and savings",
      series: [{ key: "savings", label: "Saved" }, { key: "spend", label: "Spent" }],
      format: money,
    }),
    tokens: new TimeChart(byId("tokens-chart"), {
      label: "Tokens",
      series: [
        { key: "cacheRead", label: "From cache" },
        { key: "cacheWrite", label: "Into cache" },
        { key: "input", label: "Fresh input" },
        { key: "output", label: "Output" },
      ],
      format: compact,
    }),
  };
}

export function showSummary(summary) {
  setText("savings", money(summary.estimatedSavings));
  byId("savings").title = summary.estimatedSavingsFormatted;
  setText("savings-detail", `${plural(summary.claudeCodeRequests, "request")} at API prices`);
  setText("spend", money(summary.estimatedApiKeyCost));
  byId("spend").title = summary.estimatedApiKeyCostFormatted;
  setText("spend-detail", plural(summary.apiKeyRequests, "paid request"));
  setText("requests-count", count(summary.totalRequests));
  setText("requests-detail", summary.failedRequests ? `${count(summary.failedRequests)} failed` : "all answered");
  setText("cache", percent(summary.cacheHitRate));
  setText("cache-detail", `${compact(summary.totalCacheReadTokens)} tokens at a tenth of the price`);
  setText("note", summary.note);
  showModels(summary.byModel);
}

function fillList(id, rows, empty) {
  byId(id).replaceChildren(...(rows.length ? rows : [el("li", { class: "empty" }, empty)]));
}

function showModels(models) {
  const rows = Object.entries(models).sort(([, a], [, b]) => b.estimatedCost - a.estimatedCost);
  fillList("models", rows.map(([name, totals]) => el("li", {},
    el("span", { class: "name" }, name),
    el("span", { class: "number" }, money(totals.estimatedCost)),
    el("span", { class: "quiet" }, `${plural(totals.requests, "request")} · ${compact(promptTokens(totals))} in · ${compact(totals.outputTokens)} out · ${percent(totals.cacheHitRate)} from cache`),
  )), "No model was used in this period. Send a request through the proxy, or choose a longer period.");
}

function resetText(window, now) {
  if (window.resetsAt === null) return "reset time unknown";
  if (window.resetsAt <= now) return "has been reset";
  return `resets in ${span(window.resetsAt - now)}`;
}

export function showWindows(windows, now) {
  const gauges = windows.map((window) => {
    // After its reset a window is fresh, though no answer has said so yet.
    const over = window.resetsAt !== null && window.resetsAt <= now;
    const drawing = gauge(over ? 0 : window.utilization, window.label);
    drawing.append(el("strong", {}, window.label), el("span", {
      class: "quiet", title: window.resetsAt === null ? null : at(window.resetsAt, "moment"),
    }, resetText(window, now)));
    if (window.status === "rejected" && !over) drawing.append(el("p", { class: "error" }, "used up"));
    return drawing;
  });
  const empty = el("p", { class: "empty" }, "Not known yet. The limits appear with the first answer that comes through your Claude subscription.");
  byId("windows").replaceChildren(...(gauges.length ? gauges : [empty]));
}

const barName = (bar) => (bar.upTo === null ? "more" : bar.upTo < 1_000 ? `.${String(bar.upTo / 1_000).slice(2)}s` : `${bar.upTo / 1_000}s`);

export function showSpeed({ firstToken, latency }) {
  if (!firstToken.count) {
    byId("speed").replaceChildren(el("p", { class: "empty" }, "No streamed answer in this period. Send one through the proxy, or choose a longer period."));
    return;
  }
  const pair = (label, value) => el("div", {}, el("p", { class: "figure" }, duration(value)), el("p", { class: "quiet" }, label));
  const bars = firstToken.bars.map((bar) => ({ label: barName(bar), value: bar.count }));
  const words = `Half of the answers began within ${duration(firstToken.p50)}, 95 percent within ${duration(firstToken.p95)}`;
  byId("speed").replaceChildren(
    el("div", { class: "pair" }, pair("half of the answers", firstToken.p50), pair("95 of 100", firstToken.p95)),
    smallBars(bars, words),
    el("p", { class: "quiet" }, `Whole answers: ${duration(latency.p50)} for half, ${duration(latency.p95)} for 95 of 100`),
  );
}

export function showErrors(errors, now) {
  fillList("errors", errors.map((row) => el("li", {},
    el("span", { class: "name error" }, row.error),
    el("span", { class: "number" }, `${count(row.count)} ×`),
    el("span", { class: "quiet" }, [`status ${row.status}`, sourceName(row.source), ago(now, row.last), row.reason].filter(Boolean).join(" · ")),
  )), "None in this period.");
}

export function showConversations(conversations, now) {
  fillList("conversations", conversations.map((each) => {
    const share = each.limit ? each.tokens / each.limit : 0;
    const facts = [
      `${compact(each.tokens)} of ${compact(each.limit)} tokens`, plural(each.requests, "request"), money(each.cost),
      each.summarized ? "summarized" : null, ago(now, each.lastSeen),
    ];
    return el("li", {},
      el("span", { class: "name" }, each.model, " ", el("span", { class: "quiet" }, each.id.slice(0, 8))),
      el("span", { class: "number" }, percent(share)),
      meter(share, `Context of ${each.id.slice(0, 8)}`),
      el("span", { class: "quiet" }, facts.filter(Boolean).join(" · ")),
    );
  }), "None yet. Start one in your editor: set its base URL to this proxy.");
}

function requestRow(request, now, fresh) {
  const prompt = promptTokens(request);
  const number = (text) => el("td", { class: "number" }, text);
  return el("tr", { class: fresh ? "fresh" : null, "data-id": request.id },
    el("td", {}, el("time", { datetime: new Date(request.timestamp).toISOString() }, timestamp(now, request.timestamp))),
    el("td", {}, request.model),
    el("td", {}, el("span", { class: "source", "data-source": request.source }, sourceName(request.source))),
    el("td", { class: request.error ? "error" : null }, String(request.status)),
    number(compact(prompt)),
    number(prompt ? percent(request.cacheReadTokens / prompt) : "–"),
    number(compact(request.outputTokens)),
    number(money(request.estimatedCost)),
    number(duration(request.ttftMs)),
    number(duration(request.latencyMs)),
    el("td", {}, [request.error, request.reason].filter(Boolean).join(": ") || "–"),
  );
}

// `freshest`: the newest id that was shown before; what is newer lights up for a moment.
export function showRequests(requests, now, freshest) {
  const filter = byId("source-filter");
  const sources = [...new Set([...requests.map((request) => request.source), filter.value].filter(Boolean))].sort();
  const options = [new Option("all", ""), ...sources.map((source) => new Option(sourceName(source), source, false, source === filter.value))];
  filter.replaceChildren(...options);
  const shown = requests.filter((request) => !filter.value || request.source === filter.value);
  byId("requests").replaceChildren(...shown.map((request) => requestRow(request, now, request.id > freshest)));
  byId("requests-empty").hidden = shown.length > 0;
  setText("requests-empty", requests.length
    ? "None of the newest requests was served this way."
    : "No requests yet. In your editor, set the OpenAI base URL to this proxy's address with /v1, and send a message.");
}

export function showNotices(notices, ready = true) {
  const shown = (text, at) => el("p", { class: ready || at > 0 ? "notice" : "notice bad" }, text);
  byId("notices").replaceChildren(...notices.map(shown));
}
