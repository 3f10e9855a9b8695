"""Parameters of a query, checked: numbers, flags, lists of names. HTTP and WebSocket read them alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from translation_events.decode import check_session_id
from translation_events.errors import InvalidEvent, MonitorError

Query = Mapping[str, str]

MOST: Final = 2**63 - 1  # what the log can number
MAX_DIGITS: Final = len(str(MOST))


class WrongParameter(MonitorError):
    """A parameter that cannot be understood; `field` names it, the detail says what is allowed."""

    def __init__(self, field: str, allowed: str) -> None:
        super().__init__("bad_request", f"{field} is wrong; allowed: {allowed}.")
        self.field = field


def number_of(query: Query, name: str, default: int, *, least: int = 0, most: int = MOST) -> int:
    """A whole number, `default` where it is absent or empty. Raises: WrongParameter."""
    number = parse_number(name, query.get(name, ""), least=least, most=most)
    return default if number is None else number


def parse_number(name: str, value: str, *, least: int = 0, most: int = MOST) -> int | None:
    """`value` as a whole number, None where it is empty. Raises: WrongParameter."""
    if not value:
        return None
    # The length first: Python refuses to read thousands of digits, which is not the client's error to see.
    digits = value.lstrip("0") or "0"
    whole = value.isascii() and value.isdecimal() and len(digits) <= MAX_DIGITS
    if not whole or not least <= int(digits) <= most:
        raise WrongParameter(name, f"a whole number from {least} to {most}")
    return int(digits)


def flag_of(query: Query, name: str) -> bool:
    """A yes or no, absent meaning no. Raises: WrongParameter."""
    value = query.get(name, "").lower()
    if value not in ("", "0", "1", "false", "true"):
        raise WrongParameter(name, "1 or 0")
    return value in ("1", "true")


def names_of(query: Query, name: str, allowed: Collection[str]) -> frozenset[str] | None:
    """Names separated by commas; None where absent or empty. Raises: WrongParameter."""
    names = frozenset(part.strip() for part in query.get(name, "").split(",")) - {""}
    if unknown := names - set(allowed):
        shown = ", ".join(sorted(unknown))[:100]
        raise WrongParameter(name, f"{', '.join(allowed)}, separated by commas; unknown: {shown}")
    return names or None


def session_of(query: Query, name: str = "session_id") -> str | None:
    """A session, None for all of them (absent, empty or `*`). Raises: WrongParameter."""
    session_id = query.get(name) or "*"
    if session_id == "*":
        return None
    try:
        check_session_id(session_id, internal=True)
    except InvalidEvent as err:
        raise WrongParameter(name, "1 to 128 characters of A-Z a-z 0-9 . _ : - or *") from err
    return session_id
