// Work that follows the events without following their number: at most once in `everyMs`, and once after the last.

export class Pulse {
  #work;
  #everyMs;
  #timer = null;
  #running = false;
  #again = false;
  #startedAt = -Infinity;

  /** `work` is async and handles its own errors; it never runs twice at a time. */
  constructor(work, everyMs) {
    this.#work = work;
    this.#everyMs = everyMs;
  }

  /** Something changed: a run that starts after this moment will follow. */
  nudge() {
    if (this.#running) {
      this.#again = true;
    } else if (this.#timer === null) {
      const wait = Math.max(0, this.#startedAt + this.#everyMs - performance.now());
      this.#timer = setTimeout(() => this.#run(), wait);
    }
  }

  async #run() {
    this.#timer = null;
    this.#running = true;
    this.#again = false;
    this.#startedAt = performance.now();
    try {
      await this.#work();
    } finally {
      this.#running = false;
      if (this.#again) this.nudge();
    }
  }
}
