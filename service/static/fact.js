// One named figure of a card, changed in place; what is not known is said, and looks like it.
import { element, setAttribute, setText } from "./element.js";
import { showMoment } from "./moment.js";
import { UNKNOWN } from "./units.js";

export class Fact {
  #label;
  #time = null;
  value = element("dd", { dir: "auto" }); // a text of another direction shows its beginning

  /** `attributes` are the row's: data-fact and the like. */
  constructor(name, attributes = {}) {
    this.#label = element("dt", { text: name });
    this.node = element("div", attributes, this.#label, this.value);
  }

  set name(text) {
    setText(this.#label, text);
  }

  set hidden(hidden) {
    this.node.hidden = hidden;
  }

  /** Text, and what the tooltip says of it. */
  show(text, title = null) {
    if (this.#time !== null) this.value.replaceChildren();
    this.#time = null;
    setText(this.value, text);
    setAttribute(this.value, "title", title || null);
    this.value.classList.toggle("unknown", text === UNKNOWN);
  }

  /** A time told in `words`, or how long ago it is; without one `otherwise`. */
  showTime(at, words, otherwise = UNKNOWN) {
    if (typeof at !== "number") {
      this.show(otherwise);
      return;
    }
    if (this.#time === null) {
      this.#time = element("time");
      this.value.replaceChildren(this.#time);
      setAttribute(this.value, "title", null);
      this.value.classList.remove("unknown");
    }
    showMoment(this.#time, at, words);
  }
}
