// Ended sessions, newest first, a page at a time; only the first page follows what ends meanwhile.
import { read, ReadError } from "./api.js";
import { byId, element, setAttribute, setText } from "./element.js";
import { moment } from "./moment.js";
import { itemsText } from "./session_card.js";
import { ENDED, statusBadge, statusLabel } from "./status.js";
import { short } from "./text.js";
import { counted, dayTime, dollars, duration, exact, UNKNOWN } from "./units.js";

const ROWS = 20;
const TYPING_MS = 250;
const MOST_PAGES = 1000; // an address may be typed

function rowOf(session) {
  const cell = (text, { wide = false, wrong = false, title = null } = {}) => {
    const kinds = ["number", wide ? "wide-only" : "", wrong ? "wrong" : "", text === UNKNOWN ? "unknown" : ""];
    return element("td", { class: kinds.filter(Boolean).join(" "), text, title });
  };
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
    cell(exact(session.errors), { title: error, wrong: session.errors > 0 }),
    cell(duration(session.duration_s)),
    cell(dollars(session.usage?.cost_usd), { wide: true }),
    element("td", { class: "number" }, moment(session.ended_at, dayTime)),
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

const FAILED = "failed,lost,timed_out"; // what the count of the failed counts

/** The next order of a column: one way round, the other, and the newest first again. */
function turned(order, name) {
  if (name === "ended") return order === name ? "" : name; // the newest first is the other way round
  const turns = name === "session" || name === "status" ? [name, `-${name}`] : [`-${name}`, name];
  return order === turns[0] ? turns[1] : order === turns[1] ? "" : turns[0];
}

/** The places of the pages before a page and its own, where only its number is known. */
function placesUpTo(page) {
  return Array.from({ length: page }, (_, place) => (place === 0 ? {} : { offset: place * ROWS }));
}

export class History {
  #address;
  #order = "";
  #choice = byId("history-sort");
  #status = byId("history-status");
  #search = byId("history-q");
  #heads = [...document.querySelectorAll("#history thead [data-sort]")];
  #rows = byId("history-rows");
  #note = byId("history-note");
  #empty = byId("history-empty");
  #places = [{}]; // of each page up to the one shown: {before} or {offset}
  #next = null;
  #shown = "";
  #asked = 0;

  constructor({ address }) {
    this.#address = address;
    this.#status.append(
      element("option", { value: "", text: "Any status" }),
      element("option", { value: FAILED, text: "Failed, lost or timed out" }),
      ...ENDED.map((value) => element("option", { value, text: statusLabel(value) })),
    );
    let typing = null;
    byId("history-filter").addEventListener("submit", (submitted) => submitted.preventDefault());
    byId("history-filter").addEventListener("input", ({ target }) => {
      address.set({ "history.q": this.#search.value.trim(), "history.status": this.#status.value, "history.page": "" }, { typedIn: target });
      clearTimeout(typing);
      typing = setTimeout(() => this.#go([{}]), TYPING_MS);
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
    byId("history-older").addEventListener("click", () => this.#go([...this.#places, this.#next]));
    byId("history-newer").addEventListener("click", () => this.#go(this.#places.slice(0, -1)));
    this.#readAddress();
    address.onMove(() => {
      this.#readAddress();
      this.#go(this.#places, { write: false });
    });
  }

  /** Show the first page of those that ended so. */
  filterBy(statuses) {
    this.#status.value = statuses.join(",");
    this.#search.value = "";
    this.#go([{}]);
  }

  #sort(order) {
    this.#order = order;
    this.#choice.value = order; // none of its options where it has no such order
    this.#go([{}]);
  }

  #readAddress() {
    this.#search.value = this.#address.get("history.q");
    this.#status.value = this.#address.get("history.status");
    if (this.#status.selectedIndex === -1) this.#status.value = "";
    const order = this.#address.get("history.sort");
    this.#order = this.#heads.some((head) => order === head.dataset.sort || order === `-${head.dataset.sort}`) ? order : "";
    this.#choice.value = this.#order;
    const page = Number(this.#address.get("history.page"));
    this.#places = placesUpTo(Number.isInteger(page) && page > 1 && page <= MOST_PAGES ? page : 1);
  }

  #writeAddress() {
    const page = this.#places.length;
    this.#address.set({ "history.q": this.#search.value.trim(), "history.status": this.#status.value, "history.sort": this.#order, "history.page": page > 1 ? page : "" });
  }

  /** Read the first page again; an older one that someone is reading stays. Throws ReadError. */
  async refresh() {
    if (this.#places.length === 1 || this.#shown === "") await this.#load(this.#places);
  }

  async #go(places, { write = true } = {}) {
    try {
      if ((await this.#load(places)) && write) this.#writeAddress();
    } catch (error) {
      if (!(error instanceof ReadError)) throw error;
      setText(this.#note, `Could not be read: ${error.message}`);
    }
  }

  /** True where this was the last question put. */
  async #load(places) {
    const asked = ++this.#asked;
    const { body } = await read("/sessions/history", {
      limit: ROWS,
      ...places[places.length - 1],
      sort: this.#order,
      status: this.#status.value,
      q: this.#search.value.trim(),
    });
    if (asked !== this.#asked) return false; // a later one has been put meanwhile
    this.#places = places;
    const { next_before: before, next_offset: offset } = body;
    this.#next = before !== null ? { before } : offset !== null ? { offset } : null;
    this.#show(body.sessions, body.total);
    return true;
  }

  #show(sessions, total) {
    const shown = JSON.stringify(sessions);
    if (shown !== this.#shown) {
      this.#shown = shown;
      this.#rows.replaceChildren(...sessions.map(rowOf));
    }
    const page = this.#places.length;
    setText(this.#note, total > 0 ? counted(total, "session") : "");
    for (const head of this.#heads) {
      const [ascending, descending] = [this.#order === head.dataset.sort, this.#order === `-${head.dataset.sort}`];
      const newest = this.#order === "" && head.dataset.sort === "ended";
      setAttribute(head, "aria-sort", ascending ? "ascending" : descending || newest ? "descending" : null);
    }
    setText(byId("history-page"), `Page ${page}${total > ROWS ? ` of ${Math.ceil(total / ROWS)}` : ""}`);
    byId("history-newer").disabled = page === 1;
    byId("history-older").disabled = this.#next === null;
    this.#empty.hidden = sessions.length > 0;
    const filtered = this.#search.value.trim() !== "" || this.#status.value !== "";
    setText(this.#empty, filtered ? "No ended session matches." : page > 1 ? "No older sessions." : "No session has ended yet.");
  }
}
