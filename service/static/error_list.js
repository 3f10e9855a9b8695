// The errors of a session before everything else about it, the newest first; each leads to the moment it came.
import { byId, element, setText } from "./element.js";
import { moment } from "./moment.js";
import { clip, short } from "./text.js";
import { clockTime, counted } from "./units.js";

const SHOWN = 20;
const TEXT = 400;

export class ErrorList {
  #section = byId("session-errors-section");
  #list = byId("session-errors");
  #note = byId("session-errors-note");
  #drawn = "";
  #go;

  /** `go` is called with the index of the error one wants to look at. */
  constructor({ go }) {
    this.#go = go;
  }

  /** Those of a `Course` up to an index (null: all); `unsure` where earlier ones may have been forgotten. */
  show({ errors, errorCount }, index, unsure) {
    const known = errors.filter((error) => index === null || error.index <= index);
    const count = errorCount - (errors.length - known.length);
    const rows = known.slice(-SHOWN).reverse();
    const drawn = JSON.stringify([count, unsure, rows]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#section.hidden = count === 0;
    const shown = rows.length < count ? `, the newest ${rows.length} shown` : "";
    setText(this.#note, `${unsure ? "at least " : ""}${counted(count, "error")}${shown}`);
    this.#list.replaceChildren(...rows.map((row) => this.#rowOf(row)));
  }

  #rowOf({ index, seq, time, text, type, step }) {
    const said = clip(text ?? "no text was given", TEXT);
    const button = element("button", { type: "button", "aria-label": `See the session at event ${seq}, ${clockTime(time)}` }, moment(time));
    button.addEventListener("click", () => this.#go(index));
    return element(
      "li",
      { "data-seq": seq },
      button,
      element("span", { class: "error-type", text: type.replaceAll("_", " ") }),
      step === null ? null : element("bdi", { class: "step", text: short(step, 48) }),
      element("bdi", { class: "error-text", title: said.text, text: `${said.text}${said.more > 0 ? " …" : ""}` }),
    );
  }
}
