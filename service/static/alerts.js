// Firing alerts as Alertmanager tells the server: the worst first, and never "none" where nobody could ask.
import { read } from "./api.js";
import { serverNow } from "./clock.js";
import { byId, element, setAttribute, setContent, setText } from "./element.js";
import { moment } from "./moment.js";
import { short } from "./text.js";
import { counted, dayTime, elapsed } from "./units.js";

const WATCHDOG = "TranslationWatchdog"; // always firing where rules are evaluated and reach Alertmanager
const WORDS = { critical: "Critical", warning: "Warning", info: "Info" };

const isQuiet = (alert) => alert.silenced || alert.inhibited;

function link(href, text) {
  return element("a", { href, text });
}

/** A page elsewhere, opened beside this one; a bare path of ours is shown as what it is. */
function runbook(url) {
  if (!url) return null;
  if (!/^https?:\/\//.test(url)) return element("span", { class: "path", text: short(url, 120) });
  return element("a", { href: url, target: "_blank", rel: "noreferrer", text: "Runbook" });
}

function rowOf(alert) {
  const quiet = alert.silenced ? "silenced" : alert.inhibited ? "covered by another alert" : null;
  return element(
    "li",
    { class: "alert", "data-alert": alert.name, "data-severity": alert.severity, "data-quiet": isQuiet(alert) },
    element("span", { class: "badge", text: WORDS[alert.severity] ?? short(alert.severity || "Alert", 24) }),
    element("bdi", { class: "summary", text: short(alert.summary || alert.name, 300) }),
    quiet ? element("span", { class: "note", text: quiet }) : null,
    element("span", { class: "note since" }, "since ", moment(alert.since, dayTime), element("span", { class: "age", "data-since": alert.since })),
    element(
      "span",
      { class: "links" },
      alert.session_id ? link(`/monitor?session=${encodeURIComponent(alert.session_id)}`, `Session ${short(alert.session_id, 40)}`) : null,
      alert.worker ? element("button", { type: "button", class: "link", "data-worker-of": alert.worker, text: `Worker ${short(alert.worker, 40)}` }) : null,
      runbook(alert.runbook_url),
    ),
    element("bdi", { class: "description", text: short(alert.description, 600) }),
  );
}

export class Alerts {
  #panel = byId("alerts");
  #note = byId("alerts-note");
  #list = byId("alerts-list");
  #said = "";
  /** How many are firing and not quiet; null where that is not known. */
  firing = null;

  /** `showWorker` is called with the id of a worker one wants to see. */
  constructor({ showWorker }) {
    this.#list.addEventListener("click", (clicked) => {
      const worker = clicked.target.closest("[data-worker-of]");
      if (worker !== null) showWorker(worker.dataset.workerOf);
    });
  }

  /** Throws ReadError; what is shown then stays. A page nobody looks at asks for nothing. */
  async refresh() {
    if (document.hidden) return;
    const { body } = await read("/alerts");
    this.#panel.hidden = !body.configured;
    if (!body.configured) return;
    const alerts = (body.alerts ?? []).filter((alert) => alert.severity !== "none");
    const firing = alerts.filter((alert) => !isQuiet(alert));
    setContent(this.#note, ...this.#words(body, firing, alerts.length - firing.length));
    setAttribute(this.#panel, "data-state", !body.reachable ? "unknown" : firing.length > 0 ? "firing" : "calm");
    this.firing = body.reachable ? firing.length : null;
    const said = JSON.stringify(alerts);
    if (this.#said !== said) this.#list.replaceChildren(...alerts.map(rowOf));
    this.#said = said;
    this.tick();
  }

  /** Let the ages go on. */
  tick() {
    for (const age of this.#list.querySelectorAll(".age")) setText(age, `, ${elapsed(serverNow() - Number(age.dataset.since))}`);
  }

  /** What the note says, in parts. */
  #words({ reachable, since, problem, alerts, left_out: leftOut }, firing, quiet) {
    if (!reachable) return ["Not known which alerts are firing, since ", moment(since, dayTime), `: ${short(problem ?? "", 200)}`];
    const parts = [firing.length > 0 ? `${firing.length} firing` : "none firing"];
    if (quiet > 0) parts.push(`${quiet} silenced or covered`);
    if (leftOut > 0) parts.push(`${counted(leftOut, "more alert")} not shown`);
    if (!alerts.some((alert) => alert.name === WATCHDOG)) parts.push("the watchdog is missing: Prometheus may not be reporting, so this may be incomplete");
    return [parts.join(" · ")];
  }
}
