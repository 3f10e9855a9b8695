// What came in the last two minutes, a second at a time, by the server's clock.
import { serverNow } from "./clock.js";
import { byId, drawing, element, setText } from "./element.js";
import { rate } from "./units.js";

const SECONDS = 120;
const OVER_S = 10; // the figure beside a curve is the mean of so many whole seconds
const HEIGHT = 32;

const SERIES = [
  ["events", "Events / s"],
  ["items", "Progress / s"],
  ["tokens", "Tokens out / s"],
  ["errors", "Errors / s"],
];

const PROGRESS = new Set(["translation_progress", "conversion_progress"]);
const ERRORS = new Set(["translation_error", "conversion_error"]);

function tokensOf(usage) {
  if (usage === null || usage === undefined) return 0;
  return (Array.isArray(usage) ? usage : [usage]).reduce((sum, one) => sum + (Number(one.output_tokens) || 0), 0);
}

export class Throughput {
  #panel = byId("throughput");
  #note = byId("throughput-note");
  #seconds = new Map();
  #charts = new Map();

  constructor() {
    for (const [name, label] of SERIES) {
      const figure = element("b", { text: "–" });
      const curve = drawing("", { className: "curve", viewBox: `0 0 ${SECONDS} ${HEIGHT}` });
      curve.setAttribute("preserveAspectRatio", "none");
      this.#charts.set(name, { figure, curve: curve.firstChild });
      byId("throughput-body").append(element("div", { class: "rate", "data-rate": name }, element("span", { class: "label", text: label }), figure, curve));
    }
  }

  add(event) {
    const second = Math.floor(event.received_at);
    let bucket = this.#seconds.get(second);
    if (bucket === undefined) this.#seconds.set(second, (bucket = { events: 0, items: 0, tokens: 0, errors: 0 }));
    bucket.events += 1;
    bucket.items += PROGRESS.has(event.type) ? 1 : 0;
    bucket.errors += ERRORS.has(event.type) ? 1 : 0;
    bucket.tokens += tokensOf(event.usage);
    if (this.#seconds.size > 4 * SECONDS) this.#forget(second);
  }

  clear() {
    this.#seconds.clear();
  }

  /** Draw once a second; a closed panel only says its rate. */
  tick() {
    const now = Math.floor(serverNow());
    this.#forget(now);
    const mean = (name) => {
      let sum = 0;
      for (let second = now - OVER_S; second < now; second += 1) sum += this.#seconds.get(second)?.[name] ?? 0;
      return sum / OVER_S;
    };
    setText(this.#note, `${rate(mean("events"))} events / s`);
    if (!this.#panel.open) return;
    for (const [name, { figure, curve }] of this.#charts) {
      const values = Array.from({ length: SECONDS }, (_, place) => this.#seconds.get(now - SECONDS + place)?.[name] ?? 0);
      setText(figure, rate(mean(name)));
      const most = Math.max(1, ...values);
      const points = values.map((value, x) => `${x} ${(HEIGHT - 1 - (value / most) * (HEIGHT - 3)).toFixed(1)}`);
      curve.setAttribute("d", `M0 ${HEIGHT}L${points.join("L")}L${SECONDS - 1} ${HEIGHT}Z`);
    }
  }

  #forget(now) {
    for (const second of this.#seconds.keys()) if (second < now - SECONDS) this.#seconds.delete(second);
  }
}
