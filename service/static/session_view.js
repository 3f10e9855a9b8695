// A folded session as `/sessions/{id}` shows it at a moment: the same names, the same figures.
import { blake2b } from "./blake2b.js";

const TRACE_ID_BYTES = 24; // the first 16 are the trace's, the rest the root span's

/** Seconds left as {low, high}: remaining × p25 and p75 of the newest items' seconds; null before 5. */
function etaOf({ item_seconds: times, total_items: total, items_done: done, ended_received: ended }) {
  if (ended !== null || total === null || done === null || times.length < 5) return null;
  const ranked = [...times].sort((a, b) => a - b);
  const remaining = Math.max(0, total - done);
  const last = ranked.length - 1;
  return { low: remaining * ranked[toEven(last * 0.25)], high: remaining * ranked[toEven(last * 0.75)] };
}

/** Rounded, a half to the even neighbour: as the server does. */
function toEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

function traceIdOf(attempt, sessionId, logId) {
  if (attempt.traceparent !== null) return attempt.traceparent.split("-")[1];
  return blake2b(`${logId}\0${sessionId}\0${attempt.first_seq}`, TRACE_ID_BYTES).slice(0, 32);
}

/**
 * The session at `now` (Unix seconds), `stalled` where nothing has come for `stalledAfter` seconds.
 *
 * `logId` is the event log's, from which trace ids are derived.
 */
export function viewOf({ session_id, first_seq, attempt }, { now, logId, stalledAfter }) {
  const stalled = attempt.status === "running" && now - attempt.last_received > stalledAfter;
  return {
    session_id,
    kind: attempt.kind,
    status: stalled ? "stalled" : attempt.status,
    progress: attempt.progress,
    step: attempt.step,
    message: attempt.message,
    current_item: attempt.current_item,
    items_done: attempt.items_done,
    total_items: attempt.total_items,
    started_at: attempt.started_at,
    updated_at: attempt.updated_at,
    ended_at: attempt.ended_at,
    duration_s: Math.max(0, (attempt.ended_at ?? now) - attempt.started_at),
    eta_s: etaOf(attempt),
    errors: attempt.errors,
    last_error: attempt.last_error,
    last_error_type: attempt.last_error_type,
    failed_items: attempt.failed_items,
    reason: attempt.reason,
    workers: attempt.workers,
    engine: attempt.engine,
    model: attempt.model,
    usage: { ...attempt.usage }, // the fold goes on with its own
    trace_id: traceIdOf(attempt, session_id, logId),
    attempt: attempt.number,
    first_seq,
    last_seq: attempt.last_seq,
  };
}
