// Notifications of the browser, only where a person asked for them: one an incident, replaced by its recovery.
import { read, ReadError } from "./api.js";
import { byId, setAttribute } from "./element.js";
import { hasEnded, statusLabel } from "./status.js";
import { keep, load } from "./storage.js";
import { short } from "./text.js";
import { counted } from "./units.js";

const STORED = "notices";
const ENDING = new Set(["translation_completed", "conversion_completed", "translation_cancelled", "session_ended"]);
const BAD_WORKER = new Set(["down", "wedged"]);

const ends = (event) => ENDING.has(event.type) || (event.type.endsWith("_error") && event.fatal === true);

export class Notices {
  #button = byId("notices");
  #wanted = load(STORED) === "on";
  #stalled = null; // the sessions that stood still at the last reading; null before the first
  #workers = null; // id → was it bad
  #told = new Map(); // session id → the last seq told, so that one end is told once
  #begun = false; // what the stream brings before it is live for the first time is history, not news

  constructor() {
    if (!("Notification" in window)) return;
    this.#button.hidden = false;
    this.#button.addEventListener("click", () => this.toggle());
    this.#show();
  }

  /** The stream is live: from here on events are news, those of a later outage, too. */
  begin() {
    this.#begun = true;
  }

  get on() {
    return this.#wanted && "Notification" in window && Notification.permission === "granted";
  }

  async toggle() {
    if (!("Notification" in window)) return;
    if (this.on) this.#wanted = false;
    else this.#wanted = (await Notification.requestPermission()) === "granted";
    keep(STORED, this.#wanted ? "on" : null);
    this.#show();
  }

  /** An event of the stream: the end of a session, told with the status the server gives it. */
  async add(event) {
    if (!this.#begun || !this.on || !ends(event)) return;
    if ((this.#told.get(event.session_id) ?? 0) >= event.seq) return;
    this.#told.set(event.session_id, event.seq);
    if (this.#told.size > 500) this.#told.delete(this.#told.keys().next().value);
    try {
      const { body } = await read(`/sessions/${encodeURIComponent(event.session_id)}`);
      if (hasEnded(body.status)) this.#tell(`session:${body.session_id}`, `${statusLabel(body.status)}: ${body.session_id}`, itemsOf(body), `/monitor?session=${encodeURIComponent(body.session_id)}`);
    } catch (error) {
      if (!(error instanceof ReadError)) throw error;
    }
  }

  /** The active sessions as just read: who stands still now and did not, and who goes on again. */
  sessions(active) {
    const stalled = new Map(active.filter((one) => one.status === "stalled").map((one) => [one.session_id, one]));
    const before = this.#stalled;
    this.#stalled = new Set(stalled.keys());
    if (before === null || !this.on) return;
    for (const [id, session] of stalled) {
      if (!before.has(id)) this.#tell(`session:${id}`, `Stalled: ${id}`, itemsOf(session), `/monitor?session=${encodeURIComponent(id)}`);
    }
    for (const session of active) {
      if (before.has(session.session_id) && session.status === "running") this.#tell(`session:${session.session_id}`, `Running again: ${session.session_id}`, itemsOf(session), `/monitor?session=${encodeURIComponent(session.session_id)}`);
    }
  }

  /** The workers as just read. */
  workers(known) {
    const before = this.#workers;
    this.#workers = new Map(known.filter((one) => one.configured).map((one) => [one.id, BAD_WORKER.has(one.state)]));
    if (before === null || !this.on) return;
    for (const worker of known) {
      const bad = this.#workers.get(worker.id);
      if (bad === undefined || !before.has(worker.id) || before.get(worker.id) === bad) continue;
      this.#tell(`worker:${worker.id}`, bad ? `Worker ${worker.state}: ${worker.id}` : `Worker up again: ${worker.id}`, short(worker.reason ?? "", 200), "/enhanced-monitor.html");
    }
  }

  #tell(tag, title, body, address) {
    const shown = new Notification(title, { tag, body, icon: "/static/icon.svg", renotify: true });
    shown.addEventListener("click", () => {
      window.focus();
      if (location.pathname + location.search !== address) location.assign(address);
    });
  }

  #show() {
    setAttribute(this.#button, "aria-pressed", String(this.on));
    const denied = Notification.permission === "denied";
    this.#button.disabled = denied;
    this.#button.title = denied ? "Notifications are blocked for this site in the browser's settings" : this.on ? "Notifications are on" : "Notify me when a session ends or stalls, or a worker goes down";
    setAttribute(this.#button, "aria-label", this.on ? "Notifications: on" : "Notifications: off");
  }
}

function itemsOf(session) {
  const parts = [];
  if (typeof session.items_done === "number") parts.push(typeof session.total_items === "number" ? `${session.items_done} of ${session.total_items} items` : counted(session.items_done, "item"));
  if (session.failed_items > 0) parts.push(`${session.failed_items} failed`);
  if (session.errors > 0) parts.push(counted(session.errors, "error"));
  return parts.join(" · ");
}
