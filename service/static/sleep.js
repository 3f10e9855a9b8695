// Notices that the page stood still: frozen by the browser, or its whole computer asleep.

const LATE_MS = 20000; // a one-second tick that comes this late was not merely busy
const HIDDEN_LATE_MS = 150000; // browsers let the timers of a hidden page run once a minute
const FROZEN_MS = 5000; // where the browser itself said that it freezes the page, less is believed

export class Sleep {
  #wall = Date.now();
  #steady = performance.now();
  #hidden = document.hidden;
  #frozenAt = null;

  constructor() {
    document.addEventListener("freeze", () => {
      this.#frozenAt ??= Date.now();
    });
  }

  /** To be called every second: {from, to}, as Date.now(), of a sleep that ended since the last call, or null. */
  look() {
    const [wall, steady] = [Date.now(), performance.now()];
    // The steady clock stands still in a sleeping laptop; the wall clock may have been set, but goes on.
    const late = Math.max(wall - this.#wall, steady - this.#steady);
    const least = this.#frozenAt !== null ? FROZEN_MS : this.#hidden || document.hidden ? HIDDEN_LATE_MS : LATE_MS;
    const from = this.#frozenAt ?? wall - late;
    [this.#wall, this.#steady, this.#hidden, this.#frozenAt] = [wall, steady, document.hidden, null];
    return late > least ? { from, to: wall } : null;
  }
}
