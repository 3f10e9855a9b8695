"""Overview: is it all right now?"""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards.grafana.board import OVERVIEW_UID, Row, board, monitor_link, to_monitor, to_session
from dashboards.grafana.objectives import budget_left
from dashboards.grafana.panels import (
    BLUE,
    GREEN,
    GREY,
    ITEMS_PER_S,
    ORANGE,
    RED,
    TOKENS_PER_S,
    YELLOW,
    graph,
    number,
)
from dashboards.grafana.queries import HIT, Query, increase, of, quantile, quantiles, rate, share, total
from dashboards.grafana.tables import Column, LabelColumn, rows

STATES: Final = {"running": BLUE, "stalled": ORANGE}
RESULTS: Final = {
    "completed": GREEN,
    "completed_with_failures": YELLOW,
    "failed": RED,
    "timed_out": ORANGE,
    "lost": "purple",
    "cancelled": GREY,
}
_LOOKUPS: Final = "translation_cache_lookups_total"
_ID_OF_LINE: Final = "__field.labels.session_id"
_DELIVERIES: Final = "translation_relay_latency_seconds"
# A rule that sums has no job in its alerts: ours are known by their names.
_FIRING: Final = 'alertname=~"Translation.+", alertname!="TranslationWatchdog", alertstate="firing"'
_ALERTS: Final = f'ALERTS{{{_FIRING}, severity!="info"}}'
_WATCHDOG: Final = 'ALERTS{alertname="TranslationWatchdog", alertstate="firing"}'


def error_ratio(over: str) -> str:
    """Errors among everything that was tried within `over`."""
    errors = increase("translation_errors_total", over=over)
    items = increase("translation_items_total", over=over)
    return share(errors, f"{errors} + {items}")


def _rows() -> list[Row]:
    """What is on it."""
    return [
        Row("Now", [*_now(), _alerts()]),
        Row("Sessions", [_sessions(), *_progress()]),
        Row("Delivery and cost", _delivery()),
    ]


def _now() -> list[Panel]:
    workers = total("translation_workers_configured")
    return [
        number(
            "Workers up",
            "Workers whose last probe passed, of those configured.",
            "none",
            Query(f"{total('translation_worker_up')} or 0 * {workers}", "up"),
            Query(workers, "configured"),
            base=BLUE,
        ),
        number(
            "Active sessions",
            "Sessions that have not ended. Stalled: no event for the configured time, 5 minutes by default.",
            "none",
            Query(total("translation_sessions_active", by="state"), "{{state}}"),
            base=BLUE,
        ),
        number(
            "Error ratio, 15 min",
            "Errors among items and errors of the last 15 minutes. An alert asks for 20 % and 5 errors.",
            "percentunit",
            Query(error_ratio("15m"), "errors"),
            steps={0.05: YELLOW, 0.2: RED},
            decimals=1,
        ),
        number(
            "Events",
            "Events stored per second, of all types.",
            "eps",
            Query(rate("translation_events_total"), "events"),
            base=BLUE,
        ),
        number(
            "Relay p99",
            "From an event's receipt to the socket write, for 99 % of all deliveries.",
            "s",
            Query(quantile(0.99, _DELIVERIES), "p99"),
            steps={0.1: YELLOW, 1: RED},
        ),
        number(
            "Budget, 30 days",
            "What is left of the allowance of the relay: 0.1 % of deliveries to viewers may take over 1 s.",
            "percentunit",
            Query(budget_left(), "left"),
            base=RED,
            steps={0: YELLOW, 0.25: GREEN},
            decimals=1,
        ),
        number(
            "Firing alerts",
            "Alerts that fire now, without those that only inform. A dash: not even the watchdog fires, so "
            "Prometheus evaluates no rules and silence means nothing.",
            "none",
            Query(f"count({_ALERTS}) or 0 * count({_WATCHDOG})", "firing"),
            steps={1: RED},
        ),
        number(
            "Cost today",
            "What model requests have cost since midnight, as producers reported it. The first report about "
            "a model after a start of the monitor is not in it.",
            "currencyUSD",
            Query(f"{increase('translation_llm_cost_usd_total', over='$__range')} or vector(0)", "cost"),
            base=BLUE,
            since="now/d",
            decimals=2,
        ),
    ]


def _alerts() -> Panel:
    return rows(
        "Alerts firing",
        "Every alert of the monitor that fires, those that only inform too.",
        [LabelColumn("alertname", "Alert"), LabelColumn("severity", "Severity")],
        [
            Column(
                Query(
                    f"count by (alertname, severity) (ALERTS{{{_FIRING}}})",
                    "Firing",
                ),
                "none",
            )
        ],
        height=6,
    )


