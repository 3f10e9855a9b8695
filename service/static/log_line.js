// One line of the live log, and the whole event under it on demand.
import { element } from "./element.js";
import { TYPES } from "./log_entry.js";
import { moment } from "./moment.js";
import { clip, plain, short } from "./text.js";
import { clockTime, counted, exact, percent, utc } from "./units.js";

const MESSAGE = 400; // UTF-16 units shown of a message or an error before "show all"

function whatOf(entry) {
  const { event } = entry;
  const message = clip(entry.message, MESSAGE);
  const error = clip(event.error ?? "", MESSAGE);
  const more = message.more + error.more;
  const parts = [
    element("button", { type: "button", class: "who", tabindex: -1, title: `Show only ${event.session_id}`, text: event.session_id }),
  ];
  if (event.step) parts.push(element("bdi", { class: "step", text: short(event.step, 48) }));
  if (message.text) parts.push(element("bdi", { class: "message", text: message.text }));
  if (error.text) parts.push(element("bdi", { class: "error", text: error.text }));
  // Most messages name their item; beside an error, or alone, it is what one looks for.
  if ((event.current_item ?? null) !== null && (error.text || !message.text)) {
    const of = event.total_items ? ` of ${exact(event.total_items)}` : "";
    parts.push(element("bdi", { class: "item", text: `${short(event.current_item, 32)}${of}` }));
  }
  if (more > 0) {
    parts.push(element("button", { type: "button", class: "more", tabindex: -1, text: `… show all (+${exact(more)} characters)` }));
  }
  return element("span", { class: "what" }, removed(entry.removedBefore, "before"), ...parts, removed(entry.removedAfter, "after"));
}

/** Where retention has made a hole in the log. */
function removed(count, place) {
  return count > 0 ? element("span", { class: `removed ${place}`, text: `${counted(count, "event")} ${place} this one no longer kept` }) : null;
}

/** The line of an event or of a marker. */
export function lineOf(entry) {
  const time = moment(entry.at, (at) => clockTime(at, { tenths: true }));
  if (!entry.marker) time.title += `, received ${utc(entry.event.received_at)}`;
  if (entry.marker) {
    return element("div", { class: "line marker", "data-marker": entry.marker }, time, element("span", { class: "what", text: entry.message }));
  }
  const { event } = entry;
  const line = element(
    "div",
    { class: "line", "data-seq": event.seq, "data-session": event.session_id, "data-type": event.type, "data-level": entry.level },
    element("button", {
      type: "button",
      class: "seq",
      tabindex: -1,
      "aria-expanded": "false",
      "aria-label": `Event ${event.seq}, show whole`,
      title: "Show the whole event",
      text: String(event.seq),
    }),
    time,
    element("span", { class: "type", title: event.type, text: TYPES[event.type] ?? short(event.type, 24) }),
    whatOf(entry),
    element("span", { class: "percent", text: typeof event.progress === "number" ? percent(event.progress) : "" }),
  );
  line.event = event;
  return line;
}

/** Show or hide the whole event under its line, with `href`, the address of just this event. */
export function toggleWhole(line, href) {
  const opener = line.querySelector(".seq");
  const shown = line.querySelector(".whole");
  opener.setAttribute("aria-expanded", String(shown === null));
  if (shown !== null) {
    shown.remove();
    return;
  }
  const label = `Event ${line.event.seq}`;
  const long = [line.event.message, line.event.error].filter((text) => typeof text === "string" && text.length > MESSAGE);
  line.append(
    element("div", { class: "whole", tabindex: 0, role: "group", "aria-label": label }, element("a", { class: "permalink", href, text: `Link to event ${line.event.seq}` }), element("pre", {
      text: [...long, JSON.stringify(line.event, null, 2)].map(plain).join("\n\n"),
    })),
  );
}
