"""What people see in a terminal: text that cannot steer it, times and amounts in words."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

# Control characters could move the cursor, retitle the window or paste commands; the bidirectional ones
# could make a line read as another.
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(value: object, limit: int | None = None) -> str:
    """Text that is safe on a terminal, one line of at most `limit` characters; None is empty."""
    text = "" if value is None else _UNSAFE.sub("\ufffd", str(value))
    return text if limit is None or len(text) <= limit else f"{text[: limit - 1]}…"


def duration(seconds: float | None) -> str:
    """Seconds in words: `8 s`, `3 min 05 s`, `2 h 10 min`, `4 d 3 h`; None is empty."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def moment(unix_s: float | None) -> str:
    """Local time of day; with the date where that is not today's; None is empty."""
    if unix_s is None:
        return ""
    local = datetime.fromtimestamp(unix_s).astimezone()
    today = datetime.fromtimestamp(time.time()).astimezone().date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"


def eta(eta_s: Mapping[str, Any] | None) -> str:
    """The estimate `{low, high}` as `2 min 00 s to 3 min 10 s`; None is empty."""
    if not eta_s:
        return ""
    low, high = duration(eta_s.get("low")), duration(eta_s.get("high"))
    return low if low == high else f"{low} to {high}"


def items(session: Mapping[str, Any]) -> str:
    """`item n of m` of a session, as far as it is known."""
    done, total = session.get("items_done"), session.get("total_items")
    if done is None:
        return printable(session.get("current_item"), 24)
    return f"{done}/{total}" if total else str(done)
