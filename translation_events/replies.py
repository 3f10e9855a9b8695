"""The monitor's replies to a publisher, and the events in flight they settle.

Source: docs/protocol.md, "WebSocket".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

import msgspec

from translation_events.errors import ErrorCode
from translation_events.spool import Record


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


class Sent:
    """An event in flight; `at` is loop time in seconds, `reply` its answer once it came."""

    __slots__ = ("at", "in_array", "record", "reply", "verdict")

    def __init__(self, record: Record, at: float) -> None:
        self.record = record
        self.at = at
        self.in_array = False
        self.reply: Reply | None = None
        self.verdict: Verdict | None = None


class InFlight:
    """Events sent and not yet settled, in the order sent; bounded by whoever adds."""

    def __init__(self) -> None:
        self._sent: deque[Sent] = deque()
        self._unanswered: deque[Sent] = deque()

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def unanswered(self) -> int:
        """How many have had no reply."""
        return len(self._unanswered)

    @property
    def oldest_at(self) -> float | None:
        """When the oldest event without a reply was sent."""
        return self._unanswered[0].at if self._unanswered else None

    def add(self, sent: Sent) -> None:
        """Note an event that is about to be sent, or one that is settled without sending (`verdict` set)."""
        self._sent.append(sent)
        if sent.verdict is None:
            self._unanswered.append(sent)

    def answer(self, reply: Reply) -> Sent | None:
        """The event this reply is about: the oldest unanswered one, unless the id says another."""
        if not self._unanswered:
            return None
        if reply.id is None or self._unanswered[0].record.id == reply.id:
            sent = self._unanswered.popleft()
        else:
            found = next((sent for sent in self._unanswered if sent.record.id == reply.id), None)
            if found is None:
                return None
            sent = found
            self._unanswered.remove(sent)
        sent.reply, sent.verdict = reply, verdict_of(reply)
        return sent

    def refuses_array(self, reply: Reply) -> bool:
        """True where the reply can only mean a whole array: no event of ours lacks an id."""
        if not self._unanswered or not self._unanswered[0].in_array or reply.type != "error":
            return False
        return reply.id is None and reply.index is None and reply.code in _UNREAD

    def take_settled(self) -> list[Sent]:
        """Remove and return the oldest events that are settled for good."""
        settled: list[Sent] = []
        while self._sent and self._sent[0].verdict in (Verdict.ACKED, Verdict.DROPPED):
            settled.append(self._sent.popleft())
        return settled

    def oldest(self) -> Sent | None:
        """The oldest event in flight."""
        return self._sent[0] if self._sent else None

    def clear(self) -> None:
        """Forget all: the spool is read again."""
        self._sent.clear()
        self._unanswered.clear()
