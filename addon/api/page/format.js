// Numbers and times for people, and elements without HTML strings: what comes from a client is only ever text.

const HTML = "http://www.w3.org/1999/xhtml";
const SVG = "http://www.w3.org/2000/svg";

function build(namespace, tag, attributes, children) {
  const node = document.createElementNS(namespace, tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) node.setAttribute(name, value);
  node.append(...children.filter((child) => child != null));
  return node;
}

export const el = (tag, attributes = {}, ...children) => build(HTML, tag, attributes, children);
export const svg = (tag, attributes = {}, ...children) => build(SVG, tag, attributes, children);
export const byId = (id) => document.getElementById(id);

export function setText(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

const grouped = new Intl.NumberFormat("en-US");
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 3 });

export const count = (value) => grouped.format(value);
export const compact = (value) => (value < 10_000 ? grouped.format(value) : short.format(value));
export const percent = (share) => `${Math.round(share * 100)}%`;
export const plural = (value, word) => `${count(value)} ${word}${value === 1 ? "" : "s"}`;

export function money(usd) {
  if (usd === 0) return "$0";
  if (usd < 0.01) return `${(usd * 100).toPrecision(2)}¢`;
  if (usd >= 10_000) return `$${short.format(usd)}`;
  return `$${usd.toFixed(2)}`;
}

export function duration(ms) {
  if (ms == null) return "–";
  if (ms < 1_000) return `${ms} ms`;
  if (ms < 100_000) return `${(ms / 1_000).toFixed(1)} s`;
  return `${Math.round(ms / 60_000)} min`;
}

const UNITS = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000]];

// The two largest units, never broken over lines: "2 d 3 h".
export function span(ms) {
  const parts = [];
  for (const [word, size] of UNITS) {
    const whole = Math.floor(ms / size);
    ms -= whole * size;
    if (whole && parts.length < 2) parts.push(`${whole}\u00a0${word}`);
  }
  return parts.join("\u00a0") || "less than a minute";
}

export const ago = (now, ms) => (now - ms < 60_000 ? "just now" : `${span(now - ms)} ago`);

const styles = {
  time: { hour: "2-digit", minute: "2-digit" },
  second: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
  moment: { weekday: "short", hour: "2-digit", minute: "2-digit" },
  day: { day: "numeric", month: "short" },
};
const formats = Object.fromEntries(
  Object.entries(styles).map(([name, style]) => [name, new Intl.DateTimeFormat("en-GB", style)]),
);

export const at = (ms, style) => formats[style].format(ms);

// The time of day, and before that the day if it was not within the last 24 hours.
export function timestamp(now, ms) {
  const time = at(ms, "second");
  return now - ms < 86_400_000 ? time : `${at(ms, "day")}, ${time}`;
}

// A moment as the axis of a chart with points `step` seconds apart needs it.
export function axisTime(ms, step) {
  if (step >= 86_400) return at(ms, "day");
  return step >= 6 * 3_600 ? at(ms, "moment") : at(ms, "time");
}
