"""How many of a session's events retention has removed between two places in the log."""

from __future__ import annotations


def missed_of_session(
    after: int, before: int, seen: int | None, trimmed: int, first_seq: int, trimmed_through: int
) -> int | None:
    """Count the session's removed events with after < seq < before; None where only "some" is known.

    `trimmed` of its events are gone, the last of them `trimmed_through`; they are a beginning, since trimming
    takes the oldest. `seen` of its events have a seq <= after, where the caller knows.
    """
    if after >= trimmed_through:
        return 0
    if before <= trimmed_through:
        return None  # removed to somewhere past `before`: how many before it is not known any more
    if after < first_seq:
        return trimmed
    if seen:
        return max(0, trimmed - seen)
    return None
