// Where else a session can be seen: its report, its trace, its dashboard in Grafana; only what is configured.
import { byId, element, setAttribute } from "./element.js";

const LINKS = [
  ["report", "Report", ({ id }) => `/sessions/${encodeURIComponent(id)}/report`],
  ["trace", "Trace", ({ trace, session }) => (session?.trace_id ? filled(trace, { trace_id: session.trace_id }) : null)],
  ["grafana", "Grafana", ({ grafana, id }) => filled(grafana, { session_id: id })],
];

export class SessionLinks {
  #links = new Map();

  constructor() {
    for (const [name, text] of LINKS) {
      const link = element("a", { class: "button", "data-link": name, text, hidden: true, target: "_blank", rel: "noopener noreferrer" });
      this.#links.set(name, link);
      byId("session-links").append(link);
    }
  }

  /** `links` are the addresses `/status` tells, `session` the summary or null. */
  show(id, session, links) {
    for (const [name, , addressOf] of LINKS) {
      const address = addressOf({ id, session, trace: links?.trace ?? null, grafana: links?.session_dashboard ?? null });
      const link = this.#links.get(name);
      link.hidden = address === null;
      setAttribute(link, "href", address);
    }
  }
}

/** A template with its {names} filled in; null without a template, or where it is no web address. */
function filled(template, values) {
  if (typeof template !== "string" || !/^https?:\/\//.test(template)) return null;
  return template.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? encodeURIComponent(values[name]) : whole));
}
