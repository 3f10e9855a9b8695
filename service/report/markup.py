"""Text, numbers and times as they stand in the report: escaped, bounded, in UTC. Pure."""

from __future__ import annotations

import re
import time
import unicodedata
from html import escape
from itertools import groupby
from typing import Any, Final

from service.duration import duration

UNKNOWN: Final = "unknown"
NONE: Final = "–"  # of a table, where there may well be nothing
MAX_TEXT: Final = 2000
MAX_MARKS: Final = 8  # written languages need no more than five
# Overrides and embeddings make a line read as another one, C0 and C1 are invisible; line feeds and tabs stay.
_DECEPTIVE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: Any, most: int = MAX_TEXT) -> str:
    """Whatever it is, as text for HTML and for an attribute in double quotes."""
    whole = str(text)
    cut = whole[:most] + ("…" if len(whole) > most else "")
    return escape(_few_marks(_DECEPTIVE.sub(lambda found: f"⟦U+{ord(found[0]):04X}⟧", cut)))


def moment(at: float | None) -> str:
    """Date and time in UTC."""
    return UNKNOWN if at is None else time.strftime("%Y-%m-%d %H:%M:%S UTC", _utc(at))


def clock(at: float | None) -> str:
    """The time of day in UTC."""
    return UNKNOWN if at is None else time.strftime("%H:%M:%S", _utc(at))


def took(seconds: float | None) -> str:
    """How long something took; under 10 s with a tenth."""
    if seconds is None:
        return UNKNOWN
    return f"{max(0.0, seconds):.1f} s" if seconds < 10 else duration(seconds)


def number(value: float | None) -> str:
    """A count with separators."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def dollars(value: float | None) -> str:
    """US dollars; under a cent with all digits. A sum of nothing is unknown: nobody told a price."""
    if not value:
        return UNKNOWN
    return f"${value:.2g}" if value < 0.01 else f"${value:,.2f}"


def _few_marks(text: str) -> str:
    """Marks piled on one character are drawn over the lines around it: at most 8, the rest are counted."""
    if text.isascii():
        return text
    parts = []
    for marks, run in groupby(text, lambda char: unicodedata.category(char)[0] == "M"):
        chars = "".join(run)
        more = len(chars) - MAX_MARKS
        parts.append(f"{chars[:MAX_MARKS]}⟦+{more} marks⟧" if marks and more > 0 else chars)
    return "".join(parts)


def _utc(at: float) -> time.struct_time:
    return time.gmtime(min(max(at, 0.0), 253_402_300_799.0))  # the year 9999, where strftime ends
