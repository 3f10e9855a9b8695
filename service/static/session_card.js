// One session as a card: changed in place, so that nothing jumps and the focus stays where it is.
import { serverNow } from "./clock.js";
import { copyButton } from "./clipboard.js";
import { element, setAttribute, setText } from "./element.js";
import { Fact } from "./fact.js";
import { showMoment } from "./moment.js";
import { SessionLinks } from "./session_links.js";
import { hasEnded, showStatus, statusBadge, statusLabel } from "./status.js";
import { plain, short } from "./text.js";
import { TokenSpeed } from "./token_speed.js";
import { ago, clockTime, count, counted, dayTime, dollars, duration, elapsed, exact, percent, range, rate, UNKNOWN, utc } from "./units.js";

const MESSAGE = 300;
const ETA_KNOWN = "What is left at the pace of the newest items: of the faster quarter – of the slower one";
const ETA_UNKNOWN = "Not known before 5 items are done and the total is told";
const FACTS = ["Items", "Elapsed", "Left", "Tokens", "Tokens / s", "Cost", "Engine", "Worker", "Errors"];

/** "7 of 120", or "7" and "? of 120" where one of both is not known. */
export function itemsText(session) {
  const { items_done: done, total_items: total } = session;
  if (done === null && total === null) return UNKNOWN;
  return total === null ? exact(done) : `${done === null ? "?" : exact(done)} of ${exact(total)}`;
}

/** What the tooltip adds: how many failed, and what is not known. */
function itemsTitle({ items_done: done, total_items: total, failed_items: failed }) {
  const parts = [];
  if (failed > 0) parts.push(`${counted(failed, "item")} failed`);
  if (done === null && total !== null) parts.push("how many are done is not known");
  if (total === null && done !== null) parts.push("the total is not known");
  return parts.join(", ") || null;
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
  #lastEvent = element("time");
  #links = new SessionLinks({ text: true });

  constructor() {
    for (const name of FACTS) {
      const fact = new Fact(name, { "data-fact": name.toLowerCase() });
      this.#facts.set(name, fact);
      this.#factList.append(fact.node);
    }
    this.#errors.append(this.#errorLine, this.#errorText);
    this.#links.node.prepend(copyButton("Copy id of the session", () => this.#session.session_id, "Copy id"));
    this.node = element(
      "article",
      { class: "card" },
      element("header", {}, this.#badge, this.#link, this.#percent),
      this.#bar,
      element("p", { class: "now" }, this.#step, this.#message),
      this.#factList,
      this.#errors,
      element("footer", {}, element("span", { class: "last-event" }, this.#kind, "last event ", this.#lastEvent), this.#links.node),
    );
  }

  /** `readAt` is performance.now() of the moment the server said so; what is `past` stands still. */
  show(session, readAt, { past = false, links = null } = {}) {
    this.#session = session;
    this.#links.show(session.session_id, session, links, { past });
    this.#past = past;
    this.#readAt = readAt;
    setAttribute(this.node, "data-session", session.session_id);
    setAttribute(this.node, "data-status", session.status);
    setAttribute(this.node, "data-ended", hasEnded(session.status) ? "" : null);
    showStatus(this.#badge, session.status);
    setText(this.#link, session.session_id);
    setAttribute(this.#link, "href", `/monitor?session=${encodeURIComponent(session.session_id)}`);
    setText(this.#kind, [session.kind, session.attempt > 1 ? `attempt ${session.attempt}` : null].filter(Boolean).map((part) => `${part} · `).join(""));
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
    const began = typeof session.started_at === "number" ? `Began ${dayTime(session.started_at)}, ${utc(session.started_at)}` : null;
    if (hasEnded(session.status)) this.#fact("Elapsed", duration(session.duration_s), began);
    else this.#fact("Elapsed", elapsed(session.duration_s === null ? null : session.duration_s + (this.#past ? 0 : (now - this.#readAt) / 1000)), began);
    const isSilent = session.status === "stalled" && !this.#past;
    if (isSilent) this.#facts.get("Left").showTime(session.updated_at, elapsed(serverNow() - session.updated_at));
    showMoment(this.#lastEvent, session.updated_at, this.#past ? clockTime : ago(session.updated_at, serverNow()));
  }

  #showProgress(session) {
    const known = typeof session.progress === "number";
    const value = known ? Math.min(100, Math.max(0, session.progress)) : 0;
    setText(this.#percent, percent(session.progress));
    this.#percent.classList.toggle("unknown", !known);
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
    this.#fact("Items", itemsText(session), itemsTitle(session));
    this.#facts.get("Elapsed").name = ended ? "Took" : "Elapsed";
    this.#facts.get("Left").name = ended ? "Ended" : session.status === "stalled" && !this.#past ? "Silent for" : "Left";
    const eta = session.status === "running" ? session.eta_s : null;
    if (ended) this.#facts.get("Left").showTime(session.ended_at, dayTime);
    else this.#fact("Left", eta ? range(eta.low, eta.high) : UNKNOWN, eta ? ETA_KNOWN : ETA_UNKNOWN);
    this.#fact("Engine", engineText(session), engineText(session));
    const workers = (session.workers ?? []).map((worker) => short(worker, 64));
    const others = workers.length > 1 ? ` +${workers.length - 1}` : "";
    this.#fact("Worker", workers.length ? `${workers[workers.length - 1]}${others}` : "none named", workers.join(", "));
    const failed = session.failed_items > 0 ? ` · ${exact(session.failed_items)} failed` : "";
    this.#fact("Errors", `${exact(session.errors)}${failed}`, failed ? `${counted(session.failed_items, "item")} failed` : null);
    this.#facts.get("Errors").value.classList.toggle("wrong", session.errors > 0 || failed !== "");
    this.#showUsage(session);
  }

  /** Without a word about usage there is no row of it. */
  #showUsage(session) {
    const usage = session.usage?.requests ? session.usage : null;
    for (const name of ["Tokens", "Tokens / s", "Cost"]) this.#facts.get(name).hidden = usage === null;
    if (usage === null) return;
    const { speed, over } = this.#speed.of(session, this.#past ? null : this.#readAt);
    this.#fact("Tokens", count(usage.input_tokens + usage.output_tokens), usageTitle(usage));
    this.#fact("Tokens / s", rate(speed), `output tokens, ${over}`);
    const cost = dollars(usage.cost_usd);
    this.#fact("Cost", cost, cost === UNKNOWN ? "No event has told a price" : null);
  }

  #fact(name, text, title = null) {
    this.#facts.get(name).show(text, title);
  }

  #showErrors(session) {
    this.#errors.hidden = session.errors === 0;
    if (session.errors === 0) return;
    const said = session.last_error ?? session.last_error_type ?? "no text was given";
    setText(this.#errorLine, `${counted(session.errors, "error")}: ${short(said, 120)}`);
    setText(this.#errorText, plain(said));
  }
}
