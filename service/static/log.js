// The live log put together: the newest lines as they come, held still while paused or while somebody reads further
// up; or a place in the server's log, from where one reads on until the live end is reached again.
import { byId } from "./element.js";
import { EventRing } from "./event_ring.js";
import { LogControls } from "./log_controls.js";
import { entryOf, markerOf } from "./log_entry.js";
import { LogFilter } from "./log_filter.js";
import { LogList } from "./log_list.js";
import { LogPages } from "./log_pages.js";
import { LogReader } from "./log_reader.js";
import { LogStatus } from "./log_status.js";
import { LogTools } from "./log_tools.js";
import { LogView } from "./log_view.js";
import { exact } from "./units.js";

const DRAW_EVERY_MS = 100; // at 1,000 events a second a layout for each frame would be most of the work
const DRAW_SHARE = 0.1; // of the time goes into drawing at most: on a busy machine the log moves less often
const DRAW_AT_LEAST_EVERY_MS = 500;
const AROUND = 200; // events before and after one that was asked for

export class Log {
  #ring = new EventRing();
  #filter = new LogFilter();
  #list;
  #view;
  #reader;
  #status;
  #pages;
  #controls;
  #address;
  #asked = 0;
  #drawing = false;
  #drawEvery = DRAW_EVERY_MS;
  #drawnAt = -Infinity;
  #connected = false;

  /** `only` is the session the page is narrowed to, or null. */
  constructor({ only, address }) {
    const lines = byId("log-lines");
    lines.classList.toggle("one-session", only !== null);
    byId("log-session-label").hidden = only !== null;
    this.#address = address;
    this.#list = new LogList({ linkTo: (seq) => address.href({ "#": seq }), moved: () => this.#moved() });
    this.#view = new LogView({ filter: this.#filter, list: this.#list });
    this.#pages = new LogPages({ only });
    this.#reader = new LogReader({
      ring: this.#ring,
      filter: this.#filter,
      list: this.#list,
      view: this.#view,
      pages: this.#pages,
      changed: () => this.#show(),
    });
    this.#status = new LogStatus({
      pause: () => this.#togglePause(),
      toEnd: () => this.#goToEnd(),
      read: (earlier) => this.#reader.read(earlier),
    });
    this.#controls = new LogControls({ address, changed: (fields) => this.#filterBy(fields) });
    new LogTools({ entries: () => this.#view.matching, jump: (time) => this.#jump(time) });
    this.#controls.read();
    address.onMove(() => this.#goToPlace());
    if (only === null) lines.addEventListener("click", ({ target }) => target.matches(".who") && this.#controls.setSession(target.closest(".line").row.event.session_id));
  }

  /** The stream is open: an empty log is now known to be empty. */
  async opened() {
    if (!this.#connected) this.#goToPlace();
    this.#connected = true;
    this.#draw();
    try {
      this.#reader.oldest = await this.#pages.oldest();
    } catch {
      return; // whoever asks for earlier lines is told then
    }
    this.#draw();
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
    this.#reader.oldest = null;
    this.#live();
  }

  async #filterBy(fields) {
    this.#filter.set(fields, () => this.#judged());
    this.#filter.judge(this.#view.entries);
    this.#filter.judge(this.#ring.slice());
    this.#controls.showFault(this.#filter.fault);
    await this.#view.refilter();
    this.#show();
  }

  /** More is decided, or something is wrong with the pattern. */
  #judged() {
    this.#controls.showFault(this.#filter.fault);
    this.#reader.judged();
    this.#draw();
  }

  async #togglePause() {
    if (this.#reader.paused) await this.#reader.resume();
    else this.#reader.pause();
    this.#show();
  }

  #goToEnd() {
    this.#address.set({ "#": "" });
    if (this.#reader.paused && !this.#reader.elsewhere) this.#list.toEnd();
    else this.#live();
    this.#show();
  }

  /** Back to the newest lines, from wherever. */
  async #live() {
    this.#asked += 1;
    this.#filter.pinned = null;
    this.#list.unmark();
    await this.#reader.live();
    this.#show();
  }

  /** To the event that the address asks for by its number, here or in the server's log; to live where it asks none. */
  async #goToPlace() {
    const place = this.#address.get("#");
    if (place === "" && this.#filter.pinned !== null) this.#live();
    if (!/^[1-9]\d{0,15}$/.test(place)) return;
    const seq = Number(place);
    const asked = (this.#asked += 1);
    let entries = this.#ring.slice();
    let wanted = entries.find((entry) => entry.seq === seq);
    try {
      if (wanted === undefined) {
        this.#status.say(`Looking for event ${exact(seq)}…`);
        ({ entries, wanted } = await this.#lookUp(seq));
      }
    } catch (error) {
      if (asked === this.#asked) this.mark("gap", `Event ${exact(seq)} could not be looked up: ${error.message}.`);
      return;
    }
    if (asked !== this.#asked) return;
    this.#filter.pinned = seq;
    if (!(await this.#reader.go(entries)) || asked !== this.#asked) return;
    this.#list.show(wanted);
    byId("log").scrollIntoView({ block: "nearest" });
    this.#show();
  }

  /** {entries, wanted}: the server's log around an event, and that event or the marker that says why it is missing. */
  async #lookUp(seq) {
    const { before, after, missing } = await this.#pages.around(seq, AROUND);
    const marker = missing === null ? [] : [markerOf("gap", missing)];
    const entries = [...before, ...marker, ...after];
    return { entries, wanted: marker[0] ?? after[0] };
  }

  async #jump(time) {
    try {
      const seq = await this.#pages.at(time);
      if (seq === null) return "Nothing has come since then.";
      this.#address.set({ "#": seq });
      await this.#goToPlace();
      return "";
    } catch (error) {
      return `Could not be looked up: ${error.message}.`;
    }
  }

  #moved() {
    this.#reader.moved();
    this.#show();
  }

  /** In a hidden page not at all: the ring keeps what comes. */
  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    const wait = Math.max(0, this.#drawnAt + this.#drawEvery - performance.now());
    setTimeout(() => requestAnimationFrame((now) => {
      this.#drawing = false;
      this.#drawnAt = now;
      const began = performance.now();
      this.#reader.take();
      this.#show();
      setTimeout(() => this.#drew(performance.now() - began)); // behind the layout and the painting
    }), wait);
  }

  #drew(tookMs) {
    this.#drawEvery = Math.min(DRAW_AT_LEAST_EVERY_MS, Math.max(DRAW_EVERY_MS, tookMs / DRAW_SHARE));
  }

  #show() {
    this.#status.show({
      reader: this.#reader,
      list: this.#list,
      kept: this.#view.entries.length,
      connected: this.#connected,
      filtered: this.#filter.active,
    });
    this.#list.draw();
  }
}
