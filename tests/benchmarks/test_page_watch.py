"""What the watch in the page has seen becomes figures."""

from __future__ import annotations

import math
from typing import Any

import pytest

from benchmarks.page_watch import Figures, quantile


def seen(*tasks: tuple[float, float], began: float = 1000.0, ended: float = 11_000.0) -> dict[str, Any]:
    """As the page tells it: tasks by start and duration, in milliseconds."""
    return {
        "began": began,
        "ended": ended,
        "tasks": tasks,
        "frames": [],
        "inputs": [],
        "ours": [],
        "events": 0,
    }


def test_a_second_counts_once_however_many_tasks_it_held() -> None:
    """The share of seconds, not of tasks."""
    figures = Figures.read(seen((1100.0, 60.0), (1300.0, 70.0), (5000.0, 51.0)))
    assert (figures.seconds, figures.seconds_with_long_task, figures.longest_task_ms) == (10, 2, 70.0)
    assert figures.smooth_ratio == pytest.approx(0.8)


def test_a_task_over_the_end_of_a_second_holds_both() -> None:
    """From its first to its last millisecond; what lies outside of the reading does not count."""
    assert Figures.read(seen((1950.0, 100.0))).seconds_with_long_task == 2
    assert Figures.read(seen((2000.0, 3000.0))).seconds_with_long_task == 4
    assert Figures.read(seen((10_990.0, 2000.0), (500.0, 60.0))).seconds_with_long_task == 1


def test_what_the_measurement_itself_did_is_not_the_page_s() -> None:
    """A collection forced to read the heap."""
    found = seen((1500.0, 80.0), (3000.0, 60.0)) | {"ours": [[1490.0, 1600.0]]}
    figures = Figures.read(found)
    assert (figures.seconds_with_long_task, figures.longest_task_ms) == (1, 60.0)


def test_a_quantile_of_nothing_is_no_number() -> None:
    """Nearest rank."""
    assert math.isnan(quantile([], 0.5))
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.5, 0.99)] == [1.0, 3.0, 4.0]
