// Each part of the page from its part of /dashboard/data.

import { gauge, meter, smallBars, TimeChart } from "./charts.js";
import { ago, at, byId, compact, count, duration, el, money, percent, plural, setText, span, svg, timestamp } from "./format.js";
import { promptTokens, remedy, sourceName, who } from "./words.js";

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
}

function fillList(id, rows, empty) {
  byId(id).replaceChildren(...(rows.length ? rows : [el("li", { class: "empty" }, empty)]));
}

export function showBreakdown({ by, rows }) {
  const cells = (row) => [
    row[by] ?? "–", count(row.requests), compact(promptTokens(row)), percent(row.cacheHitRate), compact(row.outputTokens),
    money(row.savings), money(row.spend), row.cacheMisses ? `${count(row.cacheMisses)} (${money(row.cacheMissCost)})` : "–",
  ];
  byId("breakdown").replaceChildren(...rows.map((row) => el("tr", {}, ...cells(row).map((text, at) => el("td", { class: at ? "number" : null }, text)))));
  byId("breakdown-empty").hidden = rows.length > 0;
}

function resetText(window, now) {
  if (window.resetsAt === null) return "reset time unknown";
  if (window.resetsAt <= now) return "has been reset";
  return `resets in ${span(window.resetsAt - now)}`;
}

const LENGTHS = { "5h": 5 * 3_600_000, "7d": 7 * 86_400_000 };

// When a window is used up if it goes on as since its start; null if it lasts.
function usedUpAt(window, now) {
  const length = LENGTHS[window.name.split("_")[0]];
  if (!length || window.resetsAt === null || !window.utilization || window.utilization >= 1) return null;
  const start = window.resetsAt - length;
  const end = start + (now - start) / window.utilization;
  return now > start && end < window.resetsAt ? end : null;
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
    const end = over ? null : usedUpAt(window, now);
    if (end) drawing.append(el("p", { class: "quiet" }, `at this rate used up ${at(end, "moment")}`));
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
    el("div", { class: "pair" }, pair("median", firstToken.p50), pair("95th percentile", firstToken.p95)),
    smallBars(bars, words),
    el("p", { class: "quiet" }, `Whole responses: median ${duration(latency.p50)}, 95th percentile ${duration(latency.p95)}`),
  );
}

export function showErrors(errors, now) {
  fillList("errors", errors.map((row) => el("li", {},
    el("span", { class: "name error" }, row.error),
    el("span", { class: "number" }, `${count(row.count)} ×`),
    el("span", { class: "quiet" }, [`status ${row.status}`, sourceName(row.source), ago(now, row.last), row.reason].filter(Boolean).join(" · ")),
    el("span", { class: "quiet" }, remedy(row.error)),
  )), "None in this period.");
}

// A bar for each turn, as high as the share that came from the cache; a miss is red, and says why and what it cost.
function timeline(turns) {
  const bars = turns.map((turn) => {
    const share = turn.prompt ? turn.cached / turn.prompt : 0;
    const words = turn.miss ? `missed: ${turn.miss} (${money(turn.missCost)})` : `${percent(share)} from cache`;
    const height = Math.max(2, Math.round(share * 20));
    const bar = svg("rect", { class: turn.miss ? "miss" : "hit", x: 0, y: 20 - height, width: 6, height });
    const drawing = svg("svg", { viewBox: "0 0 6 20", width: 6, height: 20, "aria-hidden": "true" }, bar);
    return el("button", { type: "button", class: "turn", tabindex: "-1", "data-turn": turn.id, title: words, "aria-label": words }, drawing);
  });
  return el("span", { class: "timeline" }, ...bars);
}

