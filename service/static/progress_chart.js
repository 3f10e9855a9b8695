// Progress over time as an SVG of our own: steps, not slopes, since between two events nothing is known.
import { element, setAttribute, svg } from "./element.js";
import { showMoment } from "./moment.js";
import { clockTime, counted, duration, percent } from "./units.js";

const WIDTH = 1000;
const HEIGHT = 200; // the picture is stretched to its place; lines keep their width

export class ProgressChart {
  #gaps = svg("g", { class: "gaps" });
  #area = svg("path", { class: "area" });
  #line = svg("path", { class: "curve-line" });
  #errors = svg("path", { class: "error-marks" });
  #ahead = svg("rect", { class: "ahead", y: 0, height: HEIGHT });
  #cursor = svg("path", { class: "cursor" });
  #picture = svg(
    "svg",
    { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": "Progress, none known yet" },
    svg("path", { class: "grid", d: [0.25, 0.5, 0.75].map((part) => `M0 ${HEIGHT * part}H${WIDTH}`).join("") }),
    this.#gaps,
    this.#area,
    this.#line,
    this.#errors,
    this.#ahead,
    this.#cursor,
  );
  #from = element("time");
  #to = element("time");
  #start = 0;
  #span = 1;

  constructor() {
    const levels = ["100 %", "50 %", "0 %"].map((text) => element("span", { text }));
    this.node = element(
      "figure",
      { class: "progress-chart" },
      element("div", { class: "levels", "aria-hidden": "true" }, ...levels),
      this.#picture,
      element("figcaption", { class: "ends", "aria-hidden": "true" }, this.#from, this.#to),
    );
  }

  /** Draw a `Course`; `gaps` as a `Tape` tells them, `until` the end of the axis (Unix seconds). */
  show({ points, last, errorCount }, gaps, until) {
    if (last === null) return;
    this.#start = gaps[0]?.index === 0 ? Math.min(gaps[0].since, points[0].time) : points[0].time;
    this.#span = Math.max(0.001, until - this.#start);
    const drawn = [...points, last];
    const gapAt = new Set(gaps.map((gap) => gap.index));
    setAttribute(this.#line, "d", this.#curve(drawn, gapAt, until));
    setAttribute(this.#area, "d", this.#filled(drawn, gapAt, until));
    setAttribute(this.#errors, "d", this.#errorMarks(drawn));
    this.#showGaps(gaps, drawn);
    showMoment(this.#from, this.#start);
    showMoment(this.#to, until);
    const parts = [`Progress from ${clockTime(this.#start)} to ${clockTime(until)}, ${duration(this.#span)}`];
    parts.push(last.progress === null ? "none reported" : `${percent(last.progress)} at the end`);
    if (errorCount > 0) parts.push(counted(errorCount, "error"));
    if (gaps.length > 0) parts.push("with a gap where events are no longer kept");
    setAttribute(this.#picture, "aria-label", parts.join(", "));
  }

  /** Mark a time; null takes the mark away. */
  point(time) {
    setAttribute(this.#cursor, "d", time === null ? "" : `M${this.x(time)} 0V${HEIGHT}`);
    setAttribute(this.#ahead, "x", time === null ? WIDTH : this.x(time));
    setAttribute(this.#ahead, "width", time === null ? 0 : WIDTH - this.x(time));
  }

  /** Where a time lies, 0 to 1000. */
  x(time) {
    return Math.round(Math.min(1, Math.max(0, (time - this.#start) / this.#span)) * WIDTH * 10) / 10;
  }

  #curve(points, gapAt, until) {
    return this.#runs(points, gapAt, until).map(({ steps }) => steps).join("");
  }

  #filled(points, gapAt, until) {
    return this.#runs(points, gapAt, until).map(({ from, to, steps }) => `${steps}V${HEIGHT}H${from}Z`).join("");
  }

  /** Pieces without a gap, a new attempt or an unknown progress in them: each value holds until the next event. */
  #runs(points, gapAt, until) {
    const runs = [];
    let run = null;
    points.forEach((point, place) => {
      const before = points[place - 1];
      const broken = before === undefined || before.attempt !== point.attempt || [...gapAt].some((index) => before.index < index && index <= point.index);
      if (point.progress === null || broken) run = null;
      if (point.progress === null) return;
      const [x, y] = [this.x(point.time), Math.round((1 - point.progress / 100) * (HEIGHT - 4) * 10) / 10 + 2];
      if (run === null) runs.push((run = { from: x, to: x, steps: `M${x} ${y}` }));
      else run.steps += `H${x}V${y}`;
      run.to = x;
    });
    const { time } = points.at(-1);
    if (run !== null && until > time) run.steps += `H${this.x(until)}`;
    return runs;
  }

  #errorMarks(points) {
    const marks = new Set();
    points.forEach((point, place) => {
      if (point.errors > (points[place - 1]?.errors ?? 0)) marks.add(Math.round(this.x(point.time) / 2) * 2);
    });
    return [...marks].map((x) => `M${x} ${HEIGHT - 16}V${HEIGHT}`).join("");
  }

  #showGaps(gaps, points) {
    const rects = gaps.map(({ index, since }) => {
      const behind = points.find((point) => point.index >= index) ?? points.at(-1);
      const from = this.x(since);
      const title = svg("title", {});
      title.textContent = "Events of this time are no longer kept";
      return svg("rect", { class: "gap", x: from, y: 0, width: Math.max(2, this.x(behind.time) - from), height: HEIGHT }, title);
    });
    this.#gaps.replaceChildren(...rects);
  }
}
