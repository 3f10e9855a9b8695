// The lines of the log in the page: of thousands of rows only those in sight and a margin have nodes, and whoever
// reads keeps the place whatever comes and goes above and below.
//
// Lines wrap, so each row has a height of its own, known once it has been in the page. The place is therefore never a
// number of pixels but a row and where its top is; after every change that row is put back there.
import { byId } from "./element.js";
import { LogNodes } from "./log_nodes.js";
import { RowHeights } from "./row_heights.js";

const MARGIN_PX = 600; // rows ready beyond what is in sight: a turn of the wheel or Page Up finds them there
const AT_END_PX = 24;
const TRIES = 5; // rows lower than guessed leave room for more

export class LogList {
  /** What may be shown, top to bottom: changed through the methods below, and drawn by `draw`. */
  rows = [];
  #frame = byId("log-lines");
  #nodes;
  #heights = new RowHeights();
  #anchor = null; // {row, index, offset}: a row in sight and its top below the frame's; null at the end
  #follows = true;
  #atEnd = true;
  #scrolledTo = 0;
  #byHand = false;
  #width = 0;
  #numbered = 0;
  #moved;

  /** `linkTo(seq)` is the address of an event; `moved()` is called when somebody has gone elsewhere in the list. */
  constructor({ linkTo, moved }) {
    this.#moved = moved;
    this.#nodes = new LogNodes(this.#frame, { linkTo, toggled: (row, whole) => this.#toggle(row, whole) });
    this.#frame.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // Whoever has gone to a line by keyboard reads it: it stays, however much comes.
    this.#frame.addEventListener("focusin", ({ target }) => target.matches(".line :focus-visible") && this.hold());
    this.#frame.addEventListener("focusout", ({ relatedTarget }) => this.#frame.contains(relatedTarget) || this.#release());
    new ResizeObserver(() => this.#resized()).observe(this.#frame);
  }

  /** Whether the newest row is kept in sight as rows come. */
  get atEnd() {
    return this.#atEnd;
  }

  /** Whether to be at the last row means to follow those to come: not where others lie between. */
  set follows(follows) {
    if (follows === this.#follows) return;
    this.#follows = follows;
    if (!follows) this.#stay();
    else if (this.room.below < AT_END_PX) this.#leave();
  }

  /** {above, below}: how far one could scroll, in CSS pixels. */
  get room() {
    const { scrollTop, scrollHeight, clientHeight } = this.#frame;
    return { above: scrollTop, below: scrollHeight - scrollTop - clientHeight };
  }

  /** Other rows; the place is kept at the same row or, where that is gone, at the one that came after it. */
  replace(rows) {
    this.rows = rows;
    this.#heights.reset(rows.length);
    this.#numbered = 0;
    if (this.#anchor === null) return;
    const { row, offset } = this.#anchor;
    let index = rows.indexOf(row);
    if (index < 0) index = rows.findIndex(({ seq }) => seq > row.seq);
    if (index < 0) index = rows.length - 1;
    this.#anchor = index < 0 ? null : { row: rows[index], index, offset };
  }

  append(rows) {
    for (const row of rows) this.rows.push(row);
    this.#heights.append(rows.length);
  }

  prepend(rows) {
    this.rows = [...rows, ...this.rows];
    this.#heights.prepend(rows.length);
    this.#numbered = Math.max(0, this.#numbered - rows.length);
    this.#shift(rows.length);
  }

  dropFirst(count) {
    this.rows.splice(0, count);
    this.#heights.dropFirst(count);
    this.#numbered += count;
    this.#shift(-count);
  }

  dropLast(count) {
    this.rows.length -= count;
    this.#heights.dropLast(count);
    this.#shift(0);
  }

  /** To the last row and, where the list `follows`, on with those to come. */
  toEnd() {
    this.#leave();
    this.draw();
    if (!this.#follows) this.#stay();
  }

  /** To this row, in the middle of what is in sight; it is marked as the one asked for and takes the focus. */
  show(row) {
    this.#nodes.ask(row);
    const index = this.rows.indexOf(row);
    if (index < 0) return;
    this.#atEnd = false;
    this.#anchor = { row, index, offset: Math.max(0, this.#frame.clientHeight / 2 - this.#heights.at(index)) };
    this.#scrolledTo = this.#frame.scrollTop;
    this.draw();
    this.#nodes.focus(row);
  }

  /** No row is the one asked for. */
  unmark() {
    this.#nodes.ask(null);
  }

  /** Stay at what is in sight although more comes. */
  hold() {
    if (!this.#atEnd) return;
    this.#stay();
    this.#moved();
  }

  /** Bring the page up to date with the rows. */
  draw() {
    if (this.#frame.clientHeight === 0) return; // hidden: drawn when it has a size again
    this.#noteScroll();
    if (!this.#atEnd && this.#anchor === null) this.#stayAt(this.rows.length - 1);
    let range = this.#range();
    for (let tries = 0; this.#place(range) && tries < TRIES; tries += 1) range = this.#range();
    this.#nodes.pad(this.#heights.top(range.from), this.#heights.from(range.to));
    if (this.#anchor === null) this.#frame.scrollTop = this.#frame.scrollHeight;
    else this.#putBack();
    this.#scrolledTo = this.#frame.scrollTop;
    this.#nodes.rove(this.#anchor?.row);
  }

  #putBack() {
    const { row, offset } = this.#anchor;
    const off = this.#nodes.topOf(row) - offset;
    if (Math.abs(off) < 0.5) return;
    this.#frame.scrollTop += off;
    this.#anchor.offset = this.#nodes.topOf(row); // there may not have been enough above or below
  }

  /** {from, to} of the rows that need nodes. */
  #range() {
    const height = this.#frame.clientHeight;
    const count = this.rows.length;
    let from = this.#anchor?.index ?? count;
    let to = from;
    let top = this.#anchor?.offset ?? height;
    let bottom = top;
    while (to < count && bottom < height + MARGIN_PX) bottom += this.#heights.at(to++);
    const spare = Math.max(0, height - bottom);
    while (from > 0 && top > -MARGIN_PX - spare) top -= this.#heights.at(--from);
    return { from, to };
  }

  /** Give these rows nodes; returns whether heights became known. */
  #place({ from, to }) {
    this.#nodes.place(this.rows.slice(from, to), this.#numbered + from + 1);
    let measured = false;
    for (let index = from; index < to; index += 1) {
      if (this.#heights.known(index)) continue;
      this.#heights.set(index, this.#nodes.heightOf(this.rows[index]));
      measured = true;
    }
    return measured;
  }

  #shift(by) {
    if (this.#anchor === null) return;
    this.#anchor.index += by;
    if (this.#anchor.index < 0 || this.#anchor.index >= this.rows.length) this.#stayAt(Math.min(Math.max(0, this.#anchor.index), this.rows.length - 1));
  }

  #leave() {
    this.#atEnd = true;
    this.#anchor = null;
  }

  #stay() {
    this.#atEnd = false;
    this.#anchor = this.#inSight();
  }

  /** At this row, at the end of what is in sight. */
  #stayAt(index) {
    this.#anchor = index < 0 ? null : { row: this.rows[index], index, offset: this.#frame.clientHeight - this.#heights.at(index) };
  }

  #release() {
    if (this.#atEnd || !this.#follows || this.room.below >= AT_END_PX) return;
    this.#leave();
    this.#moved();
  }

  /** The first row in sight as an anchor, null without rows. */
  #inSight() {
    for (const { row, top } of this.#nodes.inSight) {
      const index = this.rows.indexOf(row);
      if (index >= 0) return { row, index, offset: top };
    }
    if (this.rows.length === 0) return null;
    const { top } = this.#nodes;
    const found = this.#heights.find(-top);
    return { row: this.rows[found.index], index: found.index, offset: found.top + top };
  }

  /** Scrolled by somebody: who goes up, however little, wants to read and not to be taken back. */
  #noteScroll() {
    const { scrollTop } = this.#frame;
    if (Math.abs(scrollTop - this.#scrolledTo) < 1) return;
    const near = scrollTop < this.#scrolledTo ? 2 : AT_END_PX;
    this.#scrolledTo = scrollTop;
    this.#byHand = true;
    if (this.#follows && this.room.below < near) this.#leave();
    else this.#stay();
  }

  #scrolled() {
    this.#noteScroll();
    if (!this.#byHand) return;
    this.#byHand = false;
    this.draw();
    this.#moved();
  }

  #resized() {
    this.#scrolledTo = this.#frame.scrollTop; // the browser's doing, nobody's
    const { clientWidth, clientHeight } = this.#frame;
    if (this.#anchor !== null) this.#anchor.offset = Math.min(this.#anchor.offset, clientHeight - 2 * AT_END_PX);
    if (clientWidth !== this.#width) this.#heights.reset(this.rows.length);
    this.#width = clientWidth;
    this.draw();
  }

  #toggle(row, whole) {
    if (whole) this.hold();
    this.#nodes.open(row, whole);
    this.#heights.set(this.rows.indexOf(row), this.#nodes.heightOf(row));
    if (!whole) this.#release();
    this.draw();
  }
}
