// One worker as a card: changed in place, so that nothing jumps and the focus stays where it is.
import { serverNow } from "./clock.js";
import { drawing, element, setAttribute, setText } from "./element.js";
import { Fact } from "./fact.js";
import { filled } from "./link_template.js";
import { showMoment } from "./moment.js";
import { short } from "./text.js";
import { ago, dayTime, exact, percent, rate, UNKNOWN } from "./units.js";

const STATES = ["up", "degraded", "wedged", "draining", "down", "unknown"];
const FACTS = ["Slots busy", "Model", "Errors", "Last seen", "Last probe", "Load", "GPU"];
const SPARK_HEIGHT = 20;
const UNITS = { tokens: "tokens out / s", items: "lines / s" };

/** The last two minutes of a worker as a small curve with its rate. */
class Spark {
  #rate = element("b");
  #curve = drawing("", { className: "curve", viewBox: `0 0 29 ${SPARK_HEIGHT}` });
  node = element("div", { class: "spark", title: "The last two minutes, from the events this page has seen" }, this.#curve, this.#rate);

  constructor() {
    this.#curve.setAttribute("preserveAspectRatio", "none");
  }

  show(rates) {
    setAttribute(this.node, "data-quiet", rates === null ? "" : null);
    if (rates === null) {
      setAttribute(this.#curve.firstChild, "d", "");
      setText(this.#rate, "no work seen in the last 2 m");
      return;
    }
    const most = Math.max(...rates.values);
    const points = rates.values.map((value, x) => `${x} ${(SPARK_HEIGHT - 1 - (value / most) * (SPARK_HEIGHT - 3)).toFixed(1)}`);
    setAttribute(this.#curve.firstChild, "d", `M0 ${SPARK_HEIGHT}L${points.join("L")}L${rates.values.length - 1} ${SPARK_HEIGHT}Z`);
    setText(this.#rate, `${rate(rates.rate)} ${UNITS[rates.unit]}`);
  }
}

export class WorkerCard {
  #worker = null;
  #state = element("span", { class: "badge state" });
  #since = element("time", { class: "note since" });
  #name = element("bdi", { class: "name" });
  #type = element("bdi", { class: "kind" });
  #reason = element("span");
  #reasonLine = element("p", { class: "reason", dir: "auto" }, this.#reason);
  #facts = new Map(FACTS.map((name) => [name, new Fact(name, { "data-fact": name.toLowerCase() })]));
  #session = element("a", { "data-link": "session" });
  #grafana = element("a", { "data-link": "grafana", text: "Grafana", target: "_blank", rel: "noopener noreferrer" });
  #spark = new Spark();
  node = element(
    "article",
    { class: "worker", tabindex: -1 },
    element("header", {}, this.#state, this.#name, this.#type, this.#since),
    this.#reasonLine,
    element("dl", { class: "facts" }, ...[...this.#facts.values()].map((fact) => fact.node)),
    this.#spark.node,
    element("footer", {}, this.#session, element("span", { class: "elsewhere" }, this.#grafana)),
  );

  /** A worker as `/workers` shows it; `dashboard` is the address `/status` tells, or null. */
  show(worker, dashboard) {
    this.#worker = worker;
    const state = STATES.includes(worker.state) ? worker.state : "unknown";
    setAttribute(this.node, "data-worker", worker.id);
    setAttribute(this.node, "data-state", state);
    setText(this.#state, state);
    setText(this.#name, short(worker.name && worker.name !== worker.id ? `${worker.name} (${worker.id})` : worker.id, 96));
    setAttribute(this.#name, "title", worker.host ? `${short(worker.host, 200)}, port ${worker.port ?? 22}` : null);
    setText(this.#type, short(worker.type ?? worker.engine ?? "", 48));
    this.#reasonLine.hidden = !worker.reason;
    setText(this.#reason, short(worker.reason ?? "", 200));
    setAttribute(this.#reason, "title", worker.reason ? short(worker.reason, 1000) : null);
    this.#showFacts(worker);
    this.#session.hidden = !worker.last_session;
    if (worker.last_session) {
      setText(this.#session, `Last worked on ${short(worker.last_session, 64)}`);
      setAttribute(this.#session, "href", `/monitor?session=${encodeURIComponent(worker.last_session)}`);
    }
    const address = filled(dashboard, { worker: worker.id });
    this.#grafana.hidden = address === null;
    setAttribute(this.#grafana, "href", address);
    setAttribute(this.#grafana, "aria-label", `Grafana of ${worker.id}`);
    this.tick();
  }

  /** Let the ages go on. */
  tick() {
    const { since, last_seen: lastSeen, last_probe: lastProbe, probe_result: result, configured } = this.#worker;
    const now = serverNow();
    const failed = result && result !== "success" ? `, ${short(result, 48).replaceAll("_", " ")}` : "";
    showMoment(this.#since, since, since === null || since === undefined ? "" : `since ${dayTime(since)}`);
    this.#facts.get("Last seen").showTime(lastSeen, ago(lastSeen, now), "not in events");
    this.#facts.get("Last probe").showTime(lastProbe, `${ago(lastProbe, now)}${failed}`, configured ? "never" : "not probed");
  }

  reveal() {
    this.node.focus();
    this.node.scrollIntoView({ block: "nearest" });
  }

  /** The curve: what `WorkerRates.of` returns. */
  draw(rates) {
    this.#spark.show(rates);
  }

  #showFacts(worker) {
    const { active, capacity, models = [], load_ratio: load, gpus = [] } = worker;
    const known = [active, capacity].map((value) => (typeof value === "number" ? exact(value) : null));
    const slots = known[1] === null ? (known[0] ?? UNKNOWN) : `${known[0] ?? "?"} of ${known[1]}`;
    const missing = known[0] === null ? "nobody has told how many are busy" : known[1] === null ? "how many there are is not known" : null;
    this.#facts.get("Slots busy").show(slots, missing);
    const model = models[models.length - 1];
    this.#facts.get("Model").show(model ? short(model, 48) : UNKNOWN, models.map((one) => short(one, 80)).join(", "));
    this.#facts.get("Errors").show(exact(worker.errors ?? null), "errors of events that name it");
    this.#facts.get("Errors").value.classList.toggle("wrong", worker.errors > 0);
    this.#facts.get("Load").hidden = typeof load !== "number";
    this.#facts.get("Load").show(percent(100 * load), "of its processors, at the last probe");
    const busy = gpus.map((gpu) => gpu.utilization_ratio).filter((ratio) => typeof ratio === "number");
    this.#facts.get("GPU").hidden = busy.length === 0;
    this.#facts.get("GPU").show(busy.map((ratio) => percent(100 * ratio)).join(", "), "busy, at the last probe");
  }
}
