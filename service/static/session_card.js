// One session as a card: changed in place, so that nothing jumps and the focus stays where it is.
import { element, setAttribute, setText } from "./element.js";
import { hasEnded, showStatus, statusBadge, statusLabel } from "./status.js";
import { plain, short } from "./text.js";
import { count, counted, dayTime, dollars, duration, elapsed, exact, percent, range, UNKNOWN, utc } from "./units.js";

const MESSAGE = 300;

/** "7 of 120" or, where the total is not known, "7". */
export function itemsText(session) {
  const { items_done: done, total_items: total } = session;
  if (done === null && total === null) return UNKNOWN;
  return total === null ? exact(done) : `${done === null ? UNKNOWN : exact(done)} of ${exact(total)}`;
}

function engineText({ engine, model }) {
  return [engine, model].filter(Boolean).map((name) => short(name, 48)).join(" · ") || UNKNOWN;
}

/** Tokens and what they cost, as far as the producer told. */
function usageText(usage) {
  if (!usage?.requests) return UNKNOWN;
  const tokens = usage.input_tokens + usage.output_tokens;
  const parts = [tokens > 0 ? `${count(tokens)} tok` : counted(usage.requests, "request")];
  if (usage.cost_usd > 0) parts.push(dollars(usage.cost_usd));
  return parts.join(" · ");
}

function usageTitle(usage) {
  if (!usage?.requests) return null;
  const { requests, failed_requests: failed, input_tokens: input, output_tokens: output, cache_hits: hits } = usage;
  return `${counted(requests, "request")} (${exact(failed)} failed, ${exact(hits)} from cache), ${exact(input)} tokens in, ${exact(output)} out`;
}

export class SessionCard {
  #session = null;
  #readAt = 0;
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
    for (const name of ["Items", "Elapsed", "Left", "Usage", "Engine", "Worker"]) {
      const value = element("dd");
      this.#facts.set(name, { value, label: element("dt", { text: name }) });
      this.#factList.append(element("div", { "data-fact": name.toLowerCase() }, this.#facts.get(name).label, value));
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

  /** `readAt` is performance.now() of the moment the server said so. */
  show(session, readAt) {
    this.#session = session;
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

  /** Stand still: what is shown is the past. */
  hold() {
    if (!hasEnded(this.#session.status)) this.#fact("Elapsed", elapsed(this.#session.duration_s));
    this.#session = null;
  }

  /** Let the time go on from what the server said; an ended session stands still. */
  tick(now) {
    const session = this.#session;
    if (session === null) return;
    if (hasEnded(session.status)) this.#fact("Elapsed", duration(session.duration_s));
    else if (session.duration_s !== null) this.#fact("Elapsed", elapsed(session.duration_s + (now - this.#readAt) / 1000));
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
    setText(this.#facts.get("Left").label, ended ? "Ended" : "Left");
    if (ended) this.#fact("Left", dayTime(session.ended_at), utc(session.ended_at));
    else this.#fact("Left", session.status === "running" && session.eta_s ? range(session.eta_s.low, session.eta_s.high) : UNKNOWN);
    this.#fact("Engine", engineText(session), engineText(session));
    const workers = (session.workers ?? []).map((worker) => short(worker, 64));
    const others = workers.length > 1 ? ` +${workers.length - 1}` : "";
    this.#fact("Worker", workers.length ? `${workers[workers.length - 1]}${others}` : UNKNOWN, workers.join(", "));
    this.#fact("Usage", usageText(session.usage), usageTitle(session.usage));
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
