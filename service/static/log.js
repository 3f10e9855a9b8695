// The live log: the newest matching lines in `seq` order, held still while paused or scrolled up, or a place in the
// server's log that somebody asked for.
import { byId, element, setAttribute, setText } from "./element.js";
import { EventRing } from "./event_ring.js";
import { LogControls } from "./log_controls.js";
import { entryOf, markerOf } from "./log_entry.js";
import { LogFilter } from "./log_filter.js";
import { lineOf, toggleWhole } from "./log_line.js";
import { LogPages } from "./log_pages.js";
import { LogTools } from "./log_tools.js";
import { counted, exact } from "./units.js";

const LINES = 500; // lines in the page; more stay in the ring and come by "show older"
const MOST_LINES = 2000;
const AROUND = 200; // events before and after one that was asked for
const AT_END_PX = 24;
const DRAW_EVERY_MS = 100; // at 1,000 events a second a layout for each frame would be most of the work

export class Log {
  #ring = new EventRing();
  #shown = this.#ring; // or what was frozen by a pause, or read from the server
  #elsewhere = false;
  #leftAt = 0;
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
  #asked = 0;
  #settling = false; // a new pattern has not yet been tried on what was here
  #settleUntil = 0;
  #controls;
  #pages;
  #only;
  #address;

