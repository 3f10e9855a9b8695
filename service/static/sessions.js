// The sessions the page shows: always what the server says of them, read again when events say they changed.
import { read, ReadError } from "./api.js";
import { serverNow } from "./clock.js";
import { byId, element, setText } from "./element.js";
import { SessionCard } from "./session_card.js";
import { count, counted } from "./units.js";
import { Welcome } from "./welcome.js";

const CARDS = 100; // more would be neither readable nor quick; the rest are counted and searchable
const ENDED_CARDS = 6;
const ENDED_WITHIN_S = 900;

const COUNTS = [
  ["Active", ["running", "stalled"], "running"],
  ["Completed", ["completed"], "completed"],
  ["With failures", ["completed_with_failures"], "completed_with_failures"],
  ["Failed", ["failed", "lost", "timed_out"], "failed"],
  ["Cancelled", ["cancelled"], "cancelled"],
];

export class Sessions {
  #only;
  #cards = new Map();
  #seenActive = new Set();
  #counts = new Map();
  #list = byId("session-cards");
  #empty = byId("sessions-empty");
  #note = byId("sessions-note");
  #ids = byId("session-ids");
  #welcome = new Welcome();
  summary = { active: 0, newest: null, ended: [] };
  active = [];
  /** The addresses elsewhere that `/status` tells. */
  links = null;

  /** `only` is the session the page is narrowed to, or null; `showEnded` is called with statuses to look for. */
  constructor({ only, showEnded }) {
    this.#only = only;
    setText(byId("sessions-title"), only === null ? "Sessions" : "Session");
    for (const [label, statuses, tone] of COUNTS) {
      const value = element("b", { text: "–" });
      this.#counts.set(label, value);
      const button = element("button", { type: "button", class: "count", "data-status": tone, "data-count": label.toLowerCase() }, value, element("span", { text: label }));
      button.title = tone === "running" ? "Show them" : "Show them in the history";
      button.addEventListener("click", () => (tone === "running" ? byId("sessions").focus() : showEnded(statuses)));
      byId("counts").append(button);
    }
    this.#list.classList.toggle("single", only !== null);
  }

  /** Read the server's truth and show it. Throws ReadError; what is shown then stays as it was. */
  async refresh() {
    const [shown, status] = await Promise.all([this.#only === null ? this.#readAll() : this.#readOne(), read("/status")]);
    const readAt = performance.now();
    this.links = status.body.links ?? null;
    this.#show(shown.sessions.slice(0, CARDS), readAt, this.links);
    this.#showCounts(status.body.sessions ?? {});
    const isNew = this.#only === null && shown.sessions.length === 0 && status.body.event_log.last_seq === 0;
    this.#welcome.show(isNew);
    this.#describe(shown, isNew);
    const newest = shown.sessions[0] ?? null;
    this.summary = { active: shown.active, newest, ended: shown.ended };
    this.active = shown.sessions.filter((session) => session.ended_at === null);
  }

  /** Let the clocks of the cards go on. */
  tick() {
    const now = performance.now();
    this.#cards.forEach((card) => card.tick(now));
  }

  async #readAll() {
    const [active, ended] = await Promise.all([read("/sessions"), read("/sessions/history", { limit: 20 })]);
    // What stands still comes first, where one looks; the rest in the order in which they began.
    const isStalled = (session) => Number(session.status === "stalled");
    const running = active.body.sessions.sort((a, b) => isStalled(b) - isStalled(a) || b.started_at - a.started_at || b.first_seq - a.first_seq);
    const runningIds = new Set(running.map((session) => session.session_id));
    const recent = ended.body.sessions.filter(
      (session) =>
        !runningIds.has(session.session_id) &&
        (this.#seenActive.has(session.session_id) || serverNow() - session.ended_at < ENDED_WITHIN_S),
    );
    this.#seenActive = new Set([...runningIds, ...recent.map((session) => session.session_id)]);
    return { sessions: [...running, ...recent.slice(0, ENDED_CARDS)], active: running.length, ended: ended.body.sessions, lag: active.lag };
  }

  async #readOne() {
    try {
      const { body, lag } = await read(`/sessions/${encodeURIComponent(this.#only)}`);
      const hasEnded = body.ended_at !== null;
      return { sessions: [body], active: hasEnded ? 0 : 1, ended: hasEnded ? [body] : [], lag };
    } catch (error) {
      if (error instanceof ReadError && error.status === 404) return { sessions: [], active: 0, ended: [], lag: 0 };
      throw error;
    }
  }

  #show(sessions, readAt, links) {
    const wanted = new Set(sessions.map((session) => session.session_id));
    for (const [id, card] of this.#cards) {
      if (!wanted.has(id)) {
        card.node.remove();
        this.#cards.delete(id);
      }
    }
    sessions.forEach((session, place) => {
      let card = this.#cards.get(session.session_id);
      if (card === undefined) {
        card = new SessionCard();
        this.#cards.set(session.session_id, card);
      }
      // Alone on its page a session has its links in the course.
      card.show(session, readAt, { links: this.#only === null ? links : null });
      const there = this.#list.children[place];
      if (there !== card.node) this.#list.insertBefore(card.node, there ?? null);
    });
    const ids = [...wanted].join("\n");
    if (this.#ids.dataset.ids !== ids) {
      this.#ids.dataset.ids = ids;
      this.#ids.replaceChildren(...[...wanted].map((value) => element("option", { value })));
    }
  }

  #showCounts(byStatus) {
    for (const [label, statuses] of COUNTS) {
      const known = statuses.every((status) => typeof byStatus[status] === "number");
      const sum = statuses.reduce((total, status) => total + byStatus[status], 0);
      setText(this.#counts.get(label), known ? count(sum) : "–");
      this.#counts.get(label).classList.toggle("none", sum === 0);
    }
  }

  #describe({ sessions, active, lag }, isNew) {
    const more = sessions.length - CARDS;
    const parts = [];
    const stalled = sessions.filter((session) => session.status === "stalled").length;
    if (this.#only === null && active > 0) parts.push(`${active} active`);
    if (stalled > 0) parts.push(`${stalled} stalled`);
    if (more > 0) parts.push(`${more} more are not shown`);
    if (lag > 0) parts.push(`${counted(lag, "event")} behind`);
    setText(this.#note, parts.join(" · "));
    this.#empty.hidden = sessions.length > 0 || isNew;
    setText(
      this.#empty,
      this.#only === null
        ? "Nothing is being translated. A session appears here with its first event."
        : `No event of “${this.#only}” has come yet. It appears here with its first one.`,
    );
  }
}
