"""The way out, for the Service dashboard: the relay, its viewers and its objective."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Panel

from dashboards.grafana.objectives import BURN_WINDOWS, burn_rate
from dashboards.grafana.panels import GREEN, RED, YELLOW, graph
from dashboards.grafana.queries import Query, of, quantiles, rate, total

_DELIVERIES: Final = "translation_relay_latency_seconds"


def relay() -> list[Panel]:
    """What reaches the viewers, how late, and who left."""
    return [
        graph(
            "Receipt to socket",
            "From an event's receipt to the write to each viewer's socket; no line while nobody watches.",
            "s",
            *quantiles(_DELIVERIES, shares=(0.5, 0.99, 0.999)),
            limits={1: RED},
        ),
        graph(
            "Deliveries",
            "Events written to viewers' sockets per second: events times viewers.",
            "mps",
            Query(rate("translation_relay_messages_total"), "deliveries"),
        ),
        graph(
            "Bytes to viewers",
            "Bytes of events written to viewers' sockets per second.",
            "Bps",
            Query(rate("translation_relay_bytes_total"), "bytes"),
        ),
        graph(
            "Connections",
            "Open WebSockets, by role.",
            "none",
            Query(total("translation_relay_connections", by="role"), "{{role}}"),
            stacked=True,
        ),
        graph(
            "Behind",
            "Events the farthest-behind viewer still has to get; it is served from the log at its own pace.",
            "none",
            Query(f"max({of('translation_relay_lag_events')})", "events"),
        ),
        graph(
            "Closed",
            "WebSockets closed per second, by who or what closed them.",
            "cps",
            Query(rate("translation_relay_closed_total", by="reason"), "{{reason}}"),
            stacked=True,
        ),
        graph(
            "Resumes",
            "Viewers that came back with a position per second; a gap: retention had passed it.",
            "cps",
            Query(rate("translation_relay_resumes_total", by="result"), "{{result}}"),
            colors={"complete": GREEN, "gap": RED},
        ),
        graph(
            "Gaps",
            "Gaps told to viewers per second, and the events in them.",
            "cps",
            Query(rate("translation_relay_gaps_total"), "gaps"),
            Query(rate("translation_relay_missed_events_total"), "events missed"),
        ),
        graph(
            "Refused requests",
            "Requests refused per second for who sent them, by reason.",
            "reqps",
            Query(rate("translation_auth_failures_total", by="reason"), "{{reason}}"),
            stacked=True,
        ),
    ]


def objective() -> list[Panel]:
    """How fast the budget of late deliveries is spent."""
    return [
        graph(
            "Burn rate",
            "How many times faster than allowed the budget is spent, over several windows. 1 spends it in "
            "exactly 30 days; alerts ask for 14.4 over 1 h, 6 over 6 h, 3 over 1 d and 1 over 3 d.",
            "none",
            *(Query(burn_rate(window), window) for window in BURN_WINDOWS),
            limits={1: YELLOW, 14.4: RED},
            width=24,
        )
    ]
