"""The objective of the relay: 99.9 % of deliveries within 1 s of the event's receipt, over 30 days."""

from __future__ import annotations

from typing import Final

from dashboards.grafana.queries import increase, share

ALLOWED_SLOW: Final = 0.001
IN_TIME: Final = 'le="1.0"'
BURN_WINDOWS: Final = ("5m", "1h", "6h", "1d", "3d")
_DELIVERIES: Final = "translation_relay_latency_seconds"


def slow_share(over: str) -> str:
    """The share of deliveries within `over` that came too late; 0 without any."""
    every = increase(f"{_DELIVERIES}_count", over=over)
    in_time = increase(f"{_DELIVERIES}_bucket", IN_TIME, over=over)
    return share(f"({every} - {in_time})", every)


def budget_left() -> str:
    """The share of the budget of 30 days that is unspent: 1 at first, below 0 when overspent."""
    return f"1 - {slow_share('30d')} / {ALLOWED_SLOW}"


def burn_rate(over: str) -> str:
    """How many times faster than allowed the budget was spent within `over`."""
    return f"{slow_share(over)} / {ALLOWED_SLOW}"
