"""Times, amounts and texts as a terminal shows them."""

from __future__ import annotations

import time

import pytest

from cli.display import duration, eta, items, moment, printable


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (-3, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (7830, "2 h 10 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_are_words(seconds: float | None, words: str) -> None:
    """Two units at most, rounded."""
    assert duration(seconds) == words


def test_nothing_in_a_text_steers_the_terminal() -> None:
    """C0, C1, line and paragraph separators and bidirectional overrides are replaced."""
    unsafe = [chr(code) for code in (*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029, 0x202E, 0x2066)]
    assert printable("".join(unsafe)) == "\ufffd" * len(unsafe)
    assert printable("Привет, 世界 🌍") == "Привет, 世界 🌍"
    assert printable("abcdef", 4) == "abc…"
    assert printable(None) == ""


def test_moments_of_another_day_have_their_date() -> None:
    """Today's need only the time."""
    assert len(moment(time.time())) == len("12:00:00")
    assert len(moment(86_400.0 * 365)) == len("1970-12-31 12:00")
    assert moment(None) == ""


def test_what_is_known_of_the_work() -> None:
    """`item n of m` and the time left, as far as they are known."""
    assert items({"items_done": 3, "total_items": 10}) == "3/10"
    assert items({"items_done": 3, "total_items": None}) == "3"
    assert items({"items_done": None, "current_item": "line_3\n"}) == "line_3\ufffd"
    assert eta({"low": 60, "high": 90}) == "1 min 00 s to 1 min 30 s"
    assert eta({"low": 5.1, "high": 5.2}) == "5 s"
    assert eta(None) == ""