export function showConversations(conversations, now) {
  // One-shot requests are no conversations; they stand in the list of requests.
  const shown = conversations.filter((each) => each.requests !== 1 || conversations.length < 4);
  fillList("conversations", shown.map((each) => {
    const share = each.limit ? each.tokens / each.limit : 0;
    const misses = each.turns.filter((turn) => turn.miss);
    const facts = [
      `${compact(each.tokens)} of ${compact(each.limit)} tokens`, plural(each.requests, "request"), money(each.cost),
      misses.length ? `${plural(misses.length, "cache miss").replace("misss", "misses")}, ${money(misses.reduce((sum, turn) => sum + turn.missCost, 0))}` : null,
      each.summarized ? "summarized" : null, each.client, ago(now, each.lastSeen),
    ];
    const name = each.title || each.id.slice(0, 8);
    return el("li", {},
      el("span", { class: "name" }, name, " ", el("span", { class: "quiet" }, each.model)),
      el("span", { class: "number" }, percent(share)),
      meter(share, `Context of ${name}`),
      el("span", { class: "quiet" }, facts.filter(Boolean).join(" · ")),
      timeline(each.turns),
    );
  }), "None yet. Start one in your editor: set its base URL to this proxy.");
}

function requestRow(request, now, fresh) {
  const prompt = promptTokens(request);
  const number = (text) => el("td", { class: "number" }, text);
  return el("tr", { class: fresh ? "fresh" : null, "data-id": request.id, tabindex: "-1" },
    el("td", {}, el("time", { datetime: new Date(request.timestamp).toISOString() }, timestamp(now, request.timestamp))),
    el("td", {}, request.model),
    el("td", {}, who(request) || "–"),
    el("td", {}, el("span", { class: "source", "data-source": request.source }, sourceName(request.source))),
    el("td", { class: request.error ? "error" : null }, String(request.status)),
    number(compact(prompt)),
    number(prompt ? percent(request.cacheReadTokens / prompt) : "–"),
    number(compact(request.outputTokens)),
    number(money(request.estimatedCost)),
    number(duration(request.ttftMs)),
    number(duration(request.latencyMs)),
    el("td", {}, [request.error, request.reason, request.cacheMiss && `cache missed: ${request.cacheMiss} (${money(request.cacheMissCost)})`].filter(Boolean).join(": ") || "–"),
  );
}

const SORTS = {
  timestamp: (request) => request.timestamp,
  model: (request) => request.model,
  who,
  source: (request) => sourceName(request.source),
  status: (request) => request.status,
  prompt: promptTokens,
  cached: (request) => (promptTokens(request) ? request.cacheReadTokens / promptTokens(request) : -1),
  output: (request) => request.outputTokens,
  cost: (request) => request.estimatedCost,
  first: (request) => request.ttftMs ?? -1,
  total: (request) => request.latencyMs ?? -1,
};

function sorted(requests, { by, down }) {
  const value = SORTS[by];
  const order = (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : b.id - a.id);
  return [...requests].sort((a, b) => (down ? order(b, a) : order(a, b)));
}

const words = (request) => [request.model, who(request), request.session, sourceName(request.source), request.error, request.reason, request.cacheMiss, request.requestId]
  .filter(Boolean).join(" ").toLowerCase();

// `freshest`: the newest id that was shown before; what is newer lights up for a moment.
export function showRequests(requests, now, freshest, sort) {
  const filter = byId("source-filter");
  const sources = [...new Set([...requests.map((request) => request.source), filter.value].filter(Boolean))].sort();
  const options = [new Option("all", ""), ...sources.map((source) => new Option(sourceName(source), source, false, source === filter.value))];
  filter.replaceChildren(...options);
  const wanted = byId("search").value.toLowerCase();
  const shown = sorted(requests, sort).filter((request) => (!filter.value || request.source === filter.value) && words(request).includes(wanted));
  byId("requests").replaceChildren(...shown.map((request) => requestRow(request, now, request.id > freshest)));
  byId("requests").firstElementChild?.setAttribute("tabindex", "0");
  byId("requests-empty").hidden = shown.length > 0;
  setText("requests-empty", requests.length
    ? "None of the newest requests is like this."
    : "No requests yet. In your editor, set the OpenAI base URL to this proxy's address with /v1, and send a message.");
}

export function showNotices(notices, ready = true) {
  const shown = (text, at) => el("p", { class: ready || at > 0 ? "notice" : "notice bad" }, text);
  byId("notices").replaceChildren(...notices.map(shown));
}
