// The nodes of those rows of the log that are in the page: made, opened, walked through by keyboard.
import { element, setAttribute } from "./element.js";
import { lineOf, toggleWhole } from "./log_line.js";

export class LogNodes {
  #frame;
  #list = element("div", { class: "log-rows", role: "list" });
  #nodes = new Map();
  #whole = new WeakSet();
  #asked = null;
  #stop = null;
  #linkTo;

  /** `linkTo(seq)` is the address of an event; `toggled(row, whole)` is called before a row is opened or closed. */
  constructor(frame, { linkTo, toggled }) {
    this.#frame = frame;
    this.#linkTo = linkTo;
    frame.append(this.#list);
    frame.addEventListener("keydown", (key) => this.#walk(key));
    this.#list.addEventListener("click", ({ target, pointerType }) => {
      const line = target.closest(".line");
      // A finger needs no small button: the whole line is one. A mouse may be marking text.
      const meant = target.closest(pointerType === "touch" ? ".line:not(.marker)" : ".seq, .more");
      if (meant !== null && target.closest(".who, .whole") === null) toggled(line.row, !this.#whole.has(line.row));
    });
  }

  /** Give these rows nodes and no others; the first one's number in the list is `number`. */
  place(rows, number) {
    const wanted = new Set(rows);
    for (const [row, node] of this.#nodes) if (!wanted.has(row)) this.#remove(row, node);
    let next = this.#list.firstElementChild;
    rows.forEach((row, index) => {
      let node = this.#nodes.get(row);
      if (node === undefined) this.#nodes.set(row, (node = this.#nodeOf(row)));
      if (node === next) next = next.nextElementSibling;
      else this.#list.insertBefore(node, next);
      setAttribute(node, "aria-posinset", number + index);
    });
  }

  /** The room of the rows without nodes above and below, in CSS pixels. */
  pad(above, below) {
    this.#list.style.paddingTop = `${above}px`;
    this.#list.style.paddingBottom = `${below}px`;
  }

  /** Where the first row is, or would be, in CSS pixels below the frame's top. */
  get top() {
    return this.#list.getBoundingClientRect().top - this.#frame.getBoundingClientRect().top;
  }

  topOf(row) {
    return this.#nodes.get(row).getBoundingClientRect().top - this.#frame.getBoundingClientRect().top;
  }

  heightOf(row) {
    return this.#nodes.get(row).getBoundingClientRect().height;
  }

  /** [{row, top}, …] of those in sight, from top to bottom. */
  get inSight() {
    const { top, bottom } = this.#frame.getBoundingClientRect();
    return [...this.#list.children]
      .map((node) => ({ row: node.row, box: node.getBoundingClientRect() }))
      .filter(({ box }) => box.bottom > top && box.top < bottom)
      .map(({ row, box }) => ({ row, top: box.top - top }));
  }

  /** Show a row's whole event or its line alone; it stays so when it has been out of the page. */
  open(row, whole) {
    this.#whole[whole ? "add" : "delete"](row);
    toggleWhole(this.#nodes.get(row), this.#linkTo(row.seq));
  }

  /** Mark this row as the one asked for; null: none is. */
  ask(row) {
    setAttributeOf(this.#nodes.get(this.#asked), "aria-current", null);
    this.#asked = row;
    setAttributeOf(this.#nodes.get(row), "aria-current", "true");
  }

  focus(row) {
    this.#nodes.get(row)?.querySelector(".seq")?.focus({ preventScroll: true });
  }

  /** One line is a tab stop: the one with the focus, else this row's, else the newest. */
  rove(row) {
    const from = document.activeElement.closest(".log-rows > .line") ?? this.#nodes.get(row) ?? this.#list.lastElementChild;
    const line = eventFrom(from, "nextElementSibling") ?? eventFrom(from, "previousElementSibling");
    const stop = line?.querySelector(".seq") ?? null;
    if (stop === this.#stop) return;
    this.#stop?.setAttribute("tabindex", "-1");
    stop?.setAttribute("tabindex", "0");
    this.#stop = stop;
  }

  #nodeOf(row) {
    const node = lineOf(row);
    node.row = row;
    setAttribute(node, "role", "listitem");
    setAttribute(node, "aria-setsize", -1); // nobody knows how many there will be
    if (row === this.#asked) setAttribute(node, "aria-current", "true");
    if (this.#whole.has(row)) toggleWhole(node, this.#linkTo(row.seq));
    return node;
  }

  #remove(row, node) {
    if (node.contains(document.activeElement)) this.#frame.focus({ preventScroll: true });
    node.remove();
    this.#nodes.delete(row);
  }

  /** Arrow keys go from event to event once one has the focus; Tab leaves the log. */
  #walk(key) {
    const step = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[key.key];
    if (step === undefined || key.target.closest(".whole")) return;
    const line = document.activeElement.closest(".line");
    let next = line?.[step];
    const { scrollTop, scrollHeight, clientHeight } = this.#frame;
    const atEnd = scrollHeight - scrollTop - clientHeight < 1;
    if (line === null && atEnd && key.key === "ArrowUp") next = this.#list.lastElementChild;
    next = eventFrom(next, step);
    if (!next) return;
    key.preventDefault();
    next.querySelector(".seq").focus();
  }
}

function setAttributeOf(node, name, value) {
  if (node !== undefined) setAttribute(node, name, value);
}

/** This line or the first one on that way that is an event's, not the page's own; null where all are its own. */
function eventFrom(line, way) {
  let at = line;
  while (at && at.row.seq === undefined) at = at[way];
  return at ?? null;
}
