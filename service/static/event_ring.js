// The newest events this page keeps, bounded in number and in size however long it stays open.

export const ENTRIES = 5000;
export const CHARACTERS = 8_000_000;
const COMPACT_AT = 1024; // dropped places are given back in blocks: shifting an array costs its length

/** Entries are addressed by how many were pushed before them: `first` ≤ index < `end`. */
export class EventRing {
  #entries = [];
  #gone = 0;
  #base = 0;
  #size = 0;

  get first() {
    return this.#base + this.#gone;
  }

  get end() {
    return this.#base + this.#entries.length;
  }

  /** `entry.size` is its length in characters. */
  push(entry) {
    this.#entries.push(entry);
    this.#size += entry.size;
    while (this.end - this.first > ENTRIES || (this.#size > CHARACTERS && this.end - this.first > 1)) {
      this.#size -= this.#entries[this.#gone].size;
      this.#entries[this.#gone] = undefined;
      this.#gone += 1;
    }
    if (this.#gone >= COMPACT_AT) {
      this.#entries.splice(0, this.#gone);
      this.#base += this.#gone;
      this.#gone = 0;
    }
  }

  /** The entries with these indices, oldest first. */
  slice(from = this.first, to = this.end) {
    return this.#entries.slice(Math.max(from, this.first) - this.#base, to - this.#base);
  }

  /** The first event's seq, null without one. */
  get firstSeq() {
    for (let index = this.first; index < this.end; index += 1) if (this.at(index).seq !== undefined) return this.at(index).seq;
    return null;
  }

  /** The index behind the last event up to a seq. */
  behind(seq) {
    let index = this.end;
    while (index > this.first && !(this.at(index - 1).seq <= seq)) index -= 1;
    return index;
  }

  at(index) {
    return this.#entries[index - this.#base];
  }

  /** Forget all; indices go on from where they were. */
  clear() {
    this.#base = this.end;
    this.#entries = [];
    this.#gone = 0;
    this.#size = 0;
  }
}
