// Workers as the server knows them, and what the events of this page have named since the last reading.
import { read } from "./api.js";
import { byId, element, setText } from "./element.js";
import { counted } from "./units.js";
import { WorkerCard } from "./worker_card.js";
import { WorkerRates } from "./worker_rates.js";

const ROWS = 100;
const NAMED_AT_MOST = 200;

const BAD = ["down", "wedged", "degraded", "draining"];

/** The worker an event names, wherever its producer put it, or null. */
export function workerOf(event) {
  const info = event.worker_info ?? event.data?.worker_info ?? null;
  if (event.type === "worker_status" && typeof event.data?.worker === "string") return { id: event.data.worker };
  if (info === null) return null;
  const id = info.host ? `${info.host}:${info.port ?? 22}` : info.name;
  return id ? { ...info, id } : null;
}

export class Workers {
  #panel = byId("workers");
  #body = byId("workers-body");
  #note = byId("workers-note");
  #named = new Map();
  #known = [];
  #cards = new Map();
  #dashboard = null;
  #empty = element("p", { class: "empty" }, "No worker is configured, and no event has named one. ", element("code", { text: "translation-monitor workers" }), " lists and checks those of a configuration.");
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

  /** Let curves and ages go on; a closed panel draws none. */
  tick() {
    if (!this.#panel.open) return;
    for (const { card, worker } of this.#cards.values()) {
      card.tick();
      card.draw(this.#rates.of(worker));
    }
  }

  /** Bring a worker into sight, by any of its names. */
  reveal(name) {
    const shown = [...this.#cards.values()].find(({ worker }) => namesOf(worker).includes(name));
    if (shown === undefined) this.#panel.querySelector("summary").focus();
    else shown.card.reveal();
  }

  /** The address of a worker's dashboard as `/status` tells it, or null. */
  set dashboard(address) {
    this.#dashboard = address;
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
    const known = new Set(this.#known.flatMap(namesOf));
    const workers = [...this.#known, ...[...this.#named.values()].filter((worker) => !namesOf(worker).some((name) => known.has(name)))];
    // The server puts the last seen first; here each keeps its place.
    workers.sort((a, b) => Number(b.configured ?? false) - Number(a.configured ?? false) || a.id.localeCompare(b.id));
    setText(this.#note, noteOf(workers));
    const shown = workers.slice(0, ROWS);
    const wanted = new Set(shown.map((worker) => worker.id));
    for (const [id, { card }] of this.#cards) {
      if (!wanted.has(id)) {
        card.node.remove();
        this.#cards.delete(id);
      }
    }
    shown.forEach((worker, place) => {
      const card = this.#cards.get(worker.id)?.card ?? new WorkerCard();
      this.#cards.set(worker.id, { card, worker });
      card.show(worker, this.#dashboard);
      card.draw(this.#rates.of(worker));
      const there = this.#body.children[place];
      if (there !== card.node) this.#body.insertBefore(card.node, there ?? null);
    });
    if (shown.length === 0) this.#body.replaceChildren(this.#empty);
    else this.#empty.remove();
  }
}

/** All by which events may name a worker. */
function namesOf({ id, name, host, port }) {
  return [id, name, host ? `${host}:${port ?? 22}` : null].filter(Boolean);
}

/** "7 workers · 1 down · 1 wedged" */
function noteOf(workers) {
  if (workers.length === 0) return "none yet";
  const parts = [counted(workers.length, "worker")];
  for (const state of BAD) {
    const count = workers.filter((worker) => worker.state === state).length;
    if (count > 0) parts.push(`${count} ${state}`);
  }
  if (workers.length > ROWS) parts.push(`the first ${ROWS} are shown`);
  return parts.join(" · ");
}
