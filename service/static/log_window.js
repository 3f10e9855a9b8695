// The stretch of the log that is looked at, bounded: what comes in at one end goes out at the other.
import { CHARACTERS, ENTRIES } from "./event_ring.js";

/** `entries` are in order; where some are missing between two of them, a marker stands there. */
export class LogWindow {
  entries = [];
  #size = 0;

  /** How many more fit before some go out at the other end. */
  get room() {
    return this.#size >= CHARACTERS ? 0 : ENTRIES - this.entries.length;
  }

  /** The first event's seq, null without one. */
  get firstSeq() {
    return this.entries.find(({ seq }) => seq !== undefined)?.seq ?? null;
  }

  /** The last event's seq, null without one. */
  get lastSeq() {
    return this.entries.findLast(({ seq }) => seq !== undefined)?.seq ?? null;
  }

  /** Returns those that went out at the front. */
  append(entries) {
    for (const entry of entries) this.#take(entry);
    this.entries.push(...entries);
    let surplus = 0;
    for (let size = this.#size; surplus < this.entries.length - 1 && this.#over(surplus, size); surplus += 1) size -= this.entries[surplus].size;
    return this.#dropped(this.entries.splice(0, surplus));
  }

  /** Returns those that went out at the end. */
  prepend(entries) {
    for (const entry of entries) this.#take(entry);
    this.entries = [...entries, ...this.entries];
    let surplus = 0;
    for (let size = this.#size; surplus < this.entries.length - 1 && this.#over(surplus, size); surplus += 1) size -= this.entries.at(-1 - surplus).size;
    return this.#dropped(surplus > 0 ? this.entries.splice(-surplus) : []);
  }

  replace(entries) {
    this.entries = [];
    this.#size = 0;
    this.append(entries);
  }

  #take(entry) {
    this.#size += entry.size;
  }

  #over(surplus, size) {
    return this.entries.length - surplus > ENTRIES || size > CHARACTERS;
  }

  #dropped(entries) {
    for (const entry of entries) this.#size -= entry.size;
    return entries;
  }
}
