// How long to wait before the next attempt: doubling, capped, jittered so that a hundred pages do not return at once.

const FIRST_MS = 500;
const CAP_MS = 15000;

export class Backoff {
  #failures = 0;

  /** Milliseconds to wait after one more failure, at least half of the full step. */
  next() {
    const step = Math.min(CAP_MS, FIRST_MS * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    return step / 2 + Math.random() * (step / 2);
  }

  reset() {
    this.#failures = 0;
  }
}
