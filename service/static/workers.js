// Workers as the server knows them, and what the events of this page have named since the last reading.
import { read } from "./api.js";
import { byId, drawing, element, setAttribute, setText } from "./element.js";
import { short } from "./text.js";
import { clockTime, counted, dayTime, exact, rate, UNKNOWN, utc } from "./units.js";
import { WorkerRates } from "./worker_rates.js";

const ROWS = 100;
const NAMED_AT_MOST = 200;

/** The worker an event names, wherever its producer put it, or null. */
export function workerOf(event) {
  const info = event.worker_info ?? event.data?.worker_info ?? null;
  if (event.type === "worker_status" && typeof event.data?.worker === "string") return { id: event.data.worker };
  if (info === null) return null;
  const id = info.host ? `${info.host}:${info.port ?? 22}` : info.name;
  return id ? { ...info, id } : null;
}

const STATES = ["up", "degraded", "wedged", "draining", "down", "unknown"];

function rowOf(worker) {
  const state = STATES.includes(worker.state) ? worker.state : "unknown";
  const slots = typeof worker.capacity === "number" ? `${worker.active ?? "?"} of ${worker.capacity}` : UNKNOWN;
  const name = worker.name && worker.name !== worker.id ? `${worker.name} (${worker.id})` : worker.id;
  const models = (worker.models ?? []).map((model) => short(model, 48));
  const fact = (label, value, title) =>
    value === UNKNOWN ? null : element("div", {}, element("dt", { text: label }), element("dd", { text: value, title }));
  return element(
    "article",
    { class: "worker", "data-worker": worker.id, "data-state": state },
    element("header", {}, element("span", { class: "badge state", text: state }), element("bdi", { class: "name", text: short(name, 96) })),
    worker.reason ? element("p", { class: "reason" }, element("bdi", { text: short(worker.reason, 200) })) : null,
    element(
      "dl",
      { class: "facts" },
      fact("Slots busy", slots),
      fact("Type", worker.type ? short(worker.type, 48) : UNKNOWN),
      fact("Model", models[models.length - 1] ?? UNKNOWN, models.join(", ") || null),
      fact("Errors", exact(worker.errors ?? null)),
      fact("Last seen", clockTime(worker.last_seen), utc(worker.last_seen)),
      fact("Last probe", clockTime(worker.last_probe), utc(worker.last_probe)),
      fact("Probe found", worker.probe_result ? short(worker.probe_result, 48).replaceAll("_", " ") : UNKNOWN, worker.probe_reason ? short(worker.probe_reason, 300) : null),
      fact("Since", worker.since ? dayTime(worker.since) : UNKNOWN, utc(worker.since)),
    ),
  );
}

const SPARK_HEIGHT = 20;
const UNITS = { tokens: "tokens out / s", items: "lines / s" };

/** The last two minutes of a worker as a small curve with its rate; nothing where its events told nothing. */
class Spark {
  #rate = element("b");
  #curve = drawing("", { className: "curve", viewBox: `0 0 29 ${SPARK_HEIGHT}` });
  node = element("div", { class: "spark", hidden: true }, this.#curve, this.#rate);

  constructor() {
    this.#curve.setAttribute("preserveAspectRatio", "none");
  }

  show(rates) {
    this.node.hidden = rates === null;
    if (rates === null) return;
    const most = Math.max(...rates.values);
    const points = rates.values.map((value, x) => `${x} ${(SPARK_HEIGHT - 1 - (value / most) * (SPARK_HEIGHT - 3)).toFixed(1)}`);
    setAttribute(this.#curve.firstChild, "d", `M0 ${SPARK_HEIGHT}L${points.join("L")}L${rates.values.length - 1} ${SPARK_HEIGHT}Z`);
    setText(this.#rate, `${rate(rates.rate)} ${UNITS[rates.unit]}`);
  }
}

export class Workers {
  #panel = byId("workers");
  #body = byId("workers-body");
  #note = byId("workers-note");
  #named = new Map();
  #known = [];
  #rows = new Map();
  #rates = new WorkerRates();

  /** Note the worker of an event; true if there is one, so that the server is asked again. */
  add(event) {
    this.#rates.add(event);
    const worker = workerOf(event);
    if (worker === null) return false;
    if (this.#named.size >= NAMED_AT_MOST) this.#named.delete(this.#named.keys().next().value);
    this.#named.set(worker.id, {
      id: worker.id,
      name: worker.name ?? null,
      type: worker.type ?? null,
      capacity: worker.capacity ?? null,
      models: worker.model ? [worker.model] : [],
      state: "unknown",
      reason: "named by an event",
      last_seen: event.received_at,
    });
    return true;
  }

  clear() {
    this.#named.clear();
    this.#rates.clear();
  }

  /** Let the curves go on; a closed panel draws none. */
  tick() {
    if (!this.#panel.open) return;
    for (const row of this.#rows.values()) row.spark.show(this.#rates.of(row.worker));
  }

  /** The workers as the server last told them. */
  get known() {
    return this.#known;
  }

  /** Throws ReadError; the workers named by events are shown even then. */
  async refresh() {
    try {
      this.#known = (await read("/workers")).body.workers;
      // Whatever was named before this answer is in it, under its configured id where it has one.
      this.#named.clear();
    } finally {
      this.#show();
    }
  }

  #show() {
    const known = new Set(this.#known.map((worker) => worker.id));
    const workers = [...this.#known, ...[...this.#named.values()].filter((worker) => !known.has(worker.id))];
    // The server puts the last seen first; here each keeps its place.
    workers.sort((a, b) => Number(b.configured ?? false) - Number(a.configured ?? false) || a.id.localeCompare(b.id));
    const bad = workers.filter((worker) => worker.state === "down" || worker.state === "wedged").length;
    const more = workers.length > ROWS ? ` · the first ${ROWS} are shown` : "";
    setText(this.#note, workers.length === 0 ? "none yet" : `${counted(workers.length, "worker")}${bad > 0 ? ` · ${bad} down` : ""}${more}`);
    const empty = element("p", { class: "empty", text: "No worker is configured and no event has named one." });
    const rows = workers.slice(0, ROWS).map((worker) => this.#row(worker));
    this.#rows = new Map(rows.map((row) => [row.id, row]));
    const nodes = rows.length === 0 ? [empty] : rows.map((row) => row.node);
    if (nodes.length !== this.#body.childElementCount || nodes.some((node, place) => this.#body.children[place] !== node)) {
      this.#body.replaceChildren(...nodes);
    }
  }

  /** The row shown already where nothing of it changed. */
  #row(worker) {
    const said = JSON.stringify(worker);
    const row = this.#rows.get(worker.id);
    if (row?.said === said) return row;
    const spark = row?.spark ?? new Spark();
    const node = rowOf(worker);
    node.append(spark.node);
    return { id: worker.id, said, worker, node, spark };
  }
}
