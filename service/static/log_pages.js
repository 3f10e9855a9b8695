// The server's log where the page's own memory ends: pages of events before and after a place, the place of a time.
import { read } from "./api.js";

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

  /** At most `count` events with a greater seq, ascending. */
  async after(seq, count) {
    const found = [];
    for (let from = seq; from !== null && found.length < count; ) {
      const { body } = await read(this.#path, { after: from, limit: Math.min(PAGE, count - found.length) });
      found.push(...body.events);
      from = body.next_after;
    }
    return found;
  }

  /** At most `count` events with a smaller seq, the newest of them, ascending. */
  async before(seq, count) {
    for (let reach = count; ; reach *= REACH) {
      const start = Math.max(0, seq - 1 - reach);
      const found = await this.#between(start, seq, count);
      if (found.length >= count || start === 0) return found;
    }
  }

  /** The seq of the first event that came at or after a time (Unix seconds), null where there is none yet. */
  async at(time) {
    let low = 0;
    let high = await this.newest();
    let found = null;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const [event] = await this.after(middle, 1);
      if (event !== undefined && event.received_at < time) {
        low = event.seq;
      } else {
        found = event ?? found;
        high = middle;
      }
    }
    return found?.seq ?? null;
  }

  /** The newest seq that the log has given, for this session or at all. */
  async newest() {
    const path = this.#only === null ? "/status" : `/sessions/${encodeURIComponent(this.#only)}`;
    const { body } = await read(path);
    return this.#only === null ? body.event_log.last_seq : body.last_seq;
  }

  async #between(start, end, count) {
    let found = [];
    for (let from = start; from !== null; ) {
      const { body } = await read(this.#path, { after: from, limit: PAGE });
      const before = body.events.filter((event) => event.seq < end);
      found = [...found, ...before].slice(-count);
      from = before.length < body.events.length ? null : body.next_after;
    }
    return found;
  }
}
