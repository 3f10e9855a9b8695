// What each worker has done in the last two minutes, from the events this page has seen.
import { serverNow } from "./clock.js";

const BIN_S = 4;
const BINS = 30;
const OVER_BINS = 5; // a rate is the mean of so many whole bins
const WORKERS = 200;
const PROGRESS = new Set(["translation_progress", "conversion_progress"]);

export class WorkerRates {
  #bins = new Map();

  add(event) {
    const info = event.worker_info ?? event.data?.worker_info ?? null;
    const named = info === null ? null : keyOf(info);
    const bin = Math.floor(event.received_at / BIN_S);
    for (const usage of [event.usage ?? []].flat()) this.#count(usage.worker || named, bin, "tokens", usage.output_tokens ?? 0);
    if (PROGRESS.has(event.type)) this.#count(named, bin, "items", 1);
  }

  clear() {
    this.#bins.clear();
  }

  /**
   * {values, rate, unit} of a worker as `/workers` tells it: a value a bin, the oldest first, and the newest rate.
   *
   * Tokens where its events told any, else lines; null where they told nothing.
   */
  of({ id, name, host, port }) {
    const keys = new Set([id, name, host ? `${host}:${port ?? 22}` : null]);
    const found = [...keys].map((key) => this.#bins.get(key)).filter((bins) => bins !== undefined);
    const now = Math.floor(serverNow() / BIN_S);
    for (const unit of ["tokens", "items"]) {
      const values = Array.from({ length: BINS }, (_, place) =>
        found.reduce((sum, bins) => sum + (bins.get(now - BINS + place)?.[unit] ?? 0), 0),
      );
      if (values.some((value) => value > 0)) {
        const newest = values.slice(-OVER_BINS).reduce((sum, value) => sum + value, 0);
        return { values, rate: newest / (OVER_BINS * BIN_S), unit };
      }
    }
    return null;
  }

  #count(key, bin, unit, amount) {
    if (!key || amount === 0) return;
    let bins = this.#bins.get(key);
    if (bins === undefined) {
      if (this.#bins.size >= WORKERS) this.#bins.delete(this.#bins.keys().next().value);
      this.#bins.set(key, (bins = new Map()));
    }
    const counted = bins.get(bin) ?? { tokens: 0, items: 0 };
    counted[unit] += amount;
    bins.set(bin, counted);
    if (bins.size > 2 * BINS) for (const old of bins.keys()) if (old < bin - BINS) bins.delete(old);
  }
}

function keyOf(info) {
  return info.name || (info.host ? `${info.host}:${info.port || 22}` : null);
}
