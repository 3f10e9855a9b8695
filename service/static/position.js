// Where the page stands in the log: what it has had, and from where it goes on after a cut.

const BACKLOG = 200; // events to begin with where there is no position yet

export class Position {
  #log = null; // the id of the log that the seqs belong to
  #seq = null; // of the newest event had; null before the first
  #nothingUpTo = 0; // up to here the server has nothing for us

  /** The seq up to which nothing more is to come. */
  get seen() {
    return Math.max(this.#seq ?? 0, this.#nothingUpTo);
  }

  /** Said before each connection: the log there is now, and its newest seq. */
  found(log, newest) {
    if (this.#seq !== null || this.#nothingUpTo > 0) return; // of another log? the server says so, with a reset
    this.#log = log;
    // An empty log has a position too: what comes before the next attempt is then not cut to the newest few.
    if (newest === 0) this.#seq = 0;
  }

  isOf(log) {
    return this.#log === log;
  }

  /** True where this event has not been had before. */
  take(seq) {
    if (this.#seq !== null && seq <= this.#seq) return false;
    this.#seq = seq;
    return true;
  }

  /** What retention has removed before `next` is told once and not asked for again. */
  skipTo(next) {
    this.#nothingUpTo = Math.max(this.#nothingUpTo, next - 1);
    if (this.#seq !== null && next > this.#seq) this.#seq = next - 1;
  }

  /** A connection that stays quiet has nothing for us up to there. */
  nothingUpTo(seq) {
    this.#nothingUpTo = Math.max(this.#nothingUpTo, seq);
  }

  /** Another log: from its beginning, or from its newest few where that is too far. */
  reset(log, { fromStart }) {
    this.#log = log;
    this.#nothingUpTo = 0;
    this.#seq = fromStart ? 0 : null;
  }

  /** The parameter of /ws that goes on from here. */
  get query() {
    if (this.#seq !== null) return ["after", `${this.#seq}@${this.#log}`];
    // Once that much is known, the newest few would not do: what comes during an outage may be more.
    if (this.#nothingUpTo > 0) return ["after", `${this.#nothingUpTo}@${this.#log}`];
    return ["last", BACKLOG];
  }
}
