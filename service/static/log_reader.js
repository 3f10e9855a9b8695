// Where the view stands in the log: at the live end, behind it, or far back; and how it gets what lies beyond.
//
// Later entries come from the ring of the newest where that reaches back to the view, else from the server; earlier
// ones from the server.
import { byId } from "./element.js";

const NEAR_PX = 400; // so near the first or last line, those beyond are fetched
const PAGE = 500;

export class LogReader {
  #ring;
  #filter;
  #list;
  #view;
  #pages;
  #changed;
  #next = 0; // the ring's entry that comes right behind the view; null where others lie between
  #leftAt = 0; // how far the ring was when the view was left behind, or paused
  #pausedAt = null; // the last seq when it was paused; null while it is not
  #turn = 0;
  #reading = false;
  /** The first seq that the server may have, null while that is not known. */
  oldest = null;
  /** How many rows have come below what somebody reads. */
  behind = 0;
  /** What went wrong when lines were last fetched, "" where nothing did. */
  fault = "";

  /** `changed()` is called when something has come from the server. */
  constructor({ ring, filter, list, view, pages, changed }) {
    this.#ring = ring;
    this.#filter = filter;
    this.#list = list;
    this.#view = view;
    this.#pages = pages;
    this.#changed = changed;
    byId("log-lines").addEventListener("wheel", ({ deltaY }) => deltaY < 0 && list.room.above === 0 && this.read(true), { passive: true });
  }

  get paused() {
    return this.#pausedAt !== null;
  }

  /** Whether lines lie between the view and the newest that are here. */
  get elsewhere() {
    return this.#next === null;
  }

  /** How many entries have come that the view has not. */
  get waiting() {
    return this.#ring.end - (this.elsewhere || this.paused ? this.#leftAt : this.#next);
  }

  /** Whether the server may have lines before the first one here. */
  get more() {
    return this.#view.firstSeq !== null && !(this.#view.firstSeq <= this.oldest);
  }

  /** To the newest lines, from wherever. */
  async live() {
    this.#pausedAt = null;
    this.#next = this.#ring.end;
    const made = this.#look(this.#ring.slice());
    this.#list.follows = true;
    this.#list.toEnd();
    await made;
  }

  /** To this stretch of the log; returns whether nobody has gone elsewhere before its rows were made. */
  async go(entries) {
    // Whoever was at the end has been shown all that is here, though it may not be drawn yet.
    if (this.#next !== null) this.#leftAt = this.#list.atEnd ? this.#ring.end : this.#next;
    this.#pausedAt = null;
    this.#next = null;
    this.#filter.judge(entries);
    const turn = this.#turn + 1;
    const made = this.#look(entries);
    this.#join();
    await made;
    return turn === this.#turn;
  }

  /** A pause keeps what is here, however much comes meanwhile. */
  pause() {
    this.take();
    if (this.#next !== null) this.#leftAt = this.#next;
    this.#pausedAt = this.#view.lastSeq ?? 0;
    this.#settle();
  }

  async resume() {
    this.#pausedAt = null;
    this.#join();
    if (this.elsewhere && this.#list.room.below < NEAR_PX) await this.live();
    else this.take();
  }

  /** Take what the ring has next; beyond what the view keeps it waits, unless the end is followed. */
  take() {
    if (this.paused || this.elsewhere) return;
    if (this.#next >= this.#ring.first) this.#takeNext(this.#list.atEnd ? Infinity : this.#view.room);
    else if (this.#list.atEnd) this.live();
    else this.#join();
  }

  /** The filter has decided more. */
  judged() {
    this.#count(this.#view.judged());
  }

  /** Somebody went elsewhere in the list: near an end of it, fetch what lies beyond. */
  moved() {
    if (this.#list.atEnd) this.behind = 0;
    const { above, below } = this.#list.room;
    if (!this.#list.atEnd && below < NEAR_PX) this.read(false);
    else if (above < NEAR_PX) this.read(true);
  }

  /** More of the log, before or after the view; whoever reads keeps the place. */
  async read(earlier) {
    if (this.#reading || this.#view.lastSeq === null) return;
    this.#reading = true;
    this.fault = "";
    try {
      if (earlier) await this.#readEarlier(this.#turn);
      else await this.#readLater(this.#turn);
    } catch (error) {
      this.fault = `Could not be read: ${error.message}`;
    }
    this.#reading = false;
    this.#changed();
  }

  async #readEarlier(turn) {
    const { firstSeq, lastSeq } = this.#view;
    if (!this.more) return;
    const found = await this.#pages.before(firstSeq, PAGE);
    if (turn !== this.#turn || firstSeq !== this.#view.firstSeq) return;
    if (found.length === 0) {
      this.oldest = firstSeq;
      return;
    }
    this.#list.hold();
    this.#filter.judge(found);
    const made = this.#view.prepend(found);
    if (this.#view.lastSeq !== lastSeq) this.#join();
    await made;
  }

  async #readLater(turn) {
    const { lastSeq } = this.#view;
    if (this.paused ? lastSeq >= this.#pausedAt : this.#next >= this.#ring.first && !this.elsewhere) {
      if (!this.paused) this.#takeNext(PAGE);
      return;
    }
    const found = await this.#pages.after(lastSeq, PAGE);
    if (turn !== this.#turn || lastSeq !== this.#view.lastSeq) return;
    const entries = found.filter(({ seq }) => !this.paused || seq <= this.#pausedAt);
    this.#filter.judge(entries);
    this.#view.append(entries);
    this.#join(found.length < PAGE);
  }

  #look(entries) {
    this.#turn += 1;
    this.behind = 0;
    return this.#view.replace(entries);
  }

  /** Find where the ring goes on behind the view; `all`: the server has no more between. */
  #join(all = false) {
    if (this.paused) return;
    const last = this.#view.lastSeq ?? 0;
    const first = this.#ring.firstSeq;
    const reaches = all || (first !== null && first <= last + 1);
    if (!reaches && this.#next !== null) this.#leftAt = this.#next;
    this.#next = reaches ? this.#ring.behind(last) : null;
    this.#settle();
  }

  #takeNext(most) {
    const last = this.#view.lastSeq ?? 0;
    const until = Math.min(this.#ring.end, this.#next + most);
    const entries = this.#ring.slice(this.#next, until).filter(({ seq }) => !(seq <= last));
    this.#next = until;
    this.#count(this.#view.append(entries));
    this.#settle();
  }

  /** Being at the last line means following only where nothing lies between it and what comes. */
  #settle() {
    this.#list.follows = !this.paused && this.#next === this.#ring.end;
  }

  #count(rows) {
    this.behind = this.#list.atEnd ? 0 : this.behind + rows;
  }
}
