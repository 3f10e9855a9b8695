// A regular expression that cannot freeze the page: it runs in a worker, which is ended if it does not come back.
//
// A pattern such as (a+)+$ takes longer than anybody lives on a short line, and a script cannot interrupt one.

const FLAGS = "im"; // ^ and $ are where the message begins and ends, and so for the other texts of an event
const WITHIN_MS = 1000; // for one batch; an honest pattern takes a few milliseconds
const BATCH = 500;
const BATCH_CHARACTERS = 500_000;

export class Pattern {
  #worker = null;
  #waiting = [];
  #asked = [];
  #timer = null;
  #verdicts = new WeakMap();
  #changed;
  /** Why it is not in use, "" while all is well. */
  fault = "";

  /** Throws SyntaxError. `changed()` is called after new verdicts and after a fault. */
  constructor(source, changed) {
    new RegExp(source, FLAGS);
    this.#changed = changed;
    this.#worker = new Worker(new URL("pattern_worker.js", import.meta.url));
    this.#worker.postMessage({ source, flags: FLAGS });
    this.#worker.onmessage = ({ data }) => this.#take(data);
    this.#worker.onerror = () => this.#fail("The pattern could not be run.");
  }

  /** True or false, undefined while it is not known: `ask` then. */
  verdict(entry) {
    return this.#verdicts.get(entry);
  }

  /** Have these judged, [[entry, text], …], in this order. */
  ask(lines) {
    for (const line of lines) this.#waiting.push(line);
    this.#send();
  }

  close() {
    clearTimeout(this.#timer);
    this.#worker?.terminate();
    this.#worker = null;
    this.#waiting = [];
    this.#asked = [];
  }

  #send() {
    if (this.#worker === null || this.#asked.length > 0 || this.#waiting.length === 0) return;
    let count = 0;
    for (let size = 0; count < Math.min(BATCH, this.#waiting.length) && size < BATCH_CHARACTERS; count += 1) size += this.#waiting[count][1].length;
    this.#asked = this.#waiting.splice(0, count);
    this.#worker.postMessage({ texts: this.#asked.map(([, text]) => text) });
  }

  /** The worker says "begun" first: how long it took to start is not the pattern's fault. */
  #take(data) {
    clearTimeout(this.#timer);
    if (data === "begun") {
      this.#timer = setTimeout(() => this.#fail("This pattern takes too long on these lines. Make it simpler."), WITHIN_MS);
      return;
    }
    data.forEach((passes, place) => this.#verdicts.set(this.#asked[place][0], passes));
    this.#asked = [];
    this.#send();
    this.#changed();
  }

  #fail(fault) {
    this.close();
    this.fault = fault;
    this.#changed();
  }
}
