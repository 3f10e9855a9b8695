// The server's log where the page's own memory ends: entries before and after a place, the place of a time.
import { read } from "./api.js";
import { entryOf } from "./log_entry.js";
import { exact } from "./units.js";

const PAGE = 1000; // the most that one answer holds
const REACH = 4; // how much further back to look where the log turned out to be sparse

export class LogPages {
  #path;
  #only;

  /** `only` is the session the page is narrowed to, or null. All methods throw ReadError. */
  constructor({ only }) {
    this.#only = only;
    this.#path = only === null ? "/events" : `/sessions/${encodeURIComponent(only)}/events`;
  }

  /** At most `count` entries with a greater seq, ascending; each knows how many were removed just before it. */
  async after(seq, count) {
    const found = [];
    for (let from = seq; from !== null && found.length < count; ) {
      const { body } = await read(this.#path, { after: from, limit: Math.min(PAGE, count - found.length) });
      found.push(...body.events.map((event) => entryOf(event)));
      from = body.next_after;
    }
    found.forEach((entry, index) => (entry.removedBefore = this.#removed(index > 0 ? found[index - 1].seq : seq, entry.seq)));
    return found;
  }

  /** At most `count` entries with a smaller seq, the newest of them, ascending; each knows how many were removed behind it. */
  async before(seq, count) {
    for (let reach = count; ; reach *= REACH) {
      const start = Math.max(0, seq - 1 - reach);
      const found = await this.#between(start, seq, count);
      if (found.length < count && start > 0) continue;
      found.forEach((entry, index) => (entry.removedAfter = this.#removed(entry.seq, found[index + 1]?.seq ?? seq)));
      return found;
    }
  }

  /** The seq of the first event that came at or after a time (Unix seconds), null where there is none yet. */
  async at(time) {
    let low = 0;
    let high = await this.newest();
    let found = null;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const [entry] = await this.after(middle, 1);
      if (entry !== undefined && entry.event.received_at < time) {
        low = entry.seq;
      } else {
        found = entry ?? found;
        high = middle;
      }
    }
    return found?.seq ?? null;
  }

  /**
   * {before, after, missing}: entries around a seq, at most `count` on each side, and why it is not among them.
   *
   * `missing` is a sentence, null where the event is there.
   */
  async around(seq, count) {
    const [before, after] = await Promise.all([this.before(seq, count), this.after(seq - 1, count)]);
    return { before, after, missing: after[0]?.seq === seq ? null : await this.#whyMissing(seq) };
  }

  /** The first seq that there can be: of the log, or of the session. */
  async oldest() {
    const { body } = await this.#summary();
    return this.#only === null ? body.event_log.first_seq : body.first_seq;
  }

  /** The newest seq that the log has given, for this session or at all. */
  async newest() {
    const { body } = await this.#summary();
    return this.#only === null ? body.event_log.last_seq : body.last_seq;
  }

  /** How many events have lain between two that follow each other; a session's own numbers have holes anyway. */
  #removed(seq, next) {
    return this.#only === null ? next - seq - 1 : 0;
  }

  #summary() {
    return read(this.#only === null ? "/status" : `/sessions/${encodeURIComponent(this.#only)}`);
  }

  async #whyMissing(seq) {
    const newest = await this.newest();
    if (seq > newest) return `There is no event ${exact(seq)} yet; the newest is ${exact(newest)}.`;
    if (this.#only !== null) return `Event ${exact(seq)} is not here: it belongs to another session, or retention has removed it.`;
    return `Event ${exact(seq)} is no longer kept: retention has removed it. These are the events around it.`;
  }

  async #between(start, end, count) {
    let found = [];
    for (let from = start; from !== null; ) {
      const { body } = await read(this.#path, { after: from, limit: PAGE });
      const before = body.events.filter((event) => event.seq < end);
      found = [...found, ...before.map((event) => entryOf(event))].slice(-count);
      from = before.length < body.events.length ? null : body.next_after;
    }
    return found;
  }
}
