// Ended sessions, newest first, a page at a time; only the first page follows what ends meanwhile.
import { read } from "./api.js";
import { byId, element, setText } from "./element.js";
import { itemsText } from "./session_card.js";
import { ENDED, statusBadge, statusLabel } from "./status.js";
import { short } from "./text.js";
import { dayTime, dollars, duration, exact, UNKNOWN, utc } from "./units.js";

const ROWS = 20;
const TYPING_MS = 250;

function rowOf(session) {
  const cell = (text, attributes = {}) => element("td", { class: "number", text, ...attributes });
  const error = session.last_error ? short(session.last_error, 500) : null;
  const link = element("a", {
    class: "name",
    href: `/monitor?session=${encodeURIComponent(session.session_id)}`,
    title: session.session_id,
    text: session.session_id,
  });
  return element(
    "tr",
    { "data-session": session.session_id, "data-status": session.status },
    element("td", {}, statusBadge(session.status)),
    element("th", { scope: "row" }, link, element("span", { class: "kind", text: session.kind ?? "" })),
    cell(itemsText(session)),
    cell(exact(session.errors), { title: error, class: session.errors > 0 ? "number wrong" : "number" }),
    cell(duration(session.duration_s)),
    cell(session.usage?.requests ? dollars(session.usage.cost_usd) : UNKNOWN, { class: "number wide-only" }),
    element("td", { class: "number" }, element("time", { text: dayTime(session.ended_at), title: utc(session.ended_at) })),
  );
}

export class History {
  #rows = byId("history-rows");
  #note = byId("history-note");
  #empty = byId("history-empty");
  #before = [null];
  #next = null;
  #shown = "";
  #asked = 0;

  constructor() {
    const select = byId("history-status");
    select.append(
      element("option", { value: "", text: "Any status" }),
      ...ENDED.map((value) => element("option", { value, text: statusLabel(value) })),
    );
    let typing = null;
    byId("history-filter").addEventListener("submit", (submitted) => submitted.preventDefault());
    byId("history-filter").addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.#go([null]), TYPING_MS);
    });
    byId("history-older").addEventListener("click", () => this.#go([...this.#before, this.#next]));
    byId("history-newer").addEventListener("click", () => this.#go(this.#before.slice(0, -1)));
  }

  /** Read the first page again; an older one that someone is reading stays. Throws ReadError. */
  async refresh() {
    if (this.#before.length === 1) await this.#load([null]);
  }

  async #go(before) {
    try {
      await this.#load(before);
    } catch (error) {
      setText(this.#note, `Could not be read: ${error.message}`);
    }
  }

  async #load(before) {
    const asked = ++this.#asked;
    const { body } = await read("/sessions/history", {
      limit: ROWS,
      before: before[before.length - 1],
      status: byId("history-status").value,
      q: byId("history-q").value.trim(),
    });
    if (asked !== this.#asked) return; // a later question has been put meanwhile
    this.#before = before;
    this.#next = body.next_before ?? null;
    this.#show(body.sessions);
  }

  #show(sessions) {
    const shown = JSON.stringify(sessions);
    if (shown !== this.#shown) {
      this.#shown = shown;
      this.#rows.replaceChildren(...sessions.map(rowOf));
    }
    const page = this.#before.length;
    setText(this.#note, "");
    setText(byId("history-page"), `Page ${page}`);
    byId("history-newer").disabled = page === 1;
    byId("history-older").disabled = this.#next === null;
    this.#empty.hidden = sessions.length > 0;
    const filtered = byId("history-q").value.trim() !== "" || byId("history-status").value !== "";
    setText(this.#empty, filtered ? "No ended session matches." : page > 1 ? "No older sessions." : "No session has ended yet.");
  }
}
