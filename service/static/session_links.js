// Where else a session can be seen: its report, its trace, its dashboard in Grafana; only what is configured.
import { element, setAttribute } from "./element.js";
import { filled } from "./link_template.js";

const LINKS = [
  ["report", "Report", ({ id, session }) => (session === null ? null : `/sessions/${encodeURIComponent(id)}/report`)],
  ["trace", "Trace", ({ trace, session }) => (session?.trace_id ? filled(trace, { trace_id: session.trace_id }) : null)],
  ["grafana", "Grafana", ({ grafana, id }) => filled(grafana, { session_id: id })],
];

export class SessionLinks {
  #links = new Map();

  /** As buttons in `node`, or with `text` as words in an element of its own. */
  constructor({ node = element("span", { class: "elsewhere" }), text = false } = {}) {
    this.node = node;
    for (const [name, label] of LINKS) {
      const link = element("a", { class: text ? null : "button", "data-link": name, text: label, hidden: true, target: "_blank", rel: "noopener noreferrer" });
      this.#links.set(name, link);
      node.append(link);
    }
  }

  /** `links` are the addresses `/status` tells, `session` the summary or null; of the past none is shown. */
  show(id, session, links, { past = false } = {}) {
    for (const [name, text, addressOf] of LINKS) {
      const known = past || links === null ? null : addressOf({ id, session, trace: links.trace ?? null, grafana: links.session_dashboard ?? null });
      const link = this.#links.get(name);
      link.hidden = known === null;
      setAttribute(link, "href", known);
      setAttribute(link, "aria-label", `${text} of ${id}`);
    }
  }
}
