"""PromQL as the panels need it: every selector is narrowed to the chosen job and instance.

Counters are read with `$__rate_interval`, which Grafana makes at least four scrapes long; another window is
given only where the window itself is what is shown (a burn rate, "24 h").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HERE: Final = 'job=~"$job", instance=~"$instance"'
WORKER: Final = 'worker=~"$worker"'
HIT: Final = 'result="hit"'
SESSION: Final = 'session_id="$session"'  # no pattern: an id may have a point, which would match anything
RATE_INTERVAL: Final = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Query:
    """One line of a panel: what is asked, and what the answer is called."""

    expr: str
    legend: str


def of(metric: str, *matchers: str) -> str:
    """The series of `metric` that match."""
    return f"{metric}{{{', '.join((HERE, *matchers))}}}"


def total(metric: str, *matchers: str, by: str = "") -> str:
    """The sum of a gauge; `by` names labels, comma-separated."""
    return f"sum{_by(by)} ({of(metric, *matchers)})"


def rate(metric: str, *matchers: str, by: str = "") -> str:
    """Per second, of a counter."""
    return f"sum{_by(by)} (rate({of(metric, *matchers)}[{RATE_INTERVAL}]))"


def increase(metric: str, *matchers: str, by: str = "", over: str = RATE_INTERVAL) -> str:
    """How much a counter has grown within `over`."""
    return f"sum{_by(by)} (increase({of(metric, *matchers)}[{over}]))"


def quantile(share: float, histogram: str, *matchers: str, by: str = "") -> str:
    """The value that `share` of a histogram's observations stay under."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', *matchers, by=labels)})"


def quantiles(histogram: str, *matchers: str, shares: tuple[float, ...] = (0.5, 0.99)) -> tuple[Query, ...]:
    """Several quantiles of one histogram, called p50, p99."""
    return tuple(Query(quantile(share, histogram, *matchers), f"p{share * 100:g}") for share in shares)


def share(part: str, whole: str) -> str:
    """`part` of `whole`, 0 to 1, and 0 where there is nothing at all; for counts of whole things."""
    return f"{part} / clamp_min({whole}, 1)"


def own(process: str) -> str:
    """`process`, an expression that keeps job and instance, of the monitors alone.

    Prometheus, Alertmanager and the collector expose the same families about themselves.
    """
    return f"({process} and on (job, instance) {of('translation_build_info')})"


def rate_like_session(metric: str, same: str, *, by: str) -> str:
    """Per second, of a counter, where its label `same` has the chosen session's value."""
    labels = ", ".join(dict.fromkeys(("job", "instance", same, by)))
    like = f"on (job, instance, {same}) {of('translation_session_info', SESSION)}"
    return f"sum by ({by}) ({rate(metric, by=labels)} and {like})"


def quantile_like_session(share: float, histogram: str, same: str) -> str:
    """A quantile over observations whose label `same` has the chosen session's value."""
    return f"histogram_quantile({share}, {rate_like_session(f'{histogram}_bucket', same, by='le')})"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
