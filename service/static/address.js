// The page's state in its own address: a link, a reload, back and forward bring back what was filtered and chosen.
//
// Names are PANEL.WORD ("log.text"), so that panels cannot meet; "session" is the whole page's. "#" is the fragment.

const STEP_AFTER_MS = 2000; // the letters of one word typed are one step of the history, not five

export class Address {
  #handlers = [];
  #shown = location.href;
  #written = "";
  #writtenAt = -Infinity;

  constructor() {
    addEventListener("popstate", () => this.#moved());
    addEventListener("hashchange", () => this.#moved());
  }

  /** The value of a name, "" where the address has none. */
  get(name) {
    if (name === "#") return decoded(location.hash.slice(1));
    return new URLSearchParams(location.search).get(name) ?? "";
  }

  /**
   * Write what has changed, as {name: value}; "", null and false remove a name, true is "1".
   *
   * A change is a step back leads over, unless the same names were written a moment ago or `step` is false. Write
   * once somebody has settled on a value, not for every movement: browsers refuse more than 100 writes in 30 s.
   * Handlers are not called: whoever writes knows.
   */
  set(changes, { step = true } = {}) {
    const href = this.href(changes);
    if (href === location.href) return;
    const names = Object.keys(changes).filter((name) => this.get(name) !== textOf(changes[name])).join();
    const now = performance.now();
    const goesOn = names === this.#written && now - this.#writtenAt < STEP_AFTER_MS;
    this.#written = names;
    this.#writtenAt = now;
    this.#shown = href;
    history[step && !goesOn ? "pushState" : "replaceState"](null, "", href);
  }

  /** The address with these changes: for a link. */
  href(changes) {
    const url = new URL(location.href);
    for (const [name, value] of Object.entries(changes)) {
      const text = textOf(value);
      if (name === "#") url.hash = text;
      else if (text === "") url.searchParams.delete(name);
      else url.searchParams.set(name, text);
    }
    return url.href;
  }

  /** Have `handler()` called after back, forward or a followed #link: read what you own again. */
  onMove(handler) {
    this.#handlers.push(handler);
  }

  #moved() {
    if (location.href === this.#shown) return; // both events come for one move
    this.#shown = location.href;
    this.#written = "";
    this.#handlers.forEach((handler) => handler());
  }
}

const textOf = (value) => (value === true ? "1" : value === false ? "" : String(value ?? ""));

/** A fragment somebody typed may be no valid percent-encoding. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
