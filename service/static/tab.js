// The browser's tab: its title and icon tell from afar whether the page is live, what runs, and what went wrong.
import { statusLabel } from "./status.js";
import { counted, percent } from "./units.js";

const LAMPS = {
  live: ["%231a7f37", "M10 16l4 5 8-10"],
  busy: ["%239a6700", "M10 16h.1M16 16h.1M22 16h.1"],
  dead: ["%23b42318", "M11 11l10 10M21 11L11 21"],
};
const FAILED = ["failed", "lost", "timed_out"];

export class Tab {
  #only;
  #icon = document.querySelector('link[rel="icon"]');
  #shown = "";
  #connection = { name: "connecting", lamp: "busy" };
  #sessions = null;
  #alerts = 0;
  #looked = null; // the newest seq of an end when the page was last looked at
  #failures = 0;

  constructor({ only }) {
    this.#only = only;
    document.addEventListener("visibilitychange", () => this.#look());
  }

  /** `lamp` is live, busy or dead, `name` the state of the connection. */
  connection(name, lamp) {
    this.#connection = { name, lamp };
    this.#show();
  }

  /** As just read: how many are active, the newest of them, and the newest ended ones. */
  sessions({ active, newest, ended }) {
    this.#sessions = { active, newest };
    const latest = Math.max(0, ...ended.map((session) => session.last_seq));
    if (this.#looked === null || !document.hidden) this.#looked = latest;
    this.#failures = ended.filter((session) => FAILED.includes(session.status) && session.last_seq > this.#looked).length;
    this.#show();
  }

  /** How many alerts are firing; null where that is not known. */
  alerts(firing) {
    this.#alerts = firing ?? 0;
    this.#show();
  }

  /** Whoever looks has seen them. */
  #look() {
    if (document.hidden) return;
    this.#failures = 0;
    this.#looked = null;
    this.#show();
  }

  #show() {
    const title = [...this.#problems(), ...this.#running(), "Translation Monitor"].join(" · ");
    if (document.title !== title) document.title = title;
    const { lamp } = this.#connection;
    const shown = `${lamp} ${this.#failures}`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    const [colour, sign] = LAMPS[lamp];
    const badge = this.#failures === 0 ? "" : `<circle cx='22' cy='10' r='10' fill='%23b42318'/><text x='22' y='15' text-anchor='middle' font-family='sans-serif' font-size='15' font-weight='700' fill='white'>${Math.min(9, this.#failures)}</text>`;
    this.#icon.href = `data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='8' fill='${colour}'/><path d='${sign}' fill='none' stroke='white' stroke-width='4' stroke-linecap='round' stroke-linejoin='round'/>${badge}</svg>`;
    // The installed page bears it on its icon; where that is not allowed, the title says it.
    navigator.setAppBadge?.(this.#failures).catch(() => {});
  }

  #problems() {
    const { name, lamp } = this.#connection;
    const parts = [];
    if (this.#failures > 0) parts.push(`${this.#failures} failed`);
    if (lamp === "dead") parts.push(name === "waiting" ? "Disconnected" : "Log unavailable");
    else if (name !== "live") parts.push("Connecting");
    if (this.#only === null && this.#alerts > 0) parts.push(counted(this.#alerts, "alert"));
    return parts;
  }

  #running() {
    if (this.#sessions === null || this.#sessions.newest === null) return [];
    const { active, newest } = this.#sessions;
    if (this.#only === null && active !== 1) return active > 1 ? [`${active} active`] : [];
    const progress = newest.progress === null ? "" : `${percent(newest.progress)} `;
    const status = newest.status === "running" ? progress : `${statusLabel(newest.status)} `;
    return [`${status}${newest.session_id}`];
  }
}
