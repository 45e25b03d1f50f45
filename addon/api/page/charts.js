// Charts drawn by hand: stacked bars over time, small bars, gauges. All can be read by keyboard and by ear.

import { axisTime, el, percent, svg } from "./format.js";

const HEIGHT = 200;
const BOTTOM = 20;
const LEFT = 46;

function niceCeiling(value) {
  const power = 10 ** Math.floor(Math.log10(value || 1));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= value);
}

// Stacked bars in `holder`. points: [{start, ...}]; series: [{key, label}], drawn from the bottom up.
export class TimeChart {
  constructor(holder, { label, series, format }) {
    Object.assign(this, { series, format, points: [], step: 0, chosen: null });
    this.legend = el("div", { class: "legend" });
    this.plot = svg("svg", { class: "plot", role: "slider", tabindex: 0, "aria-label": `${label} over time`, "aria-valuemin": 1 });
    holder.replaceChildren(this.legend, this.plot);
    this.plot.addEventListener("keydown", (event) => this.#key(event));
    this.plot.addEventListener("pointermove", (event) => this.#choose(this.#indexAt(event)));
    this.plot.addEventListener("pointerleave", () => this.#choose(null));
    this.plot.addEventListener("blur", () => this.#choose(null));
    new ResizeObserver(() => this.#draw()).observe(holder);
  }

  show(points, step) {
    Object.assign(this, { points, step });
    if (this.chosen !== null) this.chosen = Math.min(this.chosen, points.length - 1);
    this.#draw();
  }

  #indexAt(event) {
    const x = event.clientX - this.plot.getBoundingClientRect().left - LEFT;
    return Math.max(0, Math.min(this.points.length - 1, Math.floor(x / this.#slot())));
  }

  #key(event) {
    const last = this.points.length - 1;
    const from = this.chosen ?? last;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#choose(Math.max(0, Math.min(last, to)));
  }

  #choose(index) {
    if (this.chosen === index) return;
    this.chosen = index;
    this.#draw();
  }

  #slot() {
    return (this.plot.clientWidth - LEFT) / this.points.length;
  }

  #values() {
    const shown = this.chosen === null ? this.points : [this.points[this.chosen]];
    return this.series.map(({ key }) => shown.reduce((sum, point) => sum + point[key], 0));
  }

  #draw() {
    if (!this.points.length || !this.plot.clientWidth) return;
    const tallest = Math.max(...this.points.map((point) => this.series.reduce((sum, { key }) => sum + point[key], 0)));
    const top = niceCeiling(tallest);
    this.plot.replaceChildren(...this.#grid(tallest ? top : 0), ...this.#cursor(), ...this.#bars(top), ...this.#times());
    this.#describe(tallest);
  }

  #y(share) {
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - 12);
  }

  #grid(top) {
    const lines = top ? [0, 0.5, 1] : [0];
    return lines.flatMap((share) => [
      svg("line", { class: "line", x1: LEFT, x2: this.plot.clientWidth, y1: this.#y(share), y2: this.#y(share) }),
      svg("text", { x: LEFT - 8, y: this.#y(share) + 4, "text-anchor": "end" }, this.format(top * share)),
    ]);
  }

  #cursor() {
    if (this.chosen === null) return [];
    const x = LEFT + this.chosen * this.#slot();
    return [svg("rect", { class: "cursor", x, y: 0, width: this.#slot(), height: HEIGHT - BOTTOM, rx: 3 })];
  }

  #bars(top) {
    const slot = this.#slot();
    const width = Math.max(1, Math.min(26, slot * 0.72));
    return this.points.flatMap((point, index) => {
      let below = 0;
      return this.series.flatMap(({ key }) => {
        const value = point[key];
        if (!value) return [];
        const y = this.#y((below + value) / top);
        const height = Math.max(1, this.#y(below / top) - y);
        below += value;
        return [svg("rect", { class: key, x: LEFT + index * slot + (slot - width) / 2, y, width, height, rx: Math.min(2, width / 4) })];
      });
    });
  }

  #times() {
    const every = Math.ceil(80 / this.#slot());
    return this.points.flatMap((point, index) => {
      const x = LEFT + (index + 0.5) * this.#slot();
      const fits = index % every === Math.floor(every / 2) && x < this.plot.clientWidth - 24;
      return fits ? [svg("text", { x, y: HEIGHT - 4, "text-anchor": "middle" }, axisTime(point.start, this.step))] : [];
    });
  }

  #describe(tallest) {
    const values = this.#values();
    const when = this.chosen === null ? "Whole period" : axisTime(this.points[this.chosen].start, this.step);
    const items = this.series.map(({ key, label }, index) =>
      el("span", {}, el("i", { class: key }), `${label} `, el("b", {}, this.format(values[index]))),
    );
    const hint = tallest ? when : "Nothing in this period yet";
    this.legend.replaceChildren(...items.reverse(), el("span", { class: "when" }, hint));
    const text = this.series.map(({ label }, index) => `${label} ${this.format(values[index])}`).join(", ");
    this.plot.setAttribute("aria-valuemax", this.points.length);
    this.plot.setAttribute("aria-valuenow", (this.chosen ?? this.points.length - 1) + 1);
    this.plot.setAttribute("aria-valuetext", `${hint}: ${text}`);
  }
}

// Bars with a label below each: bars [{label, value}].
export function smallBars(bars, label) {
  const tallest = Math.max(1, ...bars.map((bar) => bar.value));
  const slot = 300 / bars.length;
  const drawn = bars.flatMap(({ label: name, value }, index) => {
    const height = value ? Math.max(2, (value / tallest) * 84) : 0;
    const middle = (index + 0.5) * slot;
    return [
      svg("rect", { class: "bar", x: index * slot + 3, y: 104 - height, width: slot - 6, height, rx: 2 }),
      value ? svg("text", { x: middle, y: 99 - height, "text-anchor": "middle" }, String(value)) : null,
      svg("text", { x: middle, y: 121, "text-anchor": "middle" }, name),
    ];
  });
  const base = svg("line", { class: "line", x1: 0, x2: 300, y1: 104.5, y2: 104.5 });
  return svg("svg", { class: "plot small", viewBox: "0 0 300 126", role: "img", "aria-label": label }, base, ...drawn);
}

const LEVELS = [[1, "full"], [0.8, "high"], [0, "calm"]];
const level = (share) => LEVELS.find(([from]) => (share ?? 0) >= from)[1];

const reading = (share, label) => ({
  role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100,
  "aria-valuenow": Math.round(Math.min(share ?? 0, 1) * 100),
  "aria-valuetext": share === null ? "unknown" : `${percent(share)} used`,
});

// Half a circle filled to `share` (0 to 1, or null when unknown).
export function gauge(share, label) {
  const arc = "M 12 62 A 48 48 0 0 1 108 62";
  const filled = Math.min(share ?? 0, 1) * 100;
  const drawing = svg("svg", { viewBox: "0 0 120 72", ...reading(share, label) }, svg("path", { d: arc }));
  if (filled > 0) drawing.append(svg("path", { class: "fill", d: arc, pathLength: 100, "stroke-dasharray": `${filled} 200` }));
  drawing.append(svg("text", { x: 60, y: 58 }, share === null ? "–" : percent(share)));
  return el("div", { class: "gauge", "data-level": level(share) }, drawing);
}

// A line filled to `share`.
export function meter(share, label) {
  const fill = svg("rect", { width: Math.min(share, 1) * 100, height: 6 });
  return svg("svg", {
    class: "meter", "data-level": level(share), viewBox: "0 0 100 6", preserveAspectRatio: "none", ...reading(share, label),
  }, fill);
}
