// What the page knows about its own connection: in the header, the title, the icon and, when it matters, a banner.
import { byServer } from "./clock.js";
import { byId, setText } from "./element.js";
import { clockTime, counted } from "./units.js";

const BEHIND_WORTH_SAYING = 200;
const BANNER_AFTER_MS = 1500; // a hiccup that heals at once is not worth a banner

const AWAY = "What you see is from then; the page goes on from there by itself.";
const FULL =
  "Close a monitor page that nobody needs, or start the server with a larger --max-connections. Until a place is free, " +
  "sessions and workers are read every 10 s; the log then goes on by itself.";

const LAMPS = {
  live: ["%231a7f37", "M10 16l4 5 8-10"],
  busy: ["%239a6700", "M10 16h.1M16 16h.1M22 16h.1"],
  dead: ["%23b42318", "M11 11l10 10M21 11L11 21"],
};

const lampOf = (state) => (state.logUnavailableSince ? "dead" : { live: "live", waiting: "dead" }[state.name] ?? "busy");

export class ConnectionView {
  #state = { name: "connecting", since: Date.now(), behind: 0, logUnavailableSince: null };
  #text = byId("connection-text");
  #pill = byId("connection");
  #banner = byId("banner");
  #retry = byId("retry");
  #icon = document.querySelector('link[rel="icon"]');
  #lamp = null;
  #said = "";
  #summary = null;
  #only;

  constructor({ only, retry }) {
    this.#only = only;
    this.#retry.addEventListener("click", retry);
  }

  get live() {
    return this.#state.name === "live";
  }

  show(state) {
    this.#state = state;
    this.tick();
  }

  /** `summary` is {active, newest}: what the title tells while the page is live. */
  setSummary(summary) {
    this.#summary = summary;
    this.tick();
  }

  /** Say it again: the countdown and the age of the news go on. */
  tick() {
    const state = this.#state;
    const lamp = lampOf(state);
    document.body.dataset.connection = state.logUnavailableSince && state.name === "live" ? "log-unavailable" : state.name;
    setText(this.#text, this.#words(state));
    this.#pill.title = state.reason ?? "";
    this.#retry.hidden = state.name !== "waiting";
    this.#announce(state);
    this.#showBanner(state);
    this.#showTitle(state, lamp);
    if (lamp !== this.#lamp) {
      this.#lamp = lamp;
      const [colour, sign] = LAMPS[lamp];
      this.#icon.href = `data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='8' fill='${colour}'/><path d='${sign}' fill='none' stroke='white' stroke-width='4' stroke-linecap='round' stroke-linejoin='round'/></svg>`;
    }
  }

  #words({ name, behind, retryAt, logUnavailableSince }) {
    if (name === "connecting") return "Connecting…";
    if (name === "catching_up") return this.#only === null && behind > 0 ? `Catching up, ${counted(behind, "event")} to go` : "Catching up…";
    if (name === "doubtful") return "No answer…";
    if (name === "waiting") return `Reconnecting in ${Math.max(0, Math.ceil((retryAt - Date.now()) / 1000))} s`;
    if (logUnavailableSince) return "Log unavailable";
    return this.#only === null && behind > BEHIND_WORTH_SAYING ? `Live, ${counted(behind, "event")} behind` : "Live";
  }

  /** For screen readers: a change of state once, never the countdown. */
  #announce({ name, reason, logUnavailableSince }) {
    const said = logUnavailableSince ? "The event log is unavailable." : { live: "Live.", waiting: `Disconnected: ${reason}.` }[name];
    if (said !== undefined && said !== this.#said) {
      this.#said = said;
      setText(byId("announcement"), said);
    }
  }

  #showBanner({ name, reason, full, since, logUnavailableSince }) {
    const cut = name !== "live" && since !== null && Date.now() - since > BANNER_AFTER_MS;
    let text = "";
    if (cut && name !== "catching_up" && (reason || name === "doubtful")) {
      text = `Not live since ${clockTime(byServer(since))}: ${reason ?? "no answer"}. ${full ? FULL : AWAY}`;
    } else if (logUnavailableSince) {
      text = `The server cannot write its event log since ${clockTime(logUnavailableSince)}. What is shown is complete up to then; producers keep their events and deliver them afterwards.`;
    } else if (name === "connecting" && !this.#banner.hidden) {
      return; // the next attempt is under way: keep what was said
    }
    this.#banner.hidden = text === "";
    setText(this.#banner, text);
  }

  #showTitle({ name }, lamp) {
    const parts = [];
    if (lamp === "dead") parts.push(name === "waiting" ? "Disconnected" : "Log unavailable");
    else if (name !== "live") parts.push("Connecting");
    if (this.#summary !== null && this.#summary.newest !== null) {
      const { active, newest } = this.#summary;
      if (active === 1 || this.#only !== null) parts.push(`${newest.progress === null ? "" : `${Math.floor(newest.progress)} % `}${newest.session_id}`);
      else if (active > 1) parts.push(`${active} active`);
    }
    parts.push("Translation Monitor");
    const title = parts.join(" · ");
    if (document.title !== title) document.title = title;
  }
}
