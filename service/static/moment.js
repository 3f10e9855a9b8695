// A moment on the page: local time to read, UTC in the tooltip, and the exact time for machines.
import { element, setAttribute, setText } from "./element.js";
import { clockTime, dayTime, utc } from "./units.js";

const iso = (at) => {
  const date = new Date(at * 1000);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
};

/** A `<time>` of a Unix time in seconds; `words` tells it (a function of the time, or text). */
export function moment(at, words = clockTime, attributes = {}) {
  const node = element("time", attributes);
  showMoment(node, at, words);
  return node;
}

/** The same for a `<time>` that is there; a time that is not known has neither tooltip nor datetime. */
export function showMoment(node, at, words = clockTime) {
  const known = typeof at === "number" && Number.isFinite(at);
  setText(node, typeof words === "function" ? words(at) : words);
  setAttribute(node, "datetime", known ? iso(at) : null);
  setAttribute(node, "title", known ? utc(at) || null : null);
}

/** Time of day, with the day where it is not today's: for what may be long ago. */
export function longAgo(at) {
  return new Date(at * 1000).toDateString() === new Date().toDateString() ? clockTime(at) : dayTime(at);
}
