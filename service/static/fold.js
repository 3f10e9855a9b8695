// The life of a session in the browser: events in `seq` order move a state, by the rules of translation_events/fold.py.
// Time travel stands on it, so it must agree with the server's fold field by field; a test compares them.
import { eventTime } from "./log_entry.js";

const NEWEST_ITEMS = 50;
const MAX_WORKERS = 32;
const MAX_OPEN_STEPS = 64;
const ROUNDING = 1e-6; // of an item: what a percentage loses on its way through a float
const NAME = 256;
const ENDS = { translation_completed: "translation", conversion_completed: "conversion" };
const ERRORS = { translation_error: "translation", conversion_error: "conversion" };
const ERROR_TYPES = new Set(
  ("timeout connection refused auth rate_limited quota server_error invalid_response empty refusal bad_output " +
    "worker_lost host_key engine_down disk_full read_failed write_failed unsupported_format cancelled budget " +
    "internal other").split(" "),
);

const kindOf = (type) =>
  type.startsWith("translation_") ? "translation" : type.startsWith("conversion_") ? "conversion" : null;
const given = (value) => value !== undefined && value !== null;
const countOf = (value) => (Number.isSafeInteger(value) && value >= 0 ? value : null);
const nameOf = (text) => [...text].slice(0, NAME).join("");

/**
 * Fold one event in; `state` is null before the first, and is changed in place.
 *
 * `worker_status` changes nothing: such events never start, end or refresh a session.
 */
export function fold(state, event) {
  if (event.type === "worker_status" || event.session_id.startsWith("_")) return state;
  const kind = kindOf(event.type);
  if (state === null) {
    state = { session_id: event.session_id, first_seq: event.seq, attempt: begin(event, 1) };
  } else if (state.attempt.ended_received !== null) {
    state.attempt = begin(event, state.attempt.number + 1);
  } else if (state.attempt.kind === "conversion" && kind === "translation" && event.type !== "translation_cancelled") {
    state.attempt = begin(event, state.attempt.number + 1);
  }
  const attempt = state.attempt;
  attempt.kind ??= kind;
  foldState(attempt, event, kind);
  if (event.type === "step_completed") {
    attempt.open_steps.delete(event.step ?? attempt.step);
  } else if (event.type in ERRORS) {
    attempt.errors += 1;
    attempt.last_error = event.error || (event.message ?? null);
    attempt.last_error_type = ERROR_TYPES.has(event.error_type) ? event.error_type : "other";
  }
  const status = terminalStatus(attempt, event);
  if (status !== null) {
    attempt.kind ??= "translation";
    attempt.status = status;
    attempt.ended_at = attempt.updated_at;
    attempt.ended_received = event.received_at;
  }
  return state;
}

/** A copy that later events leave alone. */
export function copyOf(state) {
  return structuredClone(state);
}

function begin(event, number) {
  const at = eventTime(event);
  return {
    number,
    first_seq: event.seq,
    started_at: at,
    traceparent: event.traceparent ?? null,
    kind: null,
    status: "running",
    last_seq: 0,
    last_received: 0,
    updated_at: 0,
    ended_at: null,
    ended_received: null,
    progress: null,
    step: null,
    message: null,
    current_item: null,
    items_done: null,
    items_resumed: 0,
    total_items: null,
    errors: 0,
    last_error: null,
    last_error_type: null,
    failed_items: null,
    reason: null,
    workers: [],
    engine: null,
    model: null,
    usage: {
      requests: 0,
      failed_requests: 0,
      input_tokens: 0,
      output_tokens: 0,
      cost_usd: 0,
      duration_s: 0,
      cache_hits: 0,
      cache_misses: 0,
    },
    open_steps: new Map(),
    item_seconds: [],
    last_item_received: event.received_at,
  };
}

function foldState(attempt, event, kind) {
  attempt.last_seq = event.seq;
  attempt.last_received = event.received_at;
  attempt.updated_at = Math.max(attempt.updated_at, eventTime(event), attempt.started_at);
  attempt.message = event.message ?? attempt.message;
  if (given(event.step)) {
    attempt.step = event.step;
    if (!attempt.open_steps.has(event.step) && attempt.open_steps.size < MAX_OPEN_STEPS) {
      attempt.open_steps.set(event.step, eventTime(event));
    }
  }
  const { data } = event;
  if (typeof data?.engine === "string") attempt.engine = nameOf(data.engine);
  if (typeof data?.model === "string") attempt.model = nameOf(data.model);
  const worker = event.worker_info ?? data?.worker_info;
  if (given(worker)) foldWorker(attempt, worker);
  if (given(event.usage)) foldUsage(attempt, Array.isArray(event.usage) ? event.usage : [event.usage]);
  // In a translation, conversion events are steps: their progress is not the session's.
  if (kind === null || kind === attempt.kind) foldProgress(attempt, event);
}

