"""Session: how one session is doing, and where its trace and its page are."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel, VariableHide

from dashboards.grafana.board import (
    BEGUN,
    SESSION_UID,
    Row,
    board,
    monitor_link,
    query_variable,
    to_monitor,
)
from dashboards.grafana.panels import BLUE, GREEN, ITEMS_PER_S, ORANGE, TOKENS_PER_S, YELLOW, graph, number
from dashboards.grafana.queries import (
    HERE,
    SESSION,
    Query,
    of,
    quantile,
    quantile_like_session,
    rate,
    rate_like_session,
)
from dashboards.grafana.tables import Column, LabelColumn, rows
from dashboards.grafana.traces import session_spans, trace

_PROGRESS: Final = f"max({of('translation_session_progress_ratio', SESSION)})"
_TIME_LEFT: Final = f"max({of('translation_session_eta_seconds', SESSION)})"
_SILENCE: Final = f"time() - max({of('translation_session_last_event_timestamp_seconds', SESSION)})"
_OTHERS: Final = "Other sessions of the same {} are in it; this one's own figures are in its trace below."
_REQUESTS: Final = "translation_llm_request_duration_seconds"
_STALLED_AFTER_S: Final = 300  # the default of `event_log.stalled_after`


def dashboard() -> Dashboard:
    """The dashboard."""
    session = query_variable(
        "session",
        "Session",
        "One session, by its id; its series are gone 15 minutes after its end.",
        f"label_values(translation_session_info{{{HERE}}}, session_id)",
    )
    trace_id = query_variable(
        "trace_id",
        "Trace",
        "The trace of the session's newest attempt.",
        f'label_values(translation_session_info{{{HERE}, session_id="$session"}}, trace_id)',
    )
    return board(
        SESSION_UID,
        "Translation Monitor / Session",
        "One session: how far, how fast, what went wrong, and its trace.",
        [
            Row("This session", [*_now(), _about(), *_course()]),
            Row("Its work", _work()),
            Row("Its model", _model()),
            Row("Its trace", _traces()),
        ],
        variables=[session, trace_id.hide(VariableHide.HIDE_VARIABLE)],
        begun=BEGUN,
        links=[monitor_link("This session in the monitor", "/monitor?session=${session:percentencode}")],
    )


def _now() -> list[Panel]:
    return [
        number(
            "Progress",
            "How much is done, as the producer says.",
            "percentunit",
            Query(_PROGRESS, "progress"),
            width=4,
            base=BLUE,
            steps={1: GREEN},
            decimals=1,
        ),
        number(
            "Time left",
            "The mean of the low and the high estimate; there is none before 5 items are done.",
            "s",
            Query(_TIME_LEFT, "time left"),
            width=4,
            base=BLUE,
        ),
        number(
            "Last event ago",
            "Time since the newest event. From 5 minutes on a running session counts as stalled.",
            "s",
            Query(_SILENCE, "silence"),
            width=4,
            steps={60: YELLOW, _STALLED_AFTER_S: ORANGE},
        ),
    ]


def _about() -> Panel:
    labels = "session_id, kind, worker, engine, model, trace_id"
    return rows(
        "About",
        "What the session is. Its name leads to the monitor's page; its trace is at the end of this page.",
        [
            LabelColumn("session_id", "Session", (to_monitor("__value.raw"),)),
            LabelColumn("kind", "Kind"),
            LabelColumn("engine", "Engine"),
            LabelColumn("model", "Model"),
            LabelColumn("worker", "Worker"),
            LabelColumn("trace_id", "Trace"),
        ],
        [Column(Query(f"max by ({labels}) ({of('translation_session_info', SESSION)})", "About"))],
        width=12,
        height=4,
    )


def _course() -> list[Panel]:
    return [
        graph(
            "Progress over time",
            "How much is done. A drop is a new attempt, a flat line a session that waits.",
            "percentunit",
            Query(_PROGRESS, "progress"),
            top=1,
        ),
        graph(
            "Time left over time",
            "The estimate as it was at each moment; steady progress makes it fall as fast as time passes.",
            "s",
            Query(_TIME_LEFT, "time left"),
        ),
        graph(
            "Silence",
            "Time since the newest event; at the dashed line a running session counts as stalled.",
            "s",
            Query(_SILENCE, "since the last event"),
            limits={_STALLED_AFTER_S: ORANGE},
        ),
    ]


def _work() -> list[Panel]:
    return [
        graph(
            "Items",
            f"Items done per second by sessions of this kind. {_OTHERS.format('kind')}",
            ITEMS_PER_S,
            Query(rate_like_session("translation_items_total", "kind", by="kind"), "{{kind}}"),
        ),
        graph(
            "Steps, p95",
            "How long 95 % of completed steps took, by step, of all sessions; its own are in its trace.",
            "s",
            Query(quantile(0.95, "translation_step_duration_seconds", by="step"), "{{step}}"),
        ),
        graph(
            "Errors",
            "Errors per second, by step and class, of all sessions; this one's own are in its trace below.",
            "cps",
            Query(
                rate("translation_errors_total", by="step, error_type") + " > 0", "{{step}}: {{error_type}}"
            ),
            stacked=True,
            bars=True,
        ),
    ]


def _model() -> list[Panel]:
    return [
        graph(
            "Tokens",
            f"Tokens per second of this session's model. {_OTHERS.format('model')}",
            TOKENS_PER_S,
            Query(
                rate_like_session("translation_llm_tokens_total", "model", by="direction"), "{{direction}}"
            ),
            width=12,
        ),
        graph(
            "Cost per hour",
            f"What this session's model costs per hour at the present pace. {_OTHERS.format('model')}",
            "currencyUSD",
            Query(
                f"3600 * {rate_like_session('translation_llm_cost_usd_total', 'model', by='model')}",
                "{{model}}",
            ),
            width=12,
        ),
        graph(
            "Model requests",
            f"Requests per second to this session's model, by result. {_OTHERS.format('model')}",
            "reqps",
            Query(
                rate_like_session("translation_llm_requests_total", "model", by="result") + " > 0",
                "{{result}}",
            ),
            stacked=True,
            width=12,
        ),
        graph(
            "Model request time",
            f"How long requests to this session's model take. {_OTHERS.format('model')}",
            "s",
            *(
                Query(quantile_like_session(share, _REQUESTS, "model"), f"p{share * 100:g}")
                for share in (0.5, 0.95)
            ),
            width=12,
        ),
    ]


def _traces() -> list[Panel]:
    return [
        session_spans(
            "Attempts and steps",
            "Its spans as they ended, with its own tokens, cost and errors. Empty without a collector.",
            "${session}",
        ),
        trace(
            "Trace",
            "The newest attempt: steps and checkpoints while it runs, all of it once it has ended. "
            "Empty without a collector.",
            "${trace_id}",
        ),
    ]
