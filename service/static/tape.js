// A session's events as the server keeps them, read in pages and folded: what it was at any of them can be asked.
// What stays here is bounded: of most pages only where they begin and the state before them; events are read again.
import { read, ReadError } from "./api.js";
import { copyOf, fold } from "./fold.js";
import { eventTime } from "./log_entry.js";

const PAGE = 1000; // what the server answers at most
const PAGES = 300; // about 1 MB of states; older pages are let go, and the tape says so
const CACHED = 8;

export class Tape {
  #id;
  #pages = [];
  #cache = new Map();
  #state = null;
  #time = -Infinity;
  #after = 0;
  #listener;
  /** Places where events may be missing: {index} of the first event behind each, the time before it, or null. */
  gaps = [];
  /** How many events have been read; indices run from `first` to below `count`. */
  count = 0;

  /** `listener` has event(index, event, time, attempt before, state after), called once an event and in order. */
  constructor(id, listener) {
    this.#id = id;
    this.#listener = listener;
  }

  get first() {
    return this.#pages[0]?.first ?? 0;
  }

  /** The state after the last event read; null before the first. */
  get end() {
    return this.#state;
  }

  /** Read on to the newest event; `each` is called after every page. Throws ReadError. */
  async extend(each = () => {}) {
    for (;;) {
      const after = this.#after;
      const [page, kept, summary] = await Promise.all([
        this.#read(after, PAGE),
        after > 0 ? this.#read(0, 1) : null,
        after === 0 ? this.#summary() : null,
      ]);
      if (page.events.length === 0) return;
      const [next] = page.events;
      if (after === 0 && summary !== null && summary.first_seq < next.seq) this.#noteGap(summary);
      // Retention overtook the reading where the oldest event kept lies behind the last one read.
      if (kept?.events.length > 0 && kept.events[0].seq > after && kept.events[0].seq >= next.seq) this.#noteGap(null);
      this.#append(page.events);
      each();
      if (page.next_after === null) return;
    }
  }

  /**
   * {state, event, time} at an index: the state once that event has been folded in.
   *
   * Returns null where the server no longer keeps the events. Throws ReadError.
   */
  async at(index) {
    const page = this.#pages[lastWhere(this.#pages, (candidate) => candidate.first <= index)];
    if (page === undefined) return null;
    const events = await this.#eventsOf(page);
    if (events === null) return null;
    let state = page.before === null ? null : copyOf(page.before);
    for (let place = 0; place <= index - page.first; place += 1) state = this.#fold(state, events[place], page.first + place);
    return { state, event: events[index - page.first], time: page.times[index - page.first] };
  }

  /** The newest index whose event had happened at a time, `first` where none had. */
  indexAt(time) {
    const page = this.#pages[Math.max(0, lastWhere(this.#pages, ({ times }) => times[0] <= time))];
    if (page === undefined) return 0;
    return page.first + Math.max(0, lastWhere(page.times, (at) => at <= time));
  }

  /** When the event at an index happened; never earlier than the one before it. */
  timeOf(index) {
    const page = this.#pages[lastWhere(this.#pages, (candidate) => candidate.first <= index)];
    return page?.times[index - page.first] ?? null;
  }

  #append(events) {
    let page = this.#pages.at(-1);
    const cached = page === undefined ? undefined : this.#cache.get(page);
    if (page === undefined || cached === undefined || page.times.length + events.length > PAGE) {
      page = { first: this.count, after: this.#after, last: 0, before: this.#state === null ? null : copyOf(this.#state), times: [] };
      this.#pages.push(page);
      this.#keep(page, events);
      if (this.#pages.length > PAGES) this.#pages.shift();
    } else {
      cached.push(...events);
    }
    for (const event of events) {
      const before = this.#state?.attempt ?? null;
      this.#time = Math.max(this.#time, eventTime(event));
      page.times.push(this.#time);
      this.#state = this.#fold(this.#state, event, this.count);
      if (this.#state !== null) this.#listener.event(this.count, event, this.#time, before, this.#state);
      this.count += 1;
      this.#after = event.seq;
      page.last = event.seq;
    }
  }

  /** A state that began, or went on, behind a gap does not know what its attempt had counted before. */
  #fold(state, event, index) {
    const folded = fold(state, event);
    if (folded !== null && this.gaps.some((gap) => gap.index === index)) folded.unsure = folded.attempt.number;
    return folded;
  }

  #noteGap(summary) {
    this.gaps.push({ index: this.count, since: summary === null ? this.#time : summary.started_at, summary });
  }

  async #eventsOf(page) {
    const known = this.#cache.get(page);
    if (known !== undefined) {
      this.#keep(page, known);
      return known;
    }
    const events = [];
    for (let after = page.after; after < page.last; after = events.at(-1).seq) {
      const found = (await this.#read(after, PAGE)).events.filter(({ seq }) => seq <= page.last);
      if (found.length === 0) break;
      events.push(...found);
    }
    if (events.length !== page.times.length) return null;
    this.#keep(page, events);
    return events;
  }

  #keep(page, events) {
    this.#cache.delete(page);
    this.#cache.set(page, events);
    if (this.#cache.size > CACHED) this.#cache.delete(this.#cache.keys().next().value);
  }

  async #read(after, limit) {
    return (await this.#get("/events", { after, limit })) ?? { events: [], next_after: null };
  }

  #summary() {
    return this.#get("");
  }

  /** null for a session of which no event has come yet. */
  async #get(below, parameters = {}) {
    try {
      return (await read(`/sessions/${encodeURIComponent(this.#id)}${below}`, parameters)).body;
    } catch (error) {
      if (error instanceof ReadError && error.status === 404) return null;
      throw error;
    }
  }
}

/** The last place of which `holds` is true, -1 where of none; it holds up to some place and not behind. */
function lastWhere(list, holds) {
  let low = -1;
  let high = list.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (holds(list[middle])) low = middle;
    else high = middle;
  }
  return low;
}
