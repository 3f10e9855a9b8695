"""One line of the table: a target, what was measured, and whether it is met."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """`met` is None where nothing could be judged (a missing peer, a shortened run)."""

    name: str
    measure: str
    target: str
    measured: str
    peers: str = ""
    met: bool | None = None


def median(values: Iterable[float]) -> float:
    """The median, NaN for nothing."""
    found = list(values)
    return statistics.median(found) if found else math.nan


def render(rows: Sequence[Row]) -> str:
    """The table as Markdown."""
    verdict = {True: "met", False: "**not met**", None: "–"}
    lines = ["| # | measure | target | measured | beside peers | |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [
        f"| {row.name} | {row.measure} | {row.target} | {row.measured} | {row.peers} | {verdict[row.met]} |"
        for row in rows
    ]
    return "\n".join(lines)
