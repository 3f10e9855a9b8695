// The steps of a session beneath its chart, on the same axis: when each began, and how long it took.
import { byId, element, setText, svg } from "./element.js";
import { moment } from "./moment.js";
import { short } from "./text.js";
import { counted, duration } from "./units.js";

const SHOWN = 30;

export class StepList {
  #list = byId("session-steps");
  #note = byId("session-steps-note");
  #drawn = "";

  /** `steps` of a `Course`, what was known of them at `now`; `x` tells where a time lies, 0 to 1000. */
  show({ steps, stepsLeftOut }, index, now, x) {
    const begun = steps.filter((step) => index === null || step.index <= index);
    const rows = begun.slice(-SHOWN).map((step) => {
      const open = step.end === null || step.end > now;
      return { ...step, open, end: open ? now : step.end, attempts: steps.at(-1).attempt };
    });
    const drawn = JSON.stringify(rows.map((row) => [row, x(row.start), x(row.end)]));
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#list.replaceChildren(...rows.map((row) => rowOf(row, x)));
    const left = begun.length - rows.length + stepsLeftOut;
    setText(this.#note, begun.length === 0 ? "No event has named a step." : left > 0 ? `${counted(left, "earlier step")} not shown` : "");
  }
}

function rowOf({ name, attempt, attempts, start, end, open, ended, unsure }, x) {
  const state = open ? "running" : ended ? "done" : "unfinished";
  const words = { running: "so far", done: "", unfinished: "end not reported" }[state];
  const from = x(start);
  const bar = svg("rect", { x: from, y: 0, width: Math.max(3, x(end) - from), height: 8 });
  return element(
    "li",
    { "data-step": name, "data-state": state },
    element("bdi", { class: "step-name", text: `${short(name, 64) || "(no name)"}${attempts > 1 ? ` · attempt ${attempt}` : ""}` }),
    element(
      "span",
      { class: "step-took" },
      `${unsure ? "at least " : ""}${duration(end - start)}${words ? ` ${words}` : ""} · ${unsure ? "seen " : ""}from `,
      moment(start),
      ...(open ? [] : [" to ", moment(end)]),
    ),
    svg("svg", { viewBox: "0 0 1000 8", preserveAspectRatio: "none", "aria-hidden": "true" }, bar),
  );
}
