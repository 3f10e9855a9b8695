// The page's state in its own address: a link, a reload, back and forward bring back what was filtered and chosen.
//
// Names are PANEL.WORD ("log.text"), so that panels cannot meet; "session" is the whole page's. "#" is the fragment.

export class Address {
  #handlers = [];
  #shown = location.href;
  #typedIn = null;

  constructor() {
    addEventListener("popstate", () => this.#moved());
    addEventListener("hashchange", () => this.#moved());
    addEventListener("change", () => (this.#typedIn = null)); // left, or Enter
  }

  /** The value of a name, "" where the address has none. */
  get(name) {
    if (name === "#") return decoded(location.hash.slice(1));
    return new URLSearchParams(location.search).get(name) ?? "";
  }

  /**
   * Write what has changed, as {name: value}; "", null and false remove a name, true is "1".
   *
   * Each change is a step that back leads over, but what is typed into one control, `typedIn`, until it is left is
   * one. Write at once: what waits is lost to a reload, and a step back would lead too far. Handlers are not called:
   * whoever writes knows.
   */
  set(changes, { typedIn = null } = {}) {
    const href = this.href(changes);
    if (href === location.href) return;
    const goesOn = typedIn !== null && typedIn === this.#typedIn;
    this.#typedIn = typedIn;
    try {
      history[goesOn ? "replaceState" : "pushState"](null, "", href);
    } catch (error) {
      if (error.name !== "SecurityError") throw error; // Safari takes 100 writes in 30 s: a later one brings the rest
    }
    this.#shown = location.href;
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
    this.#typedIn = null;
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
