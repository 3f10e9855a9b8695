// The keyboard: one key for each thing a person does here, listed under "?". Never while something is being typed.
import { byId, element } from "./element.js";

const TYPING = "input:not([type=checkbox]), select, textarea, [contenteditable]";

export class Keys {
  #bindings;
  #dialog = byId("keys");

  /** `bindings` is [[key, what it does, () => …]]; "?" for the list is added. */
  constructor(bindings) {
    const all = [...bindings, ["?", "Show these keys", () => this.open()]];
    this.#bindings = new Map(all.map(([key, , run]) => [key, run]));
    byId("keys-list").append(...all.flatMap(([key, text]) => [element("dt", {}, element("kbd", { text: key })), element("dd", { text })]));
    byId("keys-open").addEventListener("click", () => this.open());
    document.addEventListener("keydown", (pressed) => this.#press(pressed));
  }

  open() {
    if (!this.#dialog.open) this.#dialog.showModal();
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
