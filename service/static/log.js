// The live log: the newest matching lines in `seq` order, held still while paused or scrolled up.
import { byId, element, setAttribute, setText } from "./element.js";
import { EventRing } from "./event_ring.js";
import { entryOf, LogFilter, markerOf, TYPES } from "./log_entry.js";
import { lineOf, toggleWhole } from "./log_line.js";
import { counted, exact } from "./units.js";

const LINES = 500; // lines in the page; more stay in the ring and come by "show older"
const AT_END_PX = 24;
const TYPING_MS = 150;
const DRAW_EVERY_MS = 100; // at 1,000 events a second a layout for each frame would be most of the work

const LEVEL_CHOICES = [
  ["", "Any level"],
  ["info", "Without progress"],
  ["warning", "Warnings, errors"],
  ["error", "Errors"],
];
const FIELDS = ["text", "level", "type", "session"];

export class Log {
  #ring = new EventRing();
  #filter = new LogFilter();
  #lines = byId("log-lines");
  #note = byId("log-note");
  #empty = byId("log-empty");
  #toEnd = byId("to-end");
  #pause = byId("pause");
  #limit = LINES;
  #next = 0;
  #behind = 0;
  #paused = false;
  #atEnd = true;
  #drawing = false;
  #drawnAt = -Infinity;
  #stop = null;
  #connected = false;
  #only;
  #address;

  /** `only` is the session the page is narrowed to, or null. */
  constructor({ only, address }) {
    this.#only = only;
    this.#address = address;
    this.#lines.classList.toggle("one-session", only !== null);
    byId("log-session-label").hidden = only !== null;
    this.#fillChoices();
    this.#readAddress();
    address.onMove(() => this.#readAddress());
    this.#listen();
    this.#describe();
  }

  /** The stream is open: an empty log is now known to be empty. */
  opened() {
    this.#connected = true;
    this.#describe();
  }

  add(event, size) {
    this.#ring.push(entryOf(event, size));
    this.#draw();
  }

  /** Say in the log that something happened to the stream: gap, reset, reconnected. */
  mark(kind, message) {
    this.#ring.push(markerOf(kind, message));
    this.#draw();
  }

  clear() {
    this.#ring.clear();
    this.#next = this.#ring.end;
    this.#rebuild();
  }

  #fillChoices() {
    const option = ([value, text]) => element("option", { value, text });
    byId("log-level").append(...LEVEL_CHOICES.map(option));
    byId("log-type").append(...[["", "Any type"], ...Object.entries(TYPES)].map(option));
  }

