// How high the log's rows are: measured where a row has been in the page, else the mean of those measured.

const FIRST_GUESS_PX = 23; // one line of text

/** Rows are addressed by their place in the list; all sizes are CSS pixels. */
export class RowHeights {
  #px = []; // 0: not measured
  #sum = 0;
  #measured = 0;

  get length() {
    return this.#px.length;
  }

  at(index) {
    return this.#px[index] || this.#guess;
  }

  /** Whether it has been measured. */
  known(index) {
    return this.#px[index] !== 0;
  }

  set(index, px) {
    this.#forget(index, index + 1);
    if (px <= 0) return;
    this.#px[index] = px;
    this.#sum += px;
    this.#measured += 1;
  }

  append(count) {
    for (let added = 0; added < count; added += 1) this.#px.push(0);
  }

  prepend(count) {
    this.#px = [...new Array(count).fill(0), ...this.#px];
  }

  dropFirst(count) {
    this.#forget(0, count);
    this.#px.splice(0, count);
  }

  dropLast(count) {
    this.#forget(this.length - count, this.length);
    this.#px.length -= count;
  }

  /** `count` rows of which none is measured; the old mean is the guess until the first of them is. */
  reset(count) {
    this.#sum = this.#guess;
    this.#measured = 1;
    this.#px = new Array(count).fill(0);
  }

  /** The height of all rows before this one. */
  top(index) {
    let px = 0;
    for (let row = 0; row < index; row += 1) px += this.at(row);
    return px;
  }

  /** The height of this row and all behind it. */
  from(index) {
    let px = 0;
    for (let row = index; row < this.length; row += 1) px += this.at(row);
    return px;
  }

  /** {index, top} of the row at a distance from the first one's top; the last one beyond the end. */
  find(distance) {
    let top = 0;
    let index = 0;
    while (index < this.length - 1 && top + this.at(index) <= distance) top += this.at(index++);
    return { index, top };
  }

  get #guess() {
    return this.#measured > 0 ? this.#sum / this.#measured : FIRST_GUESS_PX;
  }

  #forget(from, to) {
    for (let index = from; index < to; index += 1) {
      if (this.#px[index] === 0) continue;
      this.#sum -= this.#px[index];
      this.#measured -= 1;
      this.#px[index] = 0;
    }
  }
}
