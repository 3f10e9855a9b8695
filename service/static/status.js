// The statuses of a session as the page shows them: a word and a shape beside the colour, which never stands alone.
import { drawing, element, setAttribute } from "./element.js";

const STATUSES = {
  running: ["Running", "M5 3l8 5-8 5z"],
  stalled: ["Stalled", "M4 3h3v10H4zM9 3h3v10H9z"],
  completed: ["Completed", "M6.5 12.6L2 8.1l1.8-1.8 2.7 2.7 5.7-5.7L14 5.1z"],
  completed_with_failures: ["Completed with failures", "M8 1.5L15 14H1zM7.2 6v4h1.6V6zm0 5v1.5h1.6V11z"],
  failed: ["Failed", "M4 2.5L8 6.5l4-4L13.5 4l-4 4 4 4-1.5 1.5-4-4-4 4L2.5 12l4-4-4-4z"],
  cancelled: ["Cancelled", "M3 3h10v10H3z"],
  timed_out: ["Timed out", "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zm-.8 2.8h1.6v4l3 1.8-.8 1.4-3.8-2.3z"],
  lost: ["Lost", "M9.5 1L3 9h4l-1.5 6L13 6.500H8.600z"],
};

export const ENDED = ["completed", "completed_with_failures", "failed", "cancelled", "timed_out", "lost"];

/** The word for a status; one this page does not know is shown as the server wrote it. */
export function statusLabel(status) {
  return STATUSES[status]?.[0] ?? String(status ?? "unknown").replaceAll("_", " ");
}

/** True for a status that ends an attempt. */
export function hasEnded(status) {
  return ENDED.includes(status);
}

/** A badge; `showStatus` changes it in place. */
export function statusBadge(status) {
  const badge = element("span", { class: "badge" });
  showStatus(badge, status);
  return badge;
}

export function showStatus(badge, status) {
  if (badge.dataset.status === status) return;
  setAttribute(badge, "data-status", status);
  // Where there is little room the first of the words is for screen readers alone.
  const words = status === "completed_with_failures" ? [element("span", { class: "wordy", text: "Completed " }), element("span", { class: "rest", text: "with failures" })] : [statusLabel(status)];
  badge.replaceChildren(drawing(STATUSES[status]?.[1] ?? "M3 7h10v2H3z"), ...words);
}
