"""The items of an attempt: how many are done, how long each took, how long the rest will take.

Source: docs/protocol.md, "Life of a session".
"""

from __future__ import annotations

from typing import Any, Final

from translation_events.ending import ERRORS, completes
from translation_events.event import SAFE_INTEGER, Event, StoredEvent
from translation_events.session import Attempt, Change, ItemsDone, Kind

NEWEST_ITEMS: Final = 50  # the sample an ETA is read from
ROUNDING: Final = 1e-6  # of an item: what a percentage loses on its way through a float
MAX_ITEM_DIGITS: Final = 15  # exact in a double
# Reaching an enum's member through its class costs more than comparing with it.
_TRANSLATION: Final = Kind.TRANSLATION


def eta_s(attempt: Attempt) -> tuple[float, float] | None:
    """Seconds left as (low, high): remaining × p25 and p75 of the newest items' seconds; None before 5."""
    times, total, done = attempt.item_seconds, attempt.total_items, attempt.items_done
    if attempt.ended or total is None or done is None or len(times) < 5:
        return None
    ranked = sorted(times)
    remaining = max(0, total - done)
    last = len(ranked) - 1
    return remaining * ranked[round(last * 0.25)], remaining * ranked[round(last * 0.75)]


def fold_progress(attempt: Attempt, stored: StoredEvent, changes: list[Change]) -> None:
    """Take what the event says of items and progress; new items done are a change."""
    event = stored.event
    if event.total_items is not None:
        attempt.total_items = event.total_items
    if event.current_item is not None:
        attempt.current_item = event.current_item
    if event.failed_items is not None:
        attempt.failed_items = event.failed_items
    if event.type in ERRORS:
        return  # an item that failed is not an item done
    if event.progress is not None:
        attempt.progress = event.progress
    elif completes(attempt, event):
        attempt.progress = 100.0
    data = event.data
    if data is not None and data.items_resumed is not None:
        resumed = _count(data.items_resumed) or 0
        if resumed > attempt.items_resumed:
            attempt.items_resumed = resumed
            # A killed run's session is still the same attempt: the hours in between are no item's.
            attempt.last_item_received = stored.received_at
    done = _items_done(attempt, event)
    if done is None:
        return
    before = attempt.items_done or 0
    new = done - max(before, attempt.items_resumed)
    attempt.items_done = max(before, done)
    if new <= 0:
        return
    # Its own constructor, written in Python, would take three times as long.
    changes.append(tuple.__new__(ItemsDone, (attempt.kind or _TRANSLATION, new)))
    if stored.seq == attempt.first_seq:
        return  # what its first event says is done took a time nobody has seen: no sample for the ETA
    received_at, times = stored.received_at, attempt.item_seconds
    each = max(0.0, received_at - attempt.last_item_received) / new
    times += [each] * min(new, NEWEST_ITEMS)
    if len(times) > NEWEST_ITEMS:
        del times[:-NEWEST_ITEMS]
    attempt.last_item_received = received_at


def _items_done(attempt: Attempt, event: Event) -> int | None:
    total, item = attempt.total_items, event.current_item
    done = None if event.data is None or event.data.items_done is None else _count(event.data.items_done)
    if done is None and isinstance(item, int):
        done = _count(item)
    if done is None and isinstance(item, str) and (digits := item[len(item.rstrip("0123456789")) :]):
        done = int(digits[-MAX_ITEM_DIGITS:])
    if done is None and total is not None and attempt.progress is not None:
        is_complete = completes(attempt, event)
        if event.progress is None and not is_complete:
            return None
        # 7 of 11 is 63.63636363636363 %, of which 11 % must give 7 again, not 6.
        done = int(attempt.progress * total / 100 + ROUNDING)
        if is_complete:
            done = max(0, done - (attempt.failed_items or 0))
    if done is None:
        return None
    return done if total is None else min(done, total)


def _count(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # to a JavaScript client 5 and 5.0 are the same number, and both folds must agree
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= SAFE_INTEGER:
        return value
    return None
