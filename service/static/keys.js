// The keyboard: one key for each thing a person does here, listed under "?". Never while something is being typed.
import { byId, element } from "./element.js";

const TYPING = "input:not([type=checkbox], [type=range]), select, textarea, [contenteditable]";

export class Keys {
  #bindings = new Map();
  #dialog = byId("keys");

  /**
   * `groups` is [[heading, [[key, what it does, () => …]]]], in the order of the list.
   *
   * A row without a function names a key that works where the focus is, by the element's own doing.
   */
  constructor(groups) {
    for (const [heading, rows] of groups) {
      const list = element("dl");
      for (const [key, text, run] of rows) {
        if (run !== undefined) this.#bindings.set(key, run);
        const keys = key.split(" ").map((one) => element("kbd", { text: one }));
        list.append(element("dt", { "data-key": run === undefined ? null : key }, ...keys), element("dd", { text }));
      }
      byId("keys-list").append(element("section", {}, element("h3", { text: heading }), list));
    }
    byId("keys-open").addEventListener("click", () => this.open());
    document.addEventListener("keydown", (pressed) => this.#press(pressed));
  }

  open() {
    if (this.#dialog.open) return;
    this.#dialog.showModal();
    this.#dialog.scrollTop = 0; // the button that has the focus is at its end
  }

  #press(pressed) {
    if (pressed.ctrlKey || pressed.metaKey || pressed.altKey || pressed.isComposing || pressed.defaultPrevented) return;
    if (pressed.target.closest(TYPING) !== null || document.querySelector("dialog[open]") !== null) return;
    const run = this.#bindings.get(pressed.key);
    if (run === undefined) return;
    pressed.preventDefault(); // or "/" would be typed into the field that it leads to
    run();
  }
}