def _sessions() -> Panel:
    info = "session_id, kind, worker, engine, model"
    by_session = "max by (session_id) ({})"
    last_event = by_session.format(of("translation_session_last_event_timestamp_seconds"))
    return rows(
        "Newest sessions",
        "The 200 newest sessions, until 15 minutes after their end. A name leads to its dashboard and to the "
        "monitor's own page.",
        [
            LabelColumn("session_id", "Session", (to_session("__value.raw"), to_monitor("__value.raw"))),
            LabelColumn("kind", "Kind"),
            LabelColumn("engine", "Engine"),
            LabelColumn("model", "Model"),
            LabelColumn("worker", "Worker"),
        ],
        [
            Column(Query(f"max by ({info}) ({of('translation_session_info')})", "Sessions")),
            Column(
                Query(by_session.format(of("translation_session_progress_ratio")), "Progress"), "percentunit"
            ),
            Column(Query(by_session.format(of("translation_session_eta_seconds")), "Time left"), "s"),
            Column(Query(f"time() - {last_event}", "Last event ago"), "s"),
        ],
        first="Last event ago",
        width=16,
    )


def _progress() -> list[Panel]:
    return [
        graph(
            "Progress",
            "How much of each unfinished session is done; a line ends 15 minutes after its session.",
            "percentunit",
            # With the finished ones there were up to 200 lines, nearly all at the top.
            Query(f"max by (session_id) ({of('translation_session_progress_ratio')}) < 1", "{{session_id}}"),
            top=1,
            links=(to_session(_ID_OF_LINE), to_monitor(_ID_OF_LINE)),
        ),
        graph(
            "Active sessions over time",
            "Sessions that have not ended, running or stalled.",
            "none",
            Query(total("translation_sessions_active", by="state"), "{{state}}"),
            stacked=True,
            colors=STATES,
        ),
        graph(
            "Sessions ended",
            "Ends within a moving window of at least four scrapes, by result.",
            "none",
            Query(increase("translation_sessions_finished_total", by="result"), "{{result}}"),
            stacked=True,
            bars=True,
            colors=RESULTS,
        ),
        graph(
            "Error ratio",
            "Errors among items and errors; an alert asks for 20 % over 15 minutes.",
            "percentunit",
            Query(error_ratio("$__rate_interval"), "errors"),
            limits={0.2: RED},
            top=1,
        ),
        graph(
            "Items",
            "Pages, lines and segments done per second, without those that a resume brought along.",
            ITEMS_PER_S,
            Query(rate("translation_items_total", by="kind"), "{{kind}}"),
        ),
        graph(
            "Events by type",
            "Events stored per second, by type.",
            "eps",
            Query(rate("translation_events_total", by="type"), "{{type}}"),
            stacked=True,
        ),
        graph(
            "Errors",
            "Errors that producers reported per second, fatal or not, by step and class.",
            "cps",
            # Without the comparison there were a line at 0 for each class of each step.
            Query(
                rate("translation_errors_total", by="step, error_type") + " > 0", "{{step}}: {{error_type}}"
            ),
            bars=True,
            stacked=True,
        ),
    ]


def _delivery() -> list[Panel]:
    return [
        graph(
            "Delivery to viewers",
            "From an event's receipt to the socket write; no line while nobody watches.",
            "s",
            *quantiles(_DELIVERIES),
            limits={1: RED},
        ),
        graph(
            "Model request time",
            "How long requests to models take, as producers report it.",
            "s",
            *quantiles("translation_llm_request_duration_seconds", shares=(0.5, 0.95)),
        ),
        graph(
            "Session duration",
            "From the first event to the last, of the sessions that have just ended.",
            "s",
            *quantiles("translation_session_duration_seconds", shares=(0.5, 0.95)),
        ),
        graph(
            "Tokens",
            "Tokens sent to and received from models per second.",
            TOKENS_PER_S,
            Query(rate("translation_llm_tokens_total", by="direction"), "{{direction}}"),
        ),
        graph(
            "Cost per hour",
            "What model requests cost per hour at the present pace, by model.",
            "currencyUSD",
            Query(f"3600 * {rate('translation_llm_cost_usd_total', by='model')}", "{{model}}"),
            stacked=True,
        ),
        graph(
            "Cache hits",
            "The share of lookups in the producers' caches that found a translation.",
            "percentunit",
            Query(f"{rate(_LOOKUPS, HIT)} / {rate(_LOOKUPS)}", "hits"),
            top=1,
        ),
    ]


def dashboard() -> Dashboard:
    """The dashboard."""
    return board(
        OVERVIEW_UID,
        "Translation Monitor / Overview",
        "Is it all right now?",
        _rows(),
        links=[monitor_link("Monitor", "/monitor")],
    )
