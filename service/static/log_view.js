// What is looked at: a stretch of the log through the filter, in the list.
import { LogWindow } from "./log_window.js";

export class LogView {
  #window = new LogWindow();
  #decided = 0; // how many entries of the window, from its first on, the filter has decided
  #waiting = null; // {entry, done}: rows are made anew once the filter has decided this one
  #filter;
  #list;

  constructor({ filter, list }) {
    this.#filter = filter;
    this.#list = list;
  }

  get entries() {
    return this.#window.entries;
  }

  /** How many more entries fit before some go out at the other end. */
  get room() {
    return this.#window.room;
  }

  get firstSeq() {
    return this.#window.firstSeq;
  }

  get lastSeq() {
    return this.#window.lastSeq;
  }

  /** The entries that the filter lets through. */
  get matching() {
    return this.entries.filter((entry) => this.#filter.decided(entry) && this.#filter.matches(entry));
  }

  /** Later entries; returns how many rows that made. */
  append(entries) {
    const dropped = this.#window.append(entries);
    this.#decided = Math.max(0, this.#decided - dropped.length);
    let gone = 0;
    for (const entry of dropped) if (entry === this.#list.rows[gone]) gone += 1;
    if (gone > 0) this.#list.dropFirst(gone);
    return this.#advance();
  }

  /** Earlier entries. */
  async prepend(entries) {
    const dropped = this.#window.prepend(entries);
    let gone = 0;
    for (const entry of dropped.reverse()) if (entry === this.#list.rows.at(-1 - gone)) gone += 1;
    if (gone > 0) this.#list.dropLast(gone);
    this.#decided = Math.min(this.#decided + entries.length, this.entries.length);
    if (this.#waiting === null && entries.every((entry) => this.#filter.decided(entry))) this.#list.prepend(entries.filter((entry) => this.#filter.matches(entry)));
    else await this.#remake(entries.at(-1));
  }

  /** Another stretch of the log; resolves when its rows are there. */
  async replace(entries) {
    this.#window.replace(entries);
    await this.refilter();
  }

  /** The filter is another one; what was shown stays until that has decided. */
  async refilter() {
    await this.#remake(this.entries.at(-1));
  }

  /** The filter has decided more, or has a fault now. */
  judged() {
    if (this.#waiting === null) return this.#advance();
    const { entry, done } = this.#waiting;
    if (!this.#filter.decided(entry)) return 0;
    this.#waiting = null;
    this.#rows();
    done();
    return 0;
  }

  /** Make the rows anew once the last entry asked about is decided: they are decided in the order asked. */
  #remake(entry) {
    const before = this.#waiting?.done;
    this.#waiting = null;
    if (entry === undefined || this.#filter.decided(entry)) {
      this.#rows();
      before?.();
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#waiting = { entry, done: () => [before, resolve].forEach((done) => done?.()) };
    });
  }

  #rows() {
    this.#decided = 0;
    while (this.#decided < this.entries.length && this.#filter.decided(this.entries[this.#decided])) this.#decided += 1;
    this.#list.replace(this.entries.slice(0, this.#decided).filter((entry) => this.#filter.matches(entry)));
  }

  #advance() {
    if (this.#waiting !== null) return 0;
    const rows = [];
    for (; this.#decided < this.entries.length; this.#decided += 1) {
      const entry = this.entries[this.#decided];
      if (!this.#filter.decided(entry)) break;
      if (this.#filter.matches(entry)) rows.push(entry);
    }
    if (rows.length > 0) this.#list.append(rows);
    return rows.length;
  }
}
