// The fields over the live log: what is typed and chosen goes into the address, and comes back from there.
import { byId, element, setAttribute, setText } from "./element.js";
import { TYPES } from "./log_entry.js";

const TYPING_MS = 150; // then the lines are filtered
const FIELDS = ["text", "level", "type", "session", "worker"];
const LEVELS = [
  ["", "Any level"],
  ["info", "Without progress"],
  ["warning", "Warnings, errors"],
  ["error", "Errors"],
];

const field = (name) => byId(`log-${name}`);

export class LogControls {
  #address;
  #changed;
  #regex = byId("log-regex");
  #fault = byId("log-fault");
  #typing = null;

  /** `changed(fields)` is called with {text, regex, level, type, session, worker}. */
  constructor({ address, changed }) {
    this.#address = address;
    this.#changed = changed;
    const option = ([value, text]) => element("option", { value, text });
    field("level").append(...LEVELS.map(option));
    field("type").append(...[["", "Any type"], ...Object.entries(TYPES)].map(option));
    address.onMove(() => this.read());
    const form = byId("log-filter");
    form.addEventListener("submit", (submitted) => submitted.preventDefault());
    form.addEventListener("input", ({ target }) => this.#edited(target));
  }

  /** Take the filter from the address. */
  read() {
    clearTimeout(this.#typing);
    for (const name of FIELDS) field(name).value = this.#address.get(`log.${name}`);
    this.#regex.checked = this.#address.get("log.regex") !== "";
    this.#changed(this.#fields);
  }

  setSession(id) {
    field("session").value = id;
    this.#write();
    this.#changed(this.#fields);
  }

  /** Say beside the text what is wrong with it, "" for nothing. */
  showFault(fault) {
    this.#fault.hidden = fault === "";
    setText(this.#fault, fault);
    setAttribute(field("text"), "aria-invalid", fault === "" ? null : "true");
  }

  get #fields() {
    return { ...Object.fromEntries(FIELDS.map((name) => [name, field(name).value.trim()])), regex: this.#regex.checked };
  }

  /** The address has each letter at once. */
  #edited(target) {
    this.#write({ typedIn: target });
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#changed(this.#fields), TYPING_MS);
  }

  #write(how) {
    const values = Object.entries(this.#fields).map(([name, value]) => [`log.${name}`, value]);
    this.#address.set(Object.fromEntries(values), how);
  }
}
