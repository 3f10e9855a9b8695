// What the live log lets through: text or a regular expression, level, type, session and worker.
import { LEVELS } from "./log_entry.js";
import { Pattern } from "./pattern.js";

function textsOf({ message, event }) {
  const parts = [message, event.error, event.step, event.session_id, event.type, event.current_item];
  return parts.filter((part) => part !== undefined && part !== null).map(String);
}

/** The workers that an event names, however it does. */
function workersOf({ data, worker_info: top, usage }) {
  const found = [];
  for (const info of [top, data?.worker_info]) {
    if (info?.name) found.push(info.name);
    if (info?.host) found.push(`${info.host}:${info.port ?? 22}`);
  }
  if (typeof data?.worker === "string") found.push(data.worker);
  for (const used of [usage].flat()) if (used?.worker) found.push(used.worker);
  return [...new Set(found.map(String))];
}

export class LogFilter {
  #fields = { text: "", level: "", type: "", session: "", worker: "" };
  #pattern = null;
  #fault = "";
  /** This event passes whatever the filter says: it was asked for by its number. */
  pinned = null;

  /** `level` is the least level, `type` one type, the others are part of a text; "" lets all through. */
  set({ text, regex, level, type, session, worker }, changed) {
    this.#pattern?.close();
    this.#pattern = null;
    this.#fault = "";
    this.#fields = { text: regex ? "" : text.toLowerCase(), level, type, session: session.toLowerCase(), worker: worker.toLowerCase() };
    if (!regex || text === "") return;
    try {
      this.#pattern = new Pattern(text, changed);
    } catch (error) {
      this.#fault = `Not a regular expression: ${error.message.split(": ").pop()}.`;
    }
  }

  /** What is wrong with the pattern, which then is not used; "" while all is well. */
  get fault() {
    return this.#fault || (this.#pattern?.fault ?? "");
  }

  get active() {
    return this.#judging || Object.values(this.#fields).some((value) => value !== "");
  }

  get #judging() {
    return this.#pattern !== null && this.#pattern.fault === "";
  }

  /** Whether `matches` knows: a regular expression is tried elsewhere, so `judge` first. */
  decided(entry) {
    return !this.#judging || entry.marker !== undefined || this.#pattern.verdict(entry) !== undefined;
  }

  /** Have entries tried; the `changed` of `set` is called when more are decided. */
  judge(entries) {
    if (this.#judging) this.#pattern.ask(entries.filter((entry) => !entry.marker).map((entry) => [entry, textsOf(entry).join("\n")]));
  }

  matches(entry) {
    if (entry.marker || entry.seq === this.pinned) return true;
    const { text, level, type, session, worker } = this.#fields;
    const { event } = entry;
    if (level !== "" && LEVELS[entry.level] < LEVELS[level]) return false;
    if (type !== "" && event.type !== type) return false;
    if (session !== "" && !event.session_id.toLowerCase().includes(session)) return false;
    if (worker !== "" && !workersOf(event).some((one) => one.toLowerCase().includes(worker))) return false;
    if (this.#judging) return this.#pattern.verdict(entry) === true;
    return text === "" || textsOf(entry).some((part) => part.toLowerCase().includes(text));
  }
}