  /** Take the filter from the address. */
  #readAddress() {
    for (const name of FIELDS) byId(`log-${name}`).value = this.#address.get(`log.${name}`);
    this.#filterBy();
  }

  #filterBy() {
    for (const name of FIELDS) this.#filter[name] = byId(`log-${name}`).value.trim().toLowerCase();
    this.#limit = LINES;
    this.#rebuild();
  }

  #listen() {
    let typing = null;
    const apply = () => {
      this.#address.set(Object.fromEntries(FIELDS.map((name) => [`log.${name}`, byId(`log-${name}`).value.trim()])));
      this.#filterBy();
    };
    byId("log-filter").addEventListener("submit", (submitted) => submitted.preventDefault());
    byId("log-filter").addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(apply, TYPING_MS);
    });
    this.#pause.addEventListener("click", () => this.#setPaused(!this.#paused));
    this.#toEnd.addEventListener("click", () => this.#follow());
    this.#lines.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#lines.addEventListener("click", (click) => this.#clicked(click, apply));
    this.#lines.addEventListener("keydown", (key) => this.#moved(key));
    new ResizeObserver(() => this.#atEnd && this.#scrollToEnd()).observe(this.#lines);
  }

  #clicked(click, apply) {
    const button = click.target.closest("button");
    const line = click.target.closest(".line");
    if (button === null) return;
    if (button.matches(".older")) {
      this.#limit += LINES;
      this.#atEnd = false;
      this.#rebuild();
    } else if (button.matches(".who")) {
      if (this.#only !== null) return;
      byId("log-session").value = line.dataset.session;
      apply();
    } else if (button.matches(".seq, .more")) {
      toggleWhole(line);
      if (this.#atEnd && line === this.#lines.lastElementChild) this.#scrollToEnd();
    }
  }

  /** Arrow keys go from event to event once one has the focus; Tab leaves the log. */
  #moved(key) {
    const step = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[key.key];
    const line = document.activeElement?.closest?.(".line");
    if (step === undefined) return;
    let next = line?.[step] ?? (line ? null : this.#lines.lastElementChild);
    while (next && next.querySelector(".seq") === null) next = next[step];
    if (!line && key.key === "ArrowDown") return;
    if (next) {
      key.preventDefault();
      next.querySelector(".seq").focus();
    }
  }

  #setPaused(paused) {
    this.#paused = paused;
    setAttribute(this.#pause, "aria-pressed", String(paused));
    setText(this.#pause, paused ? "Resume" : "Pause");
    if (!paused) this.#draw();
    this.#describe();
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#lines;
    const atEnd = scrollHeight - scrollTop - clientHeight < AT_END_PX;
    if (atEnd === this.#atEnd) return;
    this.#atEnd = atEnd;
    if (atEnd) this.#follow();
    else this.#describe();
  }

  #scrollToEnd() {
    this.#lines.scrollTop = this.#lines.scrollHeight;
  }

  /** Follow the newest lines again, with no more of them than usual. */
  #follow() {
    this.#atEnd = true;
    this.#behind = 0;
    this.#limit = LINES;
    this.#append();
    this.#trim();
    this.#scrollToEnd();
    this.#rove();
    this.#describe();
  }

  /** In a hidden page not at all: the ring keeps what comes. */
  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    const wait = Math.max(0, this.#drawnAt + DRAW_EVERY_MS - performance.now());
    setTimeout(() => requestAnimationFrame((now) => {
      this.#drawing = false;
      this.#drawnAt = now;
      this.#append();
      this.#describe();
    }), wait);
  }

  #append() {
    if (this.#paused || this.#heldForReader) return;
    if (this.#next < this.#ring.first || this.#ring.end - this.#next > this.#limit) {
      this.#rebuild();
      return;
    }
    const fresh = [];
    for (; this.#next < this.#ring.end; this.#next += 1) {
      const entry = this.#ring.at(this.#next);
      if (this.#filter.matches(entry)) fresh.push(lineOf(entry));
    }
    if (fresh.length === 0) return;
    this.#lines.append(...fresh);
    if (this.#atEnd) {
      this.#trim();
      this.#scrollToEnd();
    } else {
      this.#behind += fresh.length;
    }
    this.#rove();
  }

  /** Whoever reads further up keeps the place: beyond a bound, new lines wait in the ring. */
  get #heldForReader() {
    const waiting = this.#ring.end - this.#next;
    return !this.#atEnd && this.#lines.childElementCount + waiting > 2 * this.#limit;
  }

  /** Remove the oldest lines above the limit; only while following the newest, where nobody reads them. */
  #trim() {
    const surplus = this.#lines.childElementCount - this.#limit - 1;
    if (surplus <= 0) return;
    const lines = [...this.#lines.querySelectorAll(":scope > .line")];
    lines.slice(0, surplus).forEach((line) => line.remove());
    this.#lines.querySelector(".edge")?.remove();
    this.#lines.prepend(this.#olderButton());
  }

  #rebuild() {
    const distance = this.#lines.scrollHeight - this.#lines.scrollTop;
    const end = this.#paused ? Math.max(this.#next, this.#ring.first) : this.#ring.end;
    const entries = [];
    let older = 0;
    for (let index = end - 1; index >= this.#ring.first; index -= 1) {
      const entry = this.#ring.at(index);
      if (!this.#filter.matches(entry)) continue;
      if (entries.length < this.#limit) entries.push(entry);
      else older += 1;
    }
    this.#next = end;
    this.#lines.replaceChildren(...entries.reverse().map(lineOf));
    if (older > 0) this.#lines.prepend(this.#olderButton());
    else if (this.#ring.first > 0 && end > 0) this.#lines.prepend(this.#notKept());
    this.#rove();
    if (this.#atEnd) this.#scrollToEnd();
    else this.#lines.scrollTop = this.#lines.scrollHeight - distance;
    this.#describe();
  }

  #olderButton() {
    return element("p", { class: "edge" }, element("button", { type: "button", class: "older", text: "Show older lines" }));
  }

  #notKept() {
    return element("p", { class: "edge", text: "Older events are no longer kept by this page; the server has them." });
  }

  /** One line is a tab stop: the newest. */
  #rove() {
    let line = this.#lines.lastElementChild;
    while (line !== null && line.dataset.seq === undefined) line = line.previousElementSibling;
    const stop = line?.querySelector(".seq") ?? null;
    if (stop === this.#stop) return;
    this.#stop?.setAttribute("tabindex", "-1");
    stop?.setAttribute("tabindex", "0");
    this.#stop = stop;
  }

  #describe() {
    const kept = this.#ring.end - this.#ring.first;
    const waiting = this.#ring.end - this.#next;
    const shown = this.#lines.childElementCount - (this.#lines.firstElementChild?.matches(".edge") ? 1 : 0);
    const behind = this.#behind + (this.#paused ? 0 : waiting);
    if (this.#paused) setText(this.#note, `Paused, ${counted(waiting, "new event")}`);
    else setText(this.#note, kept === 0 ? "" : `${exact(shown)} of ${exact(kept)} kept`);
    this.#empty.hidden = shown > 0;
    setText(this.#empty, this.#emptyText(kept));
    this.#toEnd.hidden = this.#atEnd;
    setText(this.#toEnd, behind > 0 ? `↓ ${exact(behind)} new` : "↓ Newest");
  }

  #emptyText(kept) {
    if (!this.#connected) return "Waiting for the server…";
    return kept > 0 && this.#filter.active
      ? "No event kept here matches the filter."
      : "No events yet. They appear here as they are reported.";
  }
}
