// What the live log keeps of one event.
import { serverNow } from "./clock.js";

const DAY_S = 86400;

export const LEVELS = { error: 3, warning: 2, info: 1, progress: 0 };

export const TYPES = {
  translation_started: "started",
  translation_progress: "progress",
  translation_completed: "completed",
  translation_error: "error",
  translation_cancelled: "cancelled",
  step_completed: "step done",
  conversion_started: "conv. start",
  conversion_progress: "converting",
  conversion_completed: "conv. done",
  conversion_error: "conv. error",
  worker_status: "worker",
  session_ended: "ended",
};

function levelOf(event) {
  const { type } = event;
  if (type.endsWith("_error") || type === "session_ended") return "error";
  if (type === "worker_status") {
    const state = event.data?.state;
    return state === "down" || state === "wedged" ? "error" : state === "degraded" ? "warning" : "info";
  }
  if (type === "translation_cancelled" || (type.endsWith("_completed") && event.failed_items > 0)) return "warning";
  return type.endsWith("_progress") ? "progress" : "info";
}

/** When it happened, Unix seconds: a producer's clock more than a day off is not believed. */
export function eventTime(event) {
  const at = event.timestamp;
  const credible = typeof at === "number" && Math.abs(at - event.received_at) <= DAY_S;
  return credible ? at : event.received_at;
}

function messageOf(event) {
  if (event.type === "session_ended") return `${event.status ?? "ended"}${event.reason ? `: ${event.reason}` : ""}`;
  if (event.type === "worker_status" && !event.message) {
    const { worker, state, reason } = event.data ?? {};
    return `${worker} is ${state}${reason ? `: ${reason}` : ""}`;
  }
  return event.message ?? "";
}

/** `size` is the length of the event's JSON in characters, worked out where it is not known. */
export function entryOf(event, size = JSON.stringify(event).length) {
  return { seq: event.seq, at: eventTime(event), level: levelOf(event), message: messageOf(event), event, size };
}

/** A line of the page's own: something happened to the stream, not in it. */
export function markerOf(kind, message) {
  return { marker: kind, message, at: serverNow(), level: "warning", size: message.length };
}
