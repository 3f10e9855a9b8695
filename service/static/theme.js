// The theme: the system's until one is chosen. theme_first.js applies the choice before the first paint.
import { byId, setAttribute } from "./element.js";
import { keep, load } from "./storage.js";

const NAMES = { system: "System", light: "Light", dark: "Dark" };
const ORDER = Object.keys(NAMES);

export class Theme {
  #button = byId("theme");
  #name = ORDER.includes(load("theme")) ? load("theme") : "system";

  constructor() {
    this.#button.addEventListener("click", () => this.next());
    this.#show();
  }

  /** System, light, dark, and round again. */
  next() {
    this.#name = ORDER[(ORDER.indexOf(this.#name) + 1) % ORDER.length];
    keep("theme", this.#name === "system" ? null : this.#name);
    this.#show();
  }

  #show() {
    setAttribute(document.documentElement, "data-theme", this.#name === "system" ? null : this.#name);
    setAttribute(this.#button, "data-theme-name", this.#name);
    const next = NAMES[ORDER[(ORDER.indexOf(this.#name) + 1) % ORDER.length]];
    setAttribute(this.#button, "aria-label", `Theme: ${NAMES[this.#name]}. Switch to ${next}.`);
    this.#button.title = `Theme: ${NAMES[this.#name]} (t)`;
  }
}
