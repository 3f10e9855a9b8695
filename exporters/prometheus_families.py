"""Every metric family of the monitor, in one place: docs/metrics.md is generated from this list."""

from __future__ import annotations

from typing import Final

from exporters.prometheus_family import OTHER, Family, FamilyType, Label
from translation_events.errors import ErrorCode
from translation_events.event import ErrorType, EventType
from translation_events.session import Kind, Status

ROLES: Final = ("viewer", "publisher", "both")
READERS: Final = ("sessions", "metrics", "spans")
STEPS: Final = ("reading", "parsing", "conversion", "translation", "generation", OTHER)
STATES: Final = (Status.RUNNING.value, Status.STALLED.value)
RESULTS: Final = tuple(status.value for status in Status if status.value not in STATES)
ERROR_TYPES: Final = tuple(error.value for error in ErrorType)

_TYPE: Final = Label("type", tuple(event_type.value for event_type in EventType))
_SOURCE: Final = Label("source", ("ws", "http"))
_REJECTED: Final = Label("reason", tuple(code.value for code in ErrorCode))
_KIND: Final = Label("kind", tuple(kind.value for kind in Kind))
_RESULT: Final = Label("result", RESULTS)
_STEP: Final = Label("step", STEPS)
_ERROR_TYPE: Final = Label("error_type", ERROR_TYPES)
_ROLE: Final = Label("role", ROLES)
_CLOSED: Final = Label(
    "reason", ("client", "ping_timeout", "slow", "protocol", "too_large", "auth", "shutdown")
)
_LOG_OP: Final = Label("op", ("open", "append", "read", "save", "load", "trim", "forget"))
_AUTH: Final = Label("reason", ("missing", "invalid", "expired", "forbidden", "origin", "host"))
_SESSION: Final = Label("session_id")
_WORKER: Final = Label("worker")
_PHASE: Final = Label("phase", ("prefill", "decode"))
_LLM: Final = (Label("provider"), Label("model"))
_PROBE: Final = Label(
    "result",
    (
        "success",
        "timeout",
        "refused",
        "unreachable",
        "auth_failed",
        "host_key_mismatch",
        "engine_down",
        "wedged",
        "error",
    ),
)

# Bounds in seconds (events for a group's size), chosen so that what an alert or a target asks for is a bound.
_INGEST: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_RELAY: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_APPEND: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
_GROUP: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
_LOOP: Final = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_STEP_TIME: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0)
_SESSION_TIME: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, 86400.0)
_LLM_TIME: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
_PROBE_TIME: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def _counter(name: str, text: str, *labels: Label, unit: str = "", first_use: int = 0) -> Family:
    return Family(f"translation_{name}", FamilyType.COUNTER, text, labels, unit, (), first_use)


def _gauge(name: str, text: str, *labels: Label, unit: str = "") -> Family:
    return Family(f"translation_{name}", FamilyType.GAUGE, text, labels, unit)


def _histogram(
    name: str,
    text: str,
    buckets: tuple[float, ...],
    *labels: Label,
    unit: str = "seconds",
    first_use: int = 0,
) -> Family:
    return Family(f"translation_{name}", FamilyType.HISTOGRAM, text, labels, unit, buckets, first_use)


