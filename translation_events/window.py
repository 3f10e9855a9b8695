"""The window: the events in flight, in the order sent, and how many there may be.

Between the spool, which holds what is not settled, and the connection, which is told what to send next.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from translation_events.errors import ErrorCode
from translation_events.replies import Reply, Verdict, refuses_array, verdict_of
from translation_events.spool import Record, Spool

MAX_UNACKNOWLEDGED: Final = 1_000
BATCH_EVENTS: Final = 250  # a quarter of the window, so that sending and acknowledging overlap


class Sent:
    """An event in flight; `at` is loop time in seconds, `reply` its answer once it came."""

    __slots__ = ("at", "in_array", "record", "reply", "verdict")

    def __init__(self, record: Record, at: float) -> None:
        self.record = record._replace(body=b"")  # what is to be sent again is read again
        self.at = at
        self.in_array = False
        self.reply: Reply | None = None
        self.verdict: Verdict | None = None


class Window:
    """Events sent and not yet settled, never more than 1,000."""

    def __init__(self, spool: Spool) -> None:
        self.arrays = True  # False once the monitor has refused one
        self._spool = spool
        self._size = MAX_UNACKNOWLEDGED
        self._sent: deque[Sent] = deque()
        self._unanswered: deque[Sent] = deque()

    @property
    def oldest_at(self) -> float | None:
        """When the oldest event without a reply was sent."""
        return self._unanswered[0].at if self._unanswered else None

    @property
    def must_back_off(self) -> bool:
        """True where the oldest event was refused for now and no reply is outstanding any more."""
        return self._refused_for_now and not self._unanswered

    def next_bodies(self, now: float) -> list[str]:
        """Put what comes next in the spool into the window and return it; [] if nothing fits or waits."""
        room = self._size - len(self._sent)
        if room <= 0 or self._refused_for_now:
            return []
        bodies: list[str] = []
        while not bodies and (records := self._spool.read(min(room, BATCH_EVENTS))):
            for record in records:
                sent = Sent(record, now)
                self._sent.append(sent)
                if record.id:
                    sent.in_array = self.arrays and len(records) > 1
                    self._unanswered.append(sent)
                    bodies.append(record.body.decode())
                else:
                    sent.verdict = Verdict.DROPPED  # a damaged line
        return bodies

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

    def was_array_refused(self, reply: Reply) -> bool:
        """True, once, where the monitor takes one event a frame; from then on that is what it gets."""
        if not refuses_array(reply) or not self._unanswered or not self._unanswered[0].in_array:
            return False
        self.arrays = False
        return True

    def settle(self) -> list[Sent]:
        """Take out the oldest events that are settled for good, in the spool too."""
        settled: list[Sent] = []
        while self._sent and self._sent[0].verdict in (Verdict.ACKED, Verdict.DROPPED):
            settled.append(self._sent.popleft())
        if settled:
            self._spool.resolve([sent.record for sent in settled])
            if not self._sent:
                self._size = min(MAX_UNACKNOWLEDGED, self._size * 2)
        return settled

    def restart(self) -> None:
        """Begin again at the oldest event that is not settled."""
        self._sent.clear()
        self._unanswered.clear()
        self._spool.rewind()

    def narrow(self) -> None:
        """Send one event, then two, then four: the monitor is short of something."""
        self._size = 1

    def frame_was_too_big(self) -> bool:
        """Find the event at fault by sending one at a time; False if nothing of ours was in flight."""
        if not self._sent:
            return False
        if self._size == 1:
            culprit = self._sent[0]
            culprit.verdict = Verdict.DROPPED
            culprit.reply = Reply("error", culprit.record.id, code=ErrorCode.TOO_LARGE.value)
        self.arrays = False
        self.narrow()
        return True

    @property
    def _refused_for_now(self) -> bool:
        return bool(self._sent) and self._sent[0].verdict is Verdict.LATER
