// What a screen reader hears of sessions and workers: what went wrong, and no more than a sentence in ten seconds.
import { byId, setText } from "./element.js";
import { statusLabel } from "./status.js";
import { short } from "./text.js";

const AT_MOST_EVERY_MS = 10000;
const NAMED = 3; // the rest is counted
const FAILED = ["failed", "lost", "timed_out"];
const BAD_WORKER = ["down", "wedged"];

export class Announcer {
  #place = byId("incidents");
  #bad = { sessions: null, workers: null }; // id → what is wrong with it; null before the first reading
  #waiting = [];
  #timer = null;

  /** The active and the newest ended sessions, as just read. */
  sessions({ active, ended }) {
    const bad = [...active.filter((one) => one.status === "stalled"), ...ended.filter((one) => FAILED.includes(one.status))];
    this.#compare("sessions", new Map(bad.map((one) => [`${one.session_id} ${one.attempt}`, `${statusLabel(one.status)}: ${short(one.session_id, 64)}`])));
  }

  /** The workers, as just read. */
  workers(known) {
    const bad = known.filter((one) => BAD_WORKER.includes(one.state));
    this.#compare("workers", new Map(bad.map((one) => [one.id, `Worker ${one.state}: ${short(one.name ?? one.id, 64)}`])));
  }

  /** What is wrong at the first reading is no news. */
  #compare(kind, bad) {
    const before = this.#bad[kind];
    this.#bad[kind] = bad;
    if (before === null) return;
    for (const [id, words] of bad) if (before.get(id) !== words) this.#waiting.push(words);
    if (this.#waiting.length > 0 && this.#timer === null) this.#say();
  }

  #say() {
    const more = this.#waiting.length - NAMED;
    const words = this.#waiting.slice(0, NAMED);
    if (more > 0) words.push(`and ${more} more`);
    this.#waiting = [];
    setText(this.#place, `${words.join(", ")}.`);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#waiting.length > 0) this.#say();
    }, AT_MOST_EVERY_MS);
  }
}
