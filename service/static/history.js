// Ended sessions, newest first, a page at a time; only the first page follows what ends meanwhile.
import { read } from "./api.js";
import { byId, element, setAttribute, setText } from "./element.js";
import { itemsText } from "./session_card.js";
import { ENDED, statusBadge, statusLabel } from "./status.js";
import { short } from "./text.js";
import { counted, dayTime, dollars, duration, exact, utc } from "./units.js";

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
    cell(dollars(session.usage?.cost_usd), { class: "number wide-only" }),
    element("td", { class: "number" }, element("time", { text: dayTime(session.ended_at), title: utc(session.ended_at) })),
  );
}

const ORDERS = [
  ["", "Newest first"],
  ["ended", "Oldest first"],
  ["-took", "Longest first"],
  ["-errors", "Most errors"],
  ["-cost", "Dearest first"],
  ["-items", "Most items"],
  ["session", "By name"],
  ["status", "By status"],
];

/** The next order of a column: one way round, the other, and the newest first again. */
function turned(order, name) {
  if (name === "ended") return order === name ? "" : name; // the newest first is the other way round
  const turns = name === "session" || name === "status" ? [name, `-${name}`] : [`-${name}`, name];
  return order === turns[0] ? turns[1] : order === turns[1] ? "" : turns[0];
}

export class History {
  #order = "";
  #choice = byId("history-sort");
  #heads = [...document.querySelectorAll("#history thead [data-sort]")];
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
    for (const head of this.#heads) {
      const button = element("button", { type: "button", text: head.textContent });
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        this.#sort(turned(this.#order, head.dataset.sort));
      });
    }
    this.#choice.addEventListener("input", (chosen) => {
      chosen.stopPropagation();
      this.#sort(this.#choice.value);
    });
    this.#choice.append(...ORDERS.map(([value, text]) => element("option", { value, text })));
    byId("history-older").addEventListener("click", () => this.#go([...this.#before, this.#next]));
    byId("history-newer").addEventListener("click", () => this.#go(this.#before.slice(0, -1)));
  }

  #sort(order) {
    this.#order = order;
    this.#choice.value = order; // none of its options where it has no such order
    this.#go([null]);
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
      [this.#order === "" ? "before" : "offset"]: before[before.length - 1],
      sort: this.#order,
      status: byId("history-status").value,
      q: byId("history-q").value.trim(),
    });
    if (asked !== this.#asked) return; // a later question has been put meanwhile
    this.#before = before;
    this.#next = (this.#order === "" ? body.next_before : body.next_offset) ?? null;
    this.#show(body.sessions, body.total);
  }

  #show(sessions, total) {
    const shown = JSON.stringify(sessions);
    if (shown !== this.#shown) {
      this.#shown = shown;
      this.#rows.replaceChildren(...sessions.map(rowOf));
    }
    const page = this.#before.length;
    setText(this.#note, total > 0 ? counted(total, "session") : "");
    for (const head of this.#heads) {
      const [ascending, descending] = [this.#order === head.dataset.sort, this.#order === `-${head.dataset.sort}`];
      const newest = this.#order === "" && head.dataset.sort === "ended";
      setAttribute(head, "aria-sort", ascending ? "ascending" : descending || newest ? "descending" : null);
    }
    setText(byId("history-page"), `Page ${page}`);
    byId("history-newer").disabled = page === 1;
    byId("history-older").disabled = this.#next === null;
    this.#empty.hidden = sessions.length > 0;
    const filtered = byId("history-q").value.trim() !== "" || byId("history-status").value !== "";
    setText(this.#empty, filtered ? "No ended session matches." : page > 1 ? "No older sessions." : "No session has ended yet.");
  }
}
