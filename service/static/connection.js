// What the page knows about its own connection: in the header and, when it matters, a banner.
import { byServer } from "./clock.js";
import { byId, setContent, setText } from "./element.js";
import { moment } from "./moment.js";
import { counted } from "./units.js";

const BEHIND_WORTH_SAYING = 200;
const BANNER_AFTER_MS = 1500; // a hiccup that heals at once is not worth a banner

const AWAY = "What you see is from then; the page goes on from there by itself.";
const FULL =
  "Close a monitor page that nobody needs, or start the server with a larger --max-connections. Until a place is free, " +
  "sessions and workers are read every 10 s; the log then goes on by itself.";

const lampOf = (state) => (state.logUnavailableSince ? "dead" : { live: "live", waiting: "dead" }[state.name] ?? "busy");

export class ConnectionView {
  #state = { name: "connecting", since: Date.now(), behind: 0, logUnavailableSince: null };
  #text = byId("connection-text");
  #pill = byId("connection");
  #banner = byId("banner");
  #retry = byId("retry");
  #said = "";
  #only;
  #tab;

  constructor({ only, tab, retry }) {
    this.#only = only;
    this.#tab = tab;
    this.#retry.addEventListener("click", retry);
  }

  get live() {
    return this.#state.name === "live";
  }

  show(state) {
    this.#state = state;
    this.tick();
  }

  /** Say it again: the countdown and the age of the news go on. */
  tick() {
    const state = this.#state;
    document.body.dataset.connection = state.logUnavailableSince && state.name === "live" ? "log-unavailable" : state.name;
    setText(this.#text, this.#words(state));
    this.#pill.title = state.reason ?? this.#lag(state);
    this.#retry.hidden = state.name !== "waiting";
    this.#announce(state);
    this.#showBanner(state);
    this.#tab.connection(state.name, lampOf(state));
  }

  /** How far behind the log the page is; of one session alone nobody counts that. */
  #lag({ name, behind }) {
    if (name !== "live" || this.#only !== null) return "";
    return behind > 0 ? `${counted(behind, "event")} behind the log` : "Nothing behind the log";
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
    let said = [];
    if (cut && name !== "catching_up" && (reason || name === "doubtful")) {
      said = ["Not live since ", moment(byServer(since)), `: ${reason ?? "no answer"}. ${full ? FULL : AWAY}`];
    } else if (logUnavailableSince) {
      said = ["The server cannot write its event log since ", moment(logUnavailableSince), ". What is shown is complete up to then; producers keep their events and deliver them afterwards."];
    } else if (name === "connecting" && !this.#banner.hidden) {
      return; // the next attempt is under way: keep what was said
    }
    this.#banner.hidden = said.length === 0;
    setContent(this.#banner, ...said);
  }
}
