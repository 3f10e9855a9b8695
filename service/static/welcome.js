// What to do next, where nothing has ever come: commands to copy, with this server's own address.
import { copyButton } from "./clipboard.js";
import { byId, element } from "./element.js";

const STEPS = [
  ["Translate a text and watch it here", (monitor) => `translation-monitor translate README.md -o README.es.md \\\n  --from en --to es --monitor ${monitor}`],
  ["Report from a program of your own, in any language", (monitor) => `curl ${monitor}/events -H 'Content-Type: application/json' \\\n  -d '{"type":"translation_started","session_id":"first"}'`],
  ["Look for faults, if nothing comes", () => "translation-monitor doctor"],
];

export class Welcome {
  #place = byId("welcome");

  /** Made where it is needed for the first time: most pages never show it. */
  show(shown) {
    if (shown && this.#place.childElementCount === 0) {
      this.#place.append(element("h3", { text: "Nothing has come yet" }), element("p", { class: "note", text: "A session appears here with its first event. To begin:" }), ...STEPS.map(stepOf));
    }
    this.#place.hidden = !shown;
  }
}

function stepOf([label, commandOf]) {
  const command = commandOf(location.origin);
  const line = element("div", { class: "command" }, element("code", { text: command }), copyButton(`Copy: ${label}`, () => command));
  return element("section", {}, element("p", { text: label }), line);
}
