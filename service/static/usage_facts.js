// What a session has consumed and what that cost, as far as its producer told.
import { byId, setText } from "./element.js";
import { Fact } from "./fact.js";
import { dollars, duration, exact, rate, UNKNOWN } from "./units.js";

const NAMES = ["Cost", "Tokens in", "Tokens out", "Tokens out / s", "Cost / 1,000 items", "Requests", "From cache", "Model time"];

export class UsageFacts {
  #facts = new Map();
  #note = byId("session-usage-note");

  constructor() {
    for (const name of NAMES) {
      const fact = new Fact(name, { "data-usage": name.toLowerCase() });
      fact.show(UNKNOWN);
      this.#facts.set(name, fact);
      byId("session-usage").append(fact.node);
    }
  }

  /** Of a session as `/sessions` shows it, or null where its usage is not known. */
  show(session) {
    const usage = session?.usage ?? null;
    const told = usage !== null && usage.requests > 0;
    const items = session?.items_done ?? 0;
    const lookups = told ? usage.cache_hits + usage.cache_misses : 0;
    this.#fact("Cost", dollars(usage?.cost_usd));
    this.#fact("Tokens in", told ? exact(usage.input_tokens) : UNKNOWN);
    this.#fact("Tokens out", told ? exact(usage.output_tokens) : UNKNOWN);
    this.#fact("Tokens out / s", told && usage.duration_s > 0 ? rate(usage.output_tokens / usage.duration_s) : UNKNOWN, "tokens out over the seconds the model worked");
    this.#fact("Cost / 1,000 items", items > 0 ? dollars((usage?.cost_usd / items) * 1000) : UNKNOWN);
    this.#fact("Requests", told ? `${exact(usage.requests)}${usage.failed_requests > 0 ? `, ${exact(usage.failed_requests)} failed` : ""}` : UNKNOWN);
    this.#fact("From cache", lookups > 0 ? `${exact(usage.cache_hits)} of ${exact(lookups)}` : UNKNOWN);
    this.#fact("Model time", told && usage.duration_s > 0 ? duration(usage.duration_s) : UNKNOWN);
    setText(this.#note, told ? "" : usage === null ? "not known for this moment" : "none reported");
  }

  #fact(name, text, title = null) {
    this.#facts.get(name).show(text, title);
  }
}