  /** `only` is the session the page is narrowed to, or null. */
  constructor({ only, address }) {
    this.#only = only;
    this.#address = address;
    this.#pages = new LogPages({ only });
    this.#lines.classList.toggle("one-session", only !== null);
    byId("log-session-label").hidden = only !== null;
    this.#controls = new LogControls({ address, changed: (fields) => this.#filterBy(fields) });
    new LogTools({ entries: () => this.#matching(), jump: (time) => this.#jump(time) });
    this.#listen();
    this.#controls.read();
    address.onMove(() => this.#readPlace());
  }

  /** The stream is open: an empty log is now known to be empty. */
  opened() {
    if (!this.#connected) this.#readPlace();
    this.#connected = true;
    this.#describe();
  }

  add(event, size) {
    const entry = entryOf(event, size);
    this.#ring.push(entry);
    this.#filter.judge([entry]);
    this.#draw();
  }

  /** Say in the log that something happened to the stream: gap, reset, reconnected. */
  mark(kind, message) {
    this.#ring.push(markerOf(kind, message));
    this.#draw();
  }

  clear() {
    this.#ring.clear();
    this.#live();
  }

  #filterBy(fields) {
    this.#filter.set(fields, () => this.#judged());
    this.#filter.judge(this.#shown.entries());
    if (this.#shown !== this.#ring) this.#filter.judge(this.#ring.entries());
    this.#limit = LINES;
    this.#settling = true;
    this.#settleUntil = this.#ring.end;
    this.#judged();
  }

  /** More is decided, or something is wrong with the pattern. */
  #judged() {
    this.#controls.showFault(this.#filter.fault);
    if (this.#shown !== this.#ring || this.#settling || this.#filter.fault) this.#rebuild();
    else this.#draw();
    const last = this.#ring.at(this.#settleUntil - 1);
    if (last === undefined || this.#filter.decided(last)) this.#settling = false;
  }

  #listen() {
    this.#pause.addEventListener("click", () => this.#setPaused(!this.#paused));
    this.#toEnd.addEventListener("click", () => this.#follow());
    this.#lines.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#lines.addEventListener("click", (click) => this.#clicked(click));
    this.#lines.addEventListener("keydown", (key) => this.#moved(key));
    new ResizeObserver(() => this.#atEnd && this.#scrollToEnd()).observe(this.#lines);
  }

  #clicked(click) {
    const button = click.target.closest("button");
    const line = click.target.closest(".line");
    if (button === null) return;
    if (button.matches(".older")) {
      this.#limit += LINES;
      this.#atEnd = false;
      this.#rebuild();
    } else if (button.matches(".earlier, .later")) {
      this.#readOn(button.matches(".earlier"));
    } else if (button.matches(".who")) {
      if (this.#only !== null) return;
      this.#controls.setSession(line.dataset.session);
    } else if (button.matches(".seq, .more")) {
      toggleWhole(line, this.#address.href({ "#": line.dataset.seq }));
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

  /** A pause keeps what is here, however much comes meanwhile. */
  #setPaused(paused) {
    if (paused === this.#paused) return;
    this.#paused = paused;
    setAttribute(this.#pause, "aria-pressed", String(paused));
    setText(this.#pause, paused ? "Resume" : "Pause");
    if (this.#elsewhere) {
      if (!paused) this.#live();
    } else if (paused) {
      this.#shown = this.#ring.copy();
      this.#leftAt = this.#next;
    } else {
      this.#shown = this.#ring;
      this.#next = this.#leftAt;
      this.#draw();
    }
    this.#describe();
  }

  /** Back to the newest lines, from wherever. */
  #live() {
    this.#asked += 1;
    this.#elsewhere = false;
    this.#shown = this.#ring;
    this.#filter.pinned = null;
    this.#atEnd = true;
    this.#limit = LINES;
    this.#behind = 0;
    this.#setPaused(false);
    this.#rebuild();
  }

  /** The event that the address asks for by its number, here or in the server's log. */
  async #readPlace() {
    const place = this.#address.get("#");
    if (!/^[1-9]\d{0,15}$/.test(place)) return;
    const seq = Number(place);
    const asked = (this.#asked += 1);
    setText(this.#note, `Looking for event ${exact(seq)}…`);
    try {
      const [before, after] = await Promise.all([this.#pages.before(seq, AROUND), this.#pages.after(seq - 1, AROUND)]);
      const missing = after[0]?.seq === seq ? null : await this.#whyMissing(seq);
      if (asked === this.#asked) this.#showPlace(before, after, seq, missing);
    } catch (error) {
      if (asked === this.#asked) this.mark("gap", `Event ${exact(seq)} could not be looked up: ${error.message}.`);
    }
  }

  async #whyMissing(seq) {
    const newest = await this.#pages.newest();
    if (seq > newest) return `There is no event ${exact(seq)} yet; the newest is ${exact(newest)}.`;
    if (this.#only !== null) return `Event ${exact(seq)} is not here: it belongs to another session, or retention has removed it.`;
    return `Event ${exact(seq)} is no longer kept: retention has removed it. These are the events around it.`;
  }

  #showPlace(before, after, seq, missing) {
    const marker = missing === null ? [] : [markerOf("gap", missing)];
    this.#filter.pinned = seq;
    this.#show([...before.map(entered), ...marker, ...after.map(entered)]);
    const line = this.#lines.querySelector(missing === null ? `[data-seq="${seq}"]` : ".marker");
    line?.setAttribute("aria-current", "true");
    if (!line) return;
    this.#lines.scrollTop += line.getBoundingClientRect().top - this.#lines.getBoundingClientRect().top - this.#lines.clientHeight / 2;
    byId("log").scrollIntoView({ block: "nearest" });
    line.querySelector(".seq")?.focus({ preventScroll: true });
  }

  /** Show these entries of the server's log instead of the live ones. */
  #show(entries) {
    if (!this.#elsewhere && !this.#paused) this.#leftAt = this.#next;
    this.#elsewhere = true;
    this.#atEnd = false;
    this.#limit = MOST_LINES;
    this.#shown = new EventRing();
    entries.forEach((entry) => this.#shown.push(entry));
    this.#filter.judge(entries);
    this.#rebuild();
  }

  /** More of the server's log, before or after what is shown. */
  async #readOn(earlier) {
    const asked = (this.#asked += 1);
    const shown = this.#shown.entries();
    const seqs = shown.flatMap((entry) => entry.seq ?? []);
    try {
      if (earlier) {
        const found = (await this.#pages.before(seqs[0], LINES)).map(entered);
        if (asked !== this.#asked) return;
        if (found.length === 0) this.#lines.querySelector(".edge").textContent = "The server keeps none before these.";
        else this.#show([...found, ...shown].slice(0, MOST_LINES));
      } else {
        const found = (await this.#pages.after(seqs[seqs.length - 1], LINES)).map(entered);
        if (asked !== this.#asked) return;
        if (found.length < LINES) this.#live();
        else this.#show([...shown, ...found].slice(-MOST_LINES));
      }
    } catch (error) {
      setText(this.#note, `Could not be read: ${error.message}`);
    }
  }

  async #jump(time) {
    try {
      const seq = await this.#pages.at(time);
      if (seq === null) return "Nothing has come since then.";
      this.#address.set({ "#": seq });
      await this.#readPlace();
      return "";
    } catch (error) {
      return `Could not be looked up: ${error.message}.`;
    }
  }

  #matching() {
    return this.#shown.entries().filter((entry) => this.#filter.decided(entry) && this.#filter.matches(entry));
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#lines;
    const atEnd = scrollHeight - scrollTop - clientHeight < AT_END_PX;
    if (atEnd === this.#atEnd) return;
    if (this.#elsewhere) return;
    this.#atEnd = atEnd;
    if (atEnd) this.#follow();
    else this.#describe();
  }

  #scrollToEnd() {
    this.#lines.scrollTop = this.#lines.scrollHeight;
  }

  /** Follow the newest lines again, with no more of them than usual. */
  #follow() {
    if (this.#elsewhere) {
      this.#address.set({ "#": "" });
      this.#live();
      return;
    }
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
    if (this.#shown !== this.#ring || this.#heldForReader) return;
    if (this.#next < this.#ring.first || this.#ring.end - this.#next > this.#limit) {
      this.#rebuild();
      return;
    }
    const fresh = [];
    for (; this.#next < this.#ring.end; this.#next += 1) {
      const entry = this.#ring.at(this.#next);
      if (!this.#filter.decided(entry)) break;
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
    const shown = this.#shown;
    let end = this.#paused && !this.#elsewhere ? Math.max(this.#leftAt, shown.first) : shown.end;
    while (end > shown.first && !this.#filter.decided(shown.at(end - 1))) end -= 1;
    const entries = [];
    let older = 0;
    for (let index = end - 1; index >= shown.first; index -= 1) {
      const entry = shown.at(index);
      if (!this.#filter.matches(entry)) continue;
      if (entries.length < this.#limit) entries.push(entry);
      else older += 1;
    }
    if (shown === this.#ring) this.#next = end;
    this.#lines.replaceChildren(...entries.reverse().map(lineOf));
    if (older > 0) this.#lines.prepend(this.#olderButton());
    else if (this.#elsewhere || this.#more(shown, end)) this.#lines.prepend(edge("earlier", "Read earlier lines from the server"));
    if (this.#elsewhere) this.#lines.append(edge("later", "Read later lines from the server"));
    this.#rove();
    if (this.#atEnd) this.#scrollToEnd();
    else this.#lines.scrollTop = this.#lines.scrollHeight - distance;
    this.#describe();
  }

  #olderButton() {
    return edge("older", "Show older lines");
  }

  /** Whether the server may have events before the first one here: numbers begin at 1. */
  #more(shown, end) {
    for (let index = shown.first; index < end; index += 1) {
      const { seq } = shown.at(index);
      if (seq !== undefined) return seq > 1 && this.#only === null ? true : shown.first > 0;
    }
    return false;
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
    const kept = this.#shown.end - this.#shown.first;
    const waiting = this.#ring.end - (this.#shown === this.#ring ? this.#next : this.#leftAt);
    const shown = this.#lines.querySelectorAll(":scope > .line").length;
    const behind = this.#behind + (this.#paused ? 0 : waiting);
    if (this.#elsewhere) setText(this.#note, "From the server's log");
    else if (this.#paused) setText(this.#note, `Paused, ${counted(waiting, "new event")}`);
    else setText(this.#note, kept === 0 ? "" : `${exact(shown)} of ${exact(kept)} kept`);
    this.#empty.hidden = shown > 0;
    setText(this.#empty, this.#emptyText(kept));
    this.#toEnd.hidden = this.#atEnd;
    if (this.#elsewhere) setText(this.#toEnd, waiting > 0 ? `↓ Back to live, ${exact(waiting)} new` : "↓ Back to live");
    else setText(this.#toEnd, behind > 0 ? `↓ ${exact(behind)} new` : "↓ Newest");
  }

  #emptyText(kept) {
    if (!this.#connected) return "Waiting for the server…";
    return kept > 0 && this.#filter.active
      ? "No event kept here matches the filter."
      : "No events yet. They appear here as they are reported.";
  }
}

/** An entry of an event that came over HTTP, where its size in characters is not known. */
function entered(event) {
  return entryOf(event, JSON.stringify(event).length);
}

function edge(name, text) {
  return element("p", { class: "edge" }, element("button", { type: "button", class: name, text }));
}