FAMILIES: Final[tuple[Family, ...]] = (
    _counter("events_total", "Events stored in the log and read back, by type.", _TYPE),
    _counter(
        "events_rejected_total", "Events refused, by the stable code of the refusal.", _SOURCE, _REJECTED
    ),
    _counter("events_duplicate_total", "Events acknowledged as repeats of a stored one.", _SOURCE),
    _histogram("ingest_duration_seconds", "From an event's receipt until it is durable.", _INGEST, _SOURCE),
    _counter("sessions_started_total", "Attempts that have begun.", _KIND),
    _counter("sessions_finished_total", "Attempts that have ended, by how they ended.", _KIND, _RESULT),
    _histogram(
        "session_duration_seconds",
        "From an attempt's first event to its last.",
        _SESSION_TIME,
        _KIND,
        _RESULT,
        first_use=1,
    ),
    _histogram(
        "step_duration_seconds",
        "From the attempt's first event naming a step to its step_completed.",
        _STEP_TIME,
        _STEP,
    ),
    _counter(
        "errors_total",
        "Errors that producers have reported, fatal or not.",
        _STEP,
        _ERROR_TYPE,
        first_use=1,
    ),
    _counter(
        "items_total", "Items done (pages, lines, segments), without those a resume brought along.", _KIND
    ),
    _gauge(
        "sessions_active",
        "Sessions that have not ended; stalled: no event for the configured time (5 minutes by default).",
        _KIND,
        Label("state", STATES),
    ),
    _gauge("session_progress_ratio", "How much of a session is done, 0 to 1.", _SESSION, unit="ratio"),
    _gauge(
        "session_eta_seconds",
        "Time left: the mean of the low and the high estimate that /sessions shows; absent before 5 items.",
        _SESSION,
        unit="seconds",
    ),
    _gauge(
        "session_last_event_timestamp_seconds",
        "Unix time at which the session's last event was received.",
        _SESSION,
        unit="seconds",
    ),
    _gauge(
        "session_info",
        "Always 1: what a session is, its newest worker and its trace.",
        _SESSION,
        _KIND,
        _WORKER,
        Label("engine"),
        Label("model"),
        Label("trace_id"),
    ),
    _counter(
        "session_series_dropped_total",
        "Sessions that have no session_id series because 200 newer ones have; each counted once.",
    ),
    _gauge("workers_configured", "Workers in the configuration."),
    _gauge(
        "worker_up", "1 if the worker's last probe passed, else 0; never absent while configured.", _WORKER
    ),
    _counter("worker_probes_total", "Probes finished, by result.", _WORKER, _PROBE, first_use=1),
    _histogram(
        "worker_probe_duration_seconds",
        "How long each layer of a probe took.",
        _PROBE_TIME,
        _WORKER,
        Label("layer", ("tcp", "ssh", "engine")),
        first_use=1,
    ),
    _gauge(
        "worker_last_success_timestamp_seconds",
        "Unix time of the last probe that passed.",
        _WORKER,
        unit="seconds",
    ),
    _gauge(
        "worker_last_probe_timestamp_seconds",
        "Unix time of the last probe that finished, whatever its result.",
        _WORKER,
        unit="seconds",
    ),
    _gauge("worker_capacity_slots", "Slots the worker offers.", _WORKER),
    _gauge("worker_active_slots", "Slots of the worker that are busy.", _WORKER),
    _gauge(
        "worker_info",
        "Always 1: where a worker is and what it runs.",
        _WORKER,
        Label("host"),
        Label("port"),
        Label("type"),
        Label("model"),
    ),
    _counter("worker_tokens_total", "Tokens the worker has processed.", _WORKER, _PHASE, first_use=1),
    _counter(
        "worker_busy_seconds_total",
        "Time the worker has spent on tokens.",
        _WORKER,
        _PHASE,
        unit="seconds",
        first_use=1,
    ),
    _gauge(
        "worker_gpu_utilization_ratio",
        "How busy a GPU is, 0 to 1, where the host can tell.",
        _WORKER,
        Label("gpu"),
        unit="ratio",
    ),
    _gauge(
        "worker_gpu_memory_used_bytes",
        "Memory in use on a GPU, where the host can tell.",
        _WORKER,
        Label("gpu"),
        unit="bytes",
    ),
    _gauge(
        "worker_gpu_memory_total_bytes",
        "Memory a GPU has, where the host can tell.",
        _WORKER,
        Label("gpu"),
        unit="bytes",
    ),
    _gauge(
        "worker_load_ratio",
        "One-minute load of the worker's host per CPU, where the host can tell.",
        _WORKER,
        unit="ratio",
    ),
    _counter(
        "llm_requests_total",
        "Model requests that producers have reported; result is success or a class of failure.",
        *_LLM,
        Label("result", ("success", *ERROR_TYPES)),
        first_use=2,
    ),
    _counter(
        "llm_tokens_total",
        "Tokens sent to and received from models.",
        *_LLM,
        Label("direction", ("input", "output")),
        first_use=2,
    ),
    _counter("llm_cost_usd_total", "What model requests have cost.", *_LLM, unit="usd", first_use=2),
    _histogram(
        "llm_request_duration_seconds",
        "Duration of a model request; of several reported together, their mean, once each.",
        _LLM_TIME,
        *_LLM,
        first_use=2,
    ),
    _counter(
        "cache_lookups_total",
        "Lookups in the producers' translation caches.",
        Label("result", ("hit", "miss")),
    ),
    _gauge("relay_connections", "Open WebSockets.", _ROLE),
    _gauge("relay_connections_limit", "How many WebSockets of a role may be open.", _ROLE),
    _counter("relay_messages_total", "Deliveries: one event written to one viewer's socket."),
    _counter("relay_bytes_total", "Bytes of events written to viewers' sockets.", unit="bytes"),
    _histogram(
        "relay_latency_seconds",
        "From an event's receipt to the socket write, one observation a delivery to a viewer that keeps up.",
        _RELAY,
    ),
    _counter("relay_gaps_total", "Gaps told to viewers: retention was faster than they were."),
    _counter("relay_missed_events_total", "Events inside those gaps, where their number is known."),
    _gauge("relay_lag_events", "How far the farthest-behind viewer is behind the log."),
    _counter("relay_closed_total", "WebSockets closed, by who or what closed them.", _ROLE, _CLOSED),
    _counter(
        "relay_resumes_total",
        "Viewers that came back with a position; complete: everything since was still in the log.",
        Label("result", ("complete", "gap")),
    ),
    _histogram("log_append_duration_seconds", "How long one durable append of a group took.", _APPEND),
    _histogram("log_append_events", "Events in one append.", _GROUP, unit="events"),
    _counter("log_errors_total", "Operations on the event log that failed.", _LOG_OP),
    _gauge("log_last_seq", "The newest event that is durable."),
    _gauge("log_free_bytes", "Room left for the log, where its medium can tell.", unit="bytes"),
    _gauge("log_connected", "1 while the log can be written, else 0."),
    _counter(
        "spans_total",
        "Spans by outcome, tries of sessions' spans that failed among them; only live spans, here those of "
        "probes of workers, can be queue_full.",
        Label("outcome", ("exported", "queue_full", "export_failed")),
    ),
    _counter(
        "notifications_total",
        "Notices to people, once for each receiver: sent, tries that failed, and those given up.",
        Label("outcome", ("sent", "failed", "dropped")),
    ),
    _gauge(
        "notifications_waiting",
        "Notices that a receiver, named by its number and kind, has still to take.",
        Label("receiver"),
    ),
    _gauge("reader_lag_events", "How far a reader is behind the log.", Label("reader", READERS)),
    _counter("auth_failures_total", "Requests refused for who sent them.", _AUTH),
    _histogram(
        "event_loop_lag_seconds", "By how much a sleep of 0.5 s woke too late: the loop was held.", _LOOP
    ),
    _counter(
        "metrics_errors_total",
        "Events that could not be counted fully: a fault of this program, see its log.",
    ),
    _gauge(
        "build_info",
        "Always 1: the program that runs.",
        Label("version"),
        Label("revision"),
        Label("python"),
    ),
)
