"""The monitor's replies to a publisher, and what each means for its event.

Source: docs/protocol.md, "WebSocket".
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

import msgspec

from translation_events.errors import ErrorCode


class Reply(msgspec.Struct, gc=False, frozen=True):
    """An `ack` or an `error` frame; other types of frame are not for publishers."""

    type: str
    id: str | None = None
    seq: int | None = None
    duplicate: bool = False
    code: str = ""
    field: str | None = None
    detail: str = ""
    index: int | None = None


class Verdict(Enum):
    """What a reply means for its event."""

    ACKED = auto()
    DROPPED = auto()
    LATER = auto()
    BARRED = auto()


# Not the event's fault: what this publisher may do. The events wait until somebody has changed that.
_BARRING: Final = frozenset({ErrorCode.UNAUTHORIZED.value, ErrorCode.READ_ONLY.value})
_PASSING: Final = frozenset({ErrorCode.RATE_LIMITED.value, ErrorCode.LOG_UNAVAILABLE.value})
_UNREAD: Final = frozenset({ErrorCode.INVALID_JSON.value, ErrorCode.INVALID_EVENT.value})
_decode: Final = msgspec.json.Decoder(Reply | list[Reply]).decode


def read_replies(frame: str) -> Sequence[Reply]:
    """The replies in a frame. Raises: msgspec.DecodeError where it holds something else."""
    replies = _decode(frame)
    found = replies if isinstance(replies, list) else [replies]
    return [reply for reply in found if reply.type in ("ack", "error")]


def verdict_of(reply: Reply) -> Verdict:
    """ACKED, DROPPED (final, as is a code of a newer server), LATER or BARRED."""
    if reply.type == "ack":
        return Verdict.ACKED
    if reply.code in _PASSING:
        return Verdict.LATER
    return Verdict.BARRED if reply.code in _BARRING else Verdict.DROPPED


def refuses_array(reply: Reply) -> bool:
    """True where an error can only mean a whole array: no event of ours lacks an id."""
    return reply.type == "error" and reply.id is None and reply.index is None and reply.code in _UNREAD
