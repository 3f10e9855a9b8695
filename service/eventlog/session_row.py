"""What a store knows of a session by heart, so that a group needs no look-ups."""

from __future__ import annotations

import msgspec


class SessionRow(msgspec.Struct, gc=False):
    """Counts of one session; `key` is its number in the other tables."""

    key: int
    total: int
    kept: int
    ids: int
    first_seq: int
    trimmed_through: int = 0
