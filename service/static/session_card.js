// One session as a card: changed in place, so that nothing jumps and the focus stays where it is.
import { serverNow } from "./clock.js";
import { element, setAttribute, setText } from "./element.js";
import { hasEnded, showStatus, statusBadge, statusLabel } from "./status.js";
import { plain, short } from "./text.js";
import { TokenSpeed } from "./token_speed.js";
import { count, counted, dayTime, dollars, duration, elapsed, exact, percent, range, rate, UNKNOWN, utc } from "./units.js";

const MESSAGE = 300;
const FACTS = ["Items", "Elapsed", "Left", "Tokens", "Tokens / s", "Cost", "Engine", "Worker", "Errors"];

/** "7 of 120" or, where the total is not known, "7". */
export function itemsText(session) {
  const { items_done: done, total_items: total } = session;
  if (done === null && total === null) return UNKNOWN;
  return total === null ? exact(done) : `${done === null ? UNKNOWN : exact(done)} of ${exact(total)}`;
}

function engineText({ engine, model }) {
  return [engine, model].filter(Boolean).map((name) => short(name, 48)).join(" · ") || UNKNOWN;
}

function usageTitle(usage) {
  if (!usage?.requests) return null;
  const { requests, failed_requests: failed, input_tokens: input, output_tokens: output, cache_hits: hits } = usage;
  return `${counted(requests, "request")} (${exact(failed)} failed, ${exact(hits)} from cache), ${exact(input)} tokens in, ${exact(output)} out`;
}

export class SessionCard {
  #session = null;
  #readAt = 0;
  #past = false;
  #speed = new TokenSpeed();
  #badge = statusBadge(null);
  #percent = element("span", { class: "percent" });
  #fill = element("div", { class: "fill" });
  #bar = element("div", { class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, this.#fill);
  #link = element("a", { class: "name" });
  #kind = element("span", { class: "kind" });
  #step = element("bdi", { class: "step" });
  #message = element("bdi", { class: "message" });
  #errors = element("details", { class: "last-error", hidden: true });
  #errorLine = element("summary");
  #errorText = element("pre");
  #facts = new Map();
  #factList = element("dl", { class: "facts" });

  constructor() {
    for (const name of FACTS) {
      const [label, value] = [element("dt", { text: name }), element("dd")];
      const node = element("div", { "data-fact": name.toLowerCase() }, label, value);
      this.#facts.set(name, { label, value, node });
      this.#factList.append(node);
    }
    this.#errors.append(this.#errorLine, this.#errorText);
    this.node = element(
      "article",
      { class: "card" },
      element("header", {}, this.#badge, this.#link, this.#kind, this.#percent),
      this.#bar,
      element("p", { class: "now" }, this.#step, this.#message),
      this.#factList,
      this.#errors,
    );
  }

  /** `readAt` is performance.now() of the moment the server said so; what is `past` stands still. */
  show(session, readAt, { past = false } = {}) {
    this.#session = session;
    this.#past = past;
    this.#readAt = readAt;
    setAttribute(this.node, "data-session", session.session_id);
    setAttribute(this.node, "data-status", session.status);
    setAttribute(this.node, "data-ended", hasEnded(session.status) ? "" : null);
    showStatus(this.#badge, session.status);
    setText(this.#link, session.session_id);
    setAttribute(this.#link, "href", `/monitor?session=${encodeURIComponent(session.session_id)}`);
    setText(this.#kind, [session.kind, session.attempt > 1 ? `attempt ${session.attempt}` : null].filter(Boolean).join(" · "));
    this.#showProgress(session);
    setText(this.#step, session.step ? short(session.step, 64) : "");
    const said = session.reason && hasEnded(session.status) ? session.reason : session.message ?? "";
    setText(this.#message, short(said, MESSAGE));
    setAttribute(this.#message, "title", said.length > 60 ? short(said, 1000) : null);
    this.#showFacts(session);
    this.#showErrors(session);
    this.tick(readAt);
  }

  /** Let the time go on from what the server said; an ended session stands still. */
  tick(now) {
    const session = this.#session;
    if (session === null) return;
    if (hasEnded(session.status)) this.#fact("Elapsed", duration(session.duration_s));
    else this.#fact("Elapsed", elapsed(session.duration_s === null ? null : session.duration_s + (this.#past ? 0 : (now - this.#readAt) / 1000)));
    if (session.status === "stalled" && !this.#past) this.#fact("Left", elapsed(serverNow() - session.updated_at), utc(session.updated_at));
  }

  #showProgress(session) {
    const known = typeof session.progress === "number";
    const value = known ? Math.min(100, Math.max(0, session.progress)) : 0;
    setText(this.#percent, percent(session.progress));
    this.#fill.style.transform = `scaleX(${value / 100})`;
    this.#bar.classList.toggle("unknown", !known && !hasEnded(session.status));
    setAttribute(this.#bar, "aria-label", `Progress of ${session.session_id}`);
    setAttribute(this.#bar, "aria-valuenow", known ? Math.floor(value) : null);
    const items = itemsText(session);
    const amount = known ? percent(session.progress) : "progress not reported";
    setAttribute(this.#bar, "aria-valuetext", `${statusLabel(session.status)}, ${amount}${items === UNKNOWN ? "" : `, item ${items}`}`);
  }

  #showFacts(session) {
    const ended = hasEnded(session.status);
    this.#fact("Items", itemsText(session), session.failed_items > 0 ? `${counted(session.failed_items, "item")} failed` : null);
    setText(this.#facts.get("Elapsed").label, ended ? "Took" : "Elapsed");
    setText(this.#facts.get("Left").label, ended ? "Ended" : session.status === "stalled" && !this.#past ? "Silent for" : "Left");
    if (ended) this.#fact("Left", dayTime(session.ended_at), utc(session.ended_at));
    else this.#fact("Left", session.status === "running" && session.eta_s ? range(session.eta_s.low, session.eta_s.high) : UNKNOWN);
    this.#fact("Engine", engineText(session), engineText(session));
    const workers = (session.workers ?? []).map((worker) => short(worker, 64));
    const others = workers.length > 1 ? ` +${workers.length - 1}` : "";
    this.#fact("Worker", workers.length ? `${workers[workers.length - 1]}${others}` : UNKNOWN, workers.join(", "));
    this.#fact("Errors", exact(session.errors));
    this.#facts.get("Errors").value.classList.toggle("wrong", session.errors > 0);
    this.#showUsage(session);
  }

  /** Without a word about usage there is no row of it. */
  #showUsage(session) {
    const usage = session.usage?.requests ? session.usage : null;
    for (const name of ["Tokens", "Tokens / s", "Cost"]) this.#facts.get(name).node.hidden = usage === null;
    if (usage === null) return;
    const { speed, over } = this.#speed.of(session, this.#past ? null : this.#readAt);
    this.#fact("Tokens", count(usage.input_tokens + usage.output_tokens), usageTitle(usage));
    this.#fact("Tokens / s", rate(speed), `output tokens, ${over}`);
    this.#fact("Cost", dollars(usage.cost_usd));
  }

  #fact(name, text, title = null) {
    const { value } = this.#facts.get(name);
    setText(value, text);
    setAttribute(value, "title", title || null);
  }

  #showErrors(session) {
    this.#errors.hidden = session.errors === 0;
    if (session.errors === 0) return;
    const said = session.last_error ?? session.last_error_type ?? "no text was given";
    setText(this.#errorLine, `${counted(session.errors, "error")}: ${short(said, 120)}`);
    setText(this.#errorText, plain(said));
  }
}
