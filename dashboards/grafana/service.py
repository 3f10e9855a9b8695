"""Service: the monitor itself, from the way in to the way out."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards.grafana.board import SERVICE_UID, Row, board, monitor_link
from dashboards.grafana.delivery import objective, relay
from dashboards.grafana.panels import BLUE, GREEN, ORANGE, RED, YELLOW, graph, number
from dashboards.grafana.queries import Query, increase, of, own, quantile, quantiles, rate, total
from dashboards.grafana.tables import Column, LabelColumn, rows


def dashboard() -> Dashboard:
    """The dashboard."""
    return board(
        SERVICE_UID,
        "Translation Monitor / Service",
        "The monitor itself: what comes in, is stored and goes out, and what it costs.",
        [
            Row("Now", _now()),
            Row("Way in", _ingest()),
            Row("Log", _log()),
            Row("Relay", relay()),
            Row("Objective: 99.9 % of deliveries within 1 s", objective()),
            Row("Readers, traces and notices", _readers()),
            Row("Process", _process()),
        ],
        links=[monitor_link("Status", "/status")],
    )


def _now() -> list[Panel]:
    return [
        number(
            "Scraped",
            "Whether Prometheus reaches all that is chosen as job and instance: at first, the monitor.",
            "bool_yes_no",
            Query(f"min({of('up')})", "scraped"),
            base=RED,
            steps={1: GREEN},
        ),
        number(
            "Log writable",
            "Whether the event log takes events; if not, publishers keep them in their spools.",
            "bool_yes_no",
            Query(f"min({of('translation_log_connected')})", "writable"),
            base=RED,
            steps={1: GREEN},
        ),
        number(
            "Room for the log",
            "Free bytes where the log lives, as far as its medium can tell.",
            "bytes",
            Query(f"min({of('translation_log_free_bytes')})", "free"),
            base=RED,
            steps={1e9: YELLOW, 5e9: GREEN},
        ),
        number(
            "Connections used",
            "WebSockets open, of all that are allowed and of the places for viewers. An alert asks for 90 %.",
            "percentunit",
            Query(_used('role=~".+"', 'role="publisher"'), "all"),
            Query(_used('role=~"viewer|both"', 'role="viewer"'), "viewers"),
            steps={0.8: YELLOW, 0.9: RED},
        ),
        number(
            "Farthest viewer",
            "How many events the viewer that is farthest behind still has to get.",
            "none",
            Query(f"max({of('translation_relay_lag_events')})", "behind"),
            steps={1000: YELLOW},
        ),
        number(
            "Loop lag p99",
            "By how much the event loop was late, 99 times of 100.",
            "s",
            Query(quantile(0.99, "translation_event_loop_lag_seconds"), "p99"),
            steps={0.05: YELLOW, 0.25: RED},
        ),
        number(
            "Refused, 15 min",
            "Events refused in the last 15 minutes, over both ways in, for whatever reason.",
            "none",
            Query(increase("translation_events_rejected_total", over="15m"), "refused"),
            steps={1: YELLOW},
            decimals=0,
        ),
        number(
            "Running for",
            "Time since the process started.",
            "s",
            Query(f"time() - max{own(of('process_start_time_seconds'))}", "running"),
            base=BLUE,
        ),
    ]


def _used(roles: str, limit: str) -> str:
    open_ones = total("translation_relay_connections", roles)
    return f"{open_ones} / {total('translation_relay_connections_limit', limit)}"


def _ingest() -> list[Panel]:
    rejected = rate("translation_events_rejected_total", by="source, reason")
    return [
        graph(
            "Receipt to durable",
            "From an event's receipt until it is fsynced and acknowledged, over both ways in.",
            "s",
            *quantiles("translation_ingest_duration_seconds"),
        ),
        graph(
            "Events taken",
            "Events made durable per second, by the way they came.",
            "eps",
            Query(rate("translation_ingest_duration_seconds_count", by="source"), "{{source}}"),
            stacked=True,
        ),
        graph(
            "Refused and repeated",
            "Events refused per second, by reason, and repeats that were acknowledged and not stored again.",
            "eps",
            Query(f"{rejected} > 0", "{{source}}: {{reason}}"),
            Query(rate("translation_events_duplicate_total"), "repeats"),
        ),
    ]


def _log() -> list[Panel]:
    appended = "translation_log_append_events"
    return [
        graph(
            "Append",
            "How long a durable append of one group of events takes: the medium's own speed.",
            "s",
            *quantiles("translation_log_append_duration_seconds"),
        ),
        graph(
            "Events in an append",
            "Mean size of a group; it grows with the load, and that keeps the cost of durability bounded.",
            "none",
            Query(f"{rate(f'{appended}_sum')} / {rate(f'{appended}_count')}", "events"),
        ),
        graph(
            "Log failures",
            "Operations on the log that failed per second, by operation. Anything above 0 asks for a look.",
            "cps",
            Query(rate("translation_log_errors_total", by="op"), "{{op}}"),
            stacked=True,
        ),
    ]


def _readers() -> list[Panel]:
    return [
        graph(
            "Readers behind",
            "How many events each reader of the log has yet to see.",
            "none",
            Query(f"max by (reader) ({of('translation_reader_lag_events')})", "{{reader}}"),
        ),
        graph(
            "Spans",
            "Spans per second, by outcome. Those not exported are kept and tried again, except live ones.",
            "cps",
            Query(rate("translation_spans_total", by="outcome"), "{{outcome}}"),
            colors={"exported": GREEN, "queue_full": ORANGE, "export_failed": RED},
        ),
        graph(
            "Left out and miscounted",
            "Sessions without series of their own since 200 newer ones have them, and events that could not "
            "be counted fully, per second.",
            "cps",
            Query(rate("translation_session_series_dropped_total"), "sessions left out"),
            Query(rate("translation_metrics_errors_total"), "events miscounted"),
        ),
        graph(
            "Notices",
            "Notices to people per second, once for each receiver: sent, tries that failed, and given up.",
            "cps",
            Query(rate("translation_notifications_total", by="outcome"), "{{outcome}}"),
            colors={"sent": GREEN, "failed": ORANGE, "dropped": RED},
            width=12,
        ),
        graph(
            "Notices waiting",
            "Notices that each receiver has still to take; no line where nobody is to be told.",
            "none",
            Query(f"max by (receiver) ({of('translation_notifications_waiting')})", "{{receiver}}"),
            width=12,
        ),
    ]


def _process() -> list[Panel]:
    return [
        graph(
            "Event loop",
            "By how much a sleep of 0.5 s woke too late: while the loop is held, nobody is served.",
            "s",
            *quantiles("translation_event_loop_lag_seconds"),
            width=6,
        ),
        graph(
            "CPU",
            "Processor time per second; the loop itself uses at most one CPU.",
            "percentunit",
            Query(f"sum {own(rate('process_cpu_seconds_total', by='job, instance'))}", "CPU"),
            width=6,
        ),
        graph(
            "Memory",
            "Resident memory of the process.",
            "bytes",
            Query(f"sum by (instance) {own(of('process_resident_memory_bytes'))}", "{{instance}}"),
            width=6,
        ),
        graph(
            "File descriptors",
            "Descriptors in use; each connection takes one. A line that only rises is a leak.",
            "none",
            Query(f"sum {own(of('process_open_fds'))}", "open"),
            width=6,
        ),
        rows(
            "Running",
            "What runs.",
            [
                LabelColumn("instance", "Instance"),
                LabelColumn("version", "Version"),
                LabelColumn("revision", "Revision"),
                LabelColumn("python", "Python"),
            ],
            [
                Column(
                    Query(
                        f"max by (instance, version, revision, python) ({of('translation_build_info')})",
                        "Running",
                    )
                )
            ],
            height=4,
        ),
    ]
