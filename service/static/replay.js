// A clock that runs through a session's past at a speed; it knows no events, only the time it has reached.

const TICK_MS = 100;

export class Replay {
  #timer = null;
  #at = 0;
  #end = 0;
  #tickedAt = 0;
  #show;
  speed = 1;

  /** `show` is called with the time reached (Unix seconds) and whether that is the end; it may be async. */
  constructor(show) {
    this.#show = show;
  }

  get running() {
    return this.#timer !== null;
  }

  start(from, end) {
    this.stop();
    this.#at = from;
    this.#end = end;
    this.#tickedAt = performance.now();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /** By the time that has really passed: a hidden page is called less often. */
  #tick() {
    const now = performance.now();
    this.#at = Math.min(this.#end, this.#at + ((now - this.#tickedAt) / 1000) * this.speed);
    this.#tickedAt = now;
    const over = this.#at >= this.#end;
    if (over) this.stop();
    this.#show(this.#at, over);
  }
}
