"""The exposition page, written in pieces so that a scrape never holds the loop for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from functools import partial
from time import perf_counter
from typing import Final

from prometheus_client import exposition
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector, CollectorRegistry

MAX_SAMPLES: Final = 50  # a sample costs 10 to 20 µs, so a piece about 1 ms
HOLD_S: Final = 0.001  # then others get a turn; with the snapshot or one more piece that stays under 5 ms
_EOF: Final = b"# EOF\n"

Encoder = Callable[[Collector], bytes]


class _Piece(Collector):
    """A registry of one family, or of a part of one."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)


def negotiate(accept: str) -> tuple[Encoder, str]:
    """The encoder and the content type for an `Accept` header: OpenMetrics 1.0 if asked for, else text 0.0.4.

    Every client that takes a newer text version takes 0.0.4 too, and our names need no escaping scheme.
    """
    try:
        _, wanted = exposition.choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number
        wanted = ""
    if wanted.startswith("application/openmetrics-text"):
        # Names that need no escaping come out the same, but "underscores" checks each character of each name.
        encoder: Encoder = partial(openmetrics.generate_latest, escaping=openmetrics.ALLOWUTF8)
        return encoder, openmetrics.CONTENT_TYPE_LATEST
    return exposition.generate_latest, exposition.CONTENT_TYPE_PLAIN_0_0_4


async def render(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """The whole page and its content type; gives way to the loop every ms."""
    encoder, content_type = negotiate(accept)
    page: list[bytes] = []
    turn = perf_counter()
    for metric in registry.collect():
        for piece in _pieces(metric, encoder):
            page.append(piece)
            if perf_counter() - turn > HOLD_S:
                await asyncio.sleep(0)
                turn = perf_counter()
    if content_type == openmetrics.CONTENT_TYPE_LATEST:
        page.append(_EOF)
    return b"".join(page), content_type


def _pieces(metric: Metric, encoder: Encoder) -> Iterator[bytes]:
    if len(metric.samples) <= MAX_SAMPLES:
        yield encoder(_Piece(metric)).removesuffix(_EOF)
        return
    part = copy(metric)
    part.samples = []
    header = encoder(_Piece(part)).removesuffix(_EOF)
    yield header
    for start in range(0, len(metric.samples), MAX_SAMPLES):
        part.samples = metric.samples[start : start + MAX_SAMPLES]
        yield encoder(_Piece(part)).removesuffix(_EOF)[len(header) :]
