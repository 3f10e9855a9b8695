"""Pending spans: in order, once, bounded, and back after a restart."""

from __future__ import annotations

import msgspec
import pytest

from exporters.tracing_draft import Role, SpanDraft
from exporters.tracing_pending import PendingSpans


def draft(seq: int, *, session_id: str = "book", role: Role = Role.CHECKPOINT, text: str = "") -> SpanDraft:
    """A draft whose ids follow from its role and seq."""
    return SpanDraft(
        seq=seq,
        session_id=session_id,
        role=role,
        name=role.name,
        trace_id="a" * 32,
        span_id=f"{role:02x}{seq:014x}",
        parent_span_id=None,
        parent_remote=False,
        start_at=1.0,
        end_at=2.0,
        attributes={"text": text},
    )


def seqs(drafts: list[SpanDraft]) -> list[int]:
    """Their seqs."""
    return [draft.seq for draft in drafts]


def test_a_span_leaves_only_once_it_is_exported() -> None:
    """The span reader's cursor advances only after success."""
    pending = PendingSpans()
    for seq in (3, 5, 8):
        pending.add(draft(seq))
    assert seqs(pending.take(2)) == [3, 5]
    assert pending.settle(exported=False) == 2
    assert (pending.oldest_seq, len(pending)) == (3, 3)
    assert seqs(pending.take(2)) == [3, 5]
    assert pending.settle(exported=True) == 2
    assert (pending.oldest_seq, len(pending)) == (8, 1)


def test_the_spans_of_one_event_leave_together() -> None:
    """A cursor is a seq: it cannot stand between two spans of one event."""
    pending = PendingSpans()
    pending.add(draft(4))
    pending.add(draft(4, role=Role.STEP))
    pending.add(draft(4, role=Role.ROOT))
    pending.add(draft(5))
    assert seqs(pending.take(1)) == [4, 4, 4]


def test_a_batch_is_bounded_in_bytes() -> None:
    """A collector takes messages of a few MiB only."""
    pending = PendingSpans()
    for seq in range(1, 11):
        pending.add(draft(seq, role=Role.ROOT, text="x" * 300_000))
    assert seqs(pending.take(512)) == [1, 2, 3]


def test_the_same_span_is_kept_once() -> None:
    """Ids are derived: a span made twice is the same span."""
    pending = PendingSpans()
    assert pending.add(draft(4)) == pending.add(draft(4)) == 0
    assert len(pending) == 1


def test_room_for_a_session_is_bounded_and_checkpoints_go_first() -> None:
    """At most so many steps and checkpoints a session; the oldest checkpoint goes first, a root never."""
    pending = PendingSpans(per_session=4)
    lost = [
        pending.add(draft(1, role=Role.ROOT)),
        pending.add(draft(2, role=Role.STEP)),
        pending.add(draft(3)),
        pending.add(draft(4)),
        pending.add(draft(5, role=Role.STEP)),
        pending.add(draft(6, role=Role.STEP)),
        pending.add(draft(7, role=Role.STEP)),
        pending.add(draft(8, role=Role.STEP)),
        pending.add(draft(9, role=Role.ROOT)),
    ]
    assert lost == [0, 0, 0, 0, 0, 1, 1, 1, 0]
    assert seqs(pending.take(99)) == [1, 5, 6, 7, 8, 9]


def test_room_for_all_sessions_is_bounded() -> None:
    """A dead collector costs bounded memory, however many sessions there are; every root stays."""
    pending = PendingSpans(children=100)
    lost = 0
    for seq in range(1, 1001):
        lost += pending.add(draft(seq, session_id=f"s{seq}", role=Role.ROOT))
        lost += pending.add(draft(seq, session_id=f"s{seq}"))
    assert (lost, len(pending)) == (900, 1100)
    assert pending.oldest_seq == 1


def test_a_span_on_its_way_is_not_given_up() -> None:
    """What is being sent may arrive: given up as well, it would be counted twice."""
    pending = PendingSpans(per_session=2)
    pending.add(draft(1))
    pending.add(draft(2))
    pending.take(1)
    assert pending.add(draft(3)) == 1
    assert pending.settle(exported=True) == 1
    assert seqs(pending.take(9)) == [3]


def test_a_snapshot_brings_a_sessions_spans_back_in_their_places() -> None:
    """The span state is stored with the session's summary and taken back at start-up."""
    before = PendingSpans()
    for seq in range(1, 7):
        before.add(draft(seq, session_id="odd" if seq % 2 else "even"))
    after = PendingSpans()
    assert after.restore(before.snapshot("odd", 6), after=1) == (6, 0)
    assert after.restore(before.snapshot("even", 6), after=1) == (6, 0)
    assert after.take(99) == [draft(seq, session_id="odd" if seq % 2 else "even") for seq in range(2, 7)]


def test_a_session_with_nothing_pending_has_no_snapshot() -> None:
    """b"" for nothing."""
    assert PendingSpans().snapshot("book", 7) == b""


@pytest.mark.parametrize("blob", [b"\xc1", b"\x90", b"not a snapshot"])
def test_a_damaged_snapshot_is_refused(blob: bytes) -> None:
    """Bytes that no snapshot gave are an error, never half a session."""
    pending = PendingSpans()
    with pytest.raises(msgspec.DecodeError):
        pending.restore(blob, after=0)
    assert len(pending) == 0
