// The place in a session's past that is looked at: a slider over its events, and a replay that moves it.
import { byId, element, setAttribute, setContent, setText } from "./element.js";
import { moment } from "./moment.js";
import { Replay } from "./replay.js";
import { clockTime, duration, exact } from "./units.js";

const SPEEDS = [1, 10, 100];

export class Scrubber {
  #range = byId("scrub");
  #play = byId("replay");
  #live = byId("to-now");
  #said = byId("scrub-said");
  #speeds = byId("replay-speed");
  #tape = null;
  #replay = new Replay((time, over) => this.#reach(time, over));
  #look;
  /** The index looked at; null at the newest event, which the page then follows. */
  index = null;
  /** The time looked at, Unix seconds: between two events it lies behind the index's own. */
  time = null;

  /** `look` is called when the place has changed. */
  constructor({ look }) {
    this.#look = look;
    this.#speeds.append(...SPEEDS.map((speed) => element("option", { value: speed, text: `${speed} ×` })));
    this.#range.addEventListener("input", () => this.go(Number(this.#range.value)));
    this.#play.addEventListener("click", () => this.#toggle());
    this.#live.addEventListener("click", () => this.go(null));
    this.#speeds.addEventListener("change", () => (this.#replay.speed = Number(this.#speeds.value)));
  }

  /** More has been read, or another tape is in. */
  update(tape) {
    this.#tape = tape;
    const { first, count } = tape;
    if (this.index !== null && (this.index >= count || this.index < first)) this.#set(null);
    setAttribute(this.#range, "min", first);
    setAttribute(this.#range, "max", Math.max(first, count - 1));
    this.#range.disabled = count < 2;
    this.#play.disabled = count < 2;
    if (this.index === null) this.#range.value = count - 1;
  }

  /** Look at the event of an index, null for now. */
  go(index) {
    this.#replay.stop();
    this.#set(index !== null && index >= this.#tape.count - 1 ? null : index);
    this.#look();
  }

  /** So many events on, or back, from where one is. */
  step(by) {
    const { first, count } = this.#tape;
    if (count > 1) this.go(Math.min(count - 1, Math.max(first, (this.index ?? count - 1) + by)));
  }

  /** Say where one is; `event` is the one looked at, null at the newest. */
  say(event) {
    const { count } = this.#tape;
    const newer = count - 1 - (this.index ?? count - 1);
    setText(this.#play, this.#replay.running ? "Pause replay" : "Replay");
    setAttribute(this.#play, "aria-pressed", String(this.#replay.running));
    this.#live.hidden = this.index === null;
    if (event === null) {
      setText(this.#said, count === 0 ? "No event has come yet." : `Now, after ${exact(count)} ${count === 1 ? "event" : "events"}. Move the slider to see the session as it was.`);
      setAttribute(this.#range, "aria-valuetext", `Now, event ${exact(count)}`);
      return;
    }
    const place = `Event ${exact(this.index + 1)} of ${exact(count)}`;
    const next = this.#tape.timeOf(this.index + 1);
    const wait = this.#replay.running && next !== null && next - this.time > 2 * this.#replay.speed ? ` · silence, next in ${duration(next - this.time)}` : "";
    setContent(this.#said, `${place} · `, moment(this.time), ` · seq ${event.seq} · ${event.type}${wait}`);
    setAttribute(this.#range, "aria-valuetext", `${place}, ${clockTime(this.time)}, ${event.type}, ${exact(newer)} newer`);
  }

  #toggle() {
    if (this.#replay.running) {
      this.#replay.stop();
      this.#look();
      return;
    }
    const tape = this.#tape;
    if (this.index === null) this.#set(tape.first);
    this.#replay.speed = Number(this.#speeds.value);
    this.#replay.start(this.time, tape.timeOf(tape.count - 1));
    this.#look();
  }

  #reach(time, over) {
    this.#set(over ? null : this.#tape.indexAt(time), time);
    this.#look();
  }

  #set(index, time = null) {
    this.index = index;
    this.time = index === null ? null : (time ?? this.#tape.timeOf(index));
    this.#range.value = index ?? this.#tape.count - 1;
  }
}