function foldProgress(attempt, event) {
  attempt.total_items = event.total_items ?? attempt.total_items;
  attempt.current_item = event.current_item ?? attempt.current_item;
  attempt.failed_items = event.failed_items ?? attempt.failed_items;
  if (event.type in ERRORS) return; // an item that failed is not an item done
  if (given(event.progress)) attempt.progress = event.progress;
  else if (completes(attempt, event)) attempt.progress = 100;
  const resumed = countOf(event.data?.items_resumed) ?? 0;
  if (resumed > attempt.items_resumed) {
    attempt.items_resumed = resumed;
    // A killed run's session is still the same attempt: the hours in between are no item's.
    attempt.last_item_received = event.received_at;
  }
  const done = itemsDone(attempt, event);
  if (done === null) return;
  const before = attempt.items_done ?? 0;
  const fresh = done - Math.max(before, attempt.items_resumed);
  attempt.items_done = Math.max(before, done);
  // What its first event says is done took a time nobody has seen: no sample for the ETA.
  if (fresh <= 0 || event.seq === attempt.first_seq) return;
  const each = Math.max(0, event.received_at - attempt.last_item_received) / fresh;
  for (let n = Math.min(fresh, NEWEST_ITEMS); n > 0; n -= 1) attempt.item_seconds.push(each);
  if (attempt.item_seconds.length > NEWEST_ITEMS) attempt.item_seconds.splice(0, attempt.item_seconds.length - NEWEST_ITEMS);
  attempt.last_item_received = event.received_at;
}

function itemsDone(attempt, event) {
  const { total_items: total, progress } = attempt;
  const item = event.current_item;
  let done = countOf(event.data?.items_done);
  if (done === null && typeof item === "number") done = countOf(item);
  if (done === null && typeof item === "string") {
    const digits = /[0-9]{0,15}$/.exec(item.slice(-15))[0];
    if (digits !== "") done = Number(digits);
  }
  if (done === null && total !== null && progress !== null) {
    const complete = completes(attempt, event);
    if (!given(event.progress) && !complete) return null;
    done = Math.trunc((progress * total) / 100 + ROUNDING);
    if (complete) done = Math.max(0, done - (attempt.failed_items ?? 0));
  }
  return done === null || total === null ? done : Math.min(done, total);
}

function completes(attempt, event) {
  return event.type in ENDS && ENDS[event.type] === attempt.kind;
}

function foldWorker(attempt, worker) {
  const label = worker.name || (worker.host ? `${worker.host}:${worker.port || 22}` : null);
  if (label !== null) noteWorker(attempt, label);
  attempt.engine ||= worker.type ?? null;
  attempt.model ||= worker.model ?? null;
}

function foldUsage(attempt, usages) {
  const totals = attempt.usage;
  for (const usage of usages) {
    const requests = usage.requests ?? 1;
    totals.requests += requests;
    if ((usage.result ?? "success") !== "success") totals.failed_requests += requests;
    totals.input_tokens += usage.input_tokens ?? 0;
    totals.output_tokens += usage.output_tokens ?? 0;
    totals.cost_usd += usage.cost_usd ?? 0;
    totals.duration_s += usage.duration_s ?? 0;
    totals.cache_hits += usage.cache === "hit" ? 1 : 0;
    totals.cache_misses += usage.cache === "miss" ? 1 : 0;
    attempt.engine ||= usage.provider ?? null;
    attempt.model ||= usage.model ?? null;
    if (usage.worker) noteWorker(attempt, usage.worker);
  }
}

/** Keep the workers seen, the newest last. */
function noteWorker(attempt, worker) {
  if (attempt.workers.at(-1) === worker) return;
  attempt.workers = [...attempt.workers.filter((other) => other !== worker), worker].slice(-MAX_WORKERS);
}

function terminalStatus(attempt, event) {
  const { type } = event;
  if (type === "session_ended") {
    attempt.reason = event.reason ?? "";
    return event.status;
  }
  if (type === "translation_cancelled") return "cancelled";
  if (completes(attempt, event)) {
    // A count on an earlier event is not the last word: only the one on this event can outweigh errors.
    const failures = event.failed_items ?? (attempt.errors || attempt.failed_items);
    return failures ? "completed_with_failures" : "completed";
  }
  if (event.fatal && ERRORS[type] === attempt.kind && type in ERRORS) {
    return event.error_type === "worker_lost" ? "lost" : "failed";
  }
  return null;
}
