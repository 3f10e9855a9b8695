"""Spans that are made and not yet exported: in order, bounded, and able to outlive the process.

Pure: no clock, no I/O, no SDK.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from exporters.tracing_draft import Role, SpanDraft

MAX_CHILDREN_PER_SESSION: Final = 256
MAX_CHILDREN: Final = 20_000
MAX_BATCH_BYTES: Final = 1024 * 1024  # a gRPC server takes 4 MiB a message unless told otherwise

_encode: Final = msgspec.msgpack.Encoder().encode
_decode_draft: Final = msgspec.msgpack.Decoder(SpanDraft).decode


class _Snapshot(msgspec.Struct, array_like=True):
    made_upto: int
    drafts: list[msgspec.Raw]


_decode_snapshot: Final = msgspec.msgpack.Decoder(_Snapshot).decode


class _Pending(NamedTuple):
    seq: int
    session_id: str
    role: Role
    blob: bytes  # encoded: a fifth of the memory of the objects, and a snapshot is a join


class PendingSpans:
    """Drafts in `seq` order, each once (by its derived ids).

    Memory with a collector that never comes back: a step or checkpoint takes about 0.7 KiB here, at most
    256 of them a session and 20,000 in all are kept, so 14 MiB. Beyond either bound the oldest checkpoint
    goes, then the oldest step. Roots always stay: one per attempt that has ended, 1.3 KiB as a rule and
    12 KiB with all of its 100 milestones, so 1000 attempts a day cost about 2 MiB a day.
    """

    def __init__(self, *, per_session: int = MAX_CHILDREN_PER_SESSION, children: int = MAX_CHILDREN) -> None:
        self._per_session = per_session
        self._max_children = children
        self._all: dict[str, _Pending] = {}
        self._of_session: dict[str, dict[str, _Pending]] = {}
        # Insertion-ordered sets of keys, so the oldest is the first.
        self._children: dict[Role, dict[str, None]] = {Role.CHECKPOINT: {}, Role.STEP: {}}
        self._taken: dict[str, None] = {}
        self._in_order = True

    def __len__(self) -> int:
        return len(self._all)

    @property
    def oldest_seq(self) -> int | None:
        """The lowest `seq` pending, None for nothing."""
        self._sort()
        return next((entry.seq for entry in self._all.values()), None)

    def add(self, draft: SpanDraft) -> int:
        """Keep a draft; returns how many had to be given up for it."""
        return self._add(draft, _encode(draft))

    def take(self, limit: int) -> list[SpanDraft]:
        """The oldest drafts, about `limit` or 1 MiB of them, until `settle` says how their export went.

        Those of one event stay together, so that a cursor between two of them never arises.
        """
        self._sort()
        drafts: list[SpanDraft] = []
        size = 0
        for key, entry in self._all.items():
            full = len(drafts) >= limit or size + len(entry.blob) > MAX_BATCH_BYTES
            if full and drafts and drafts[-1].seq != entry.seq:
                break
            size += len(entry.blob)
            drafts.append(_decode_draft(entry.blob))
            self._taken[key] = None
        return drafts

    def settle(self, *, exported: bool) -> int:
        """End what `take` began; the exported ones are forgotten. Returns how many were taken."""
        taken, self._taken = self._taken, {}
        if exported:
            for key in taken:
                self._remove(key)
        return len(taken)

    def snapshot(self, session_id: str, made_upto: int) -> bytes:
        """The session's drafts, b"" for none; every event up to `made_upto` has been considered for them."""
        entries = self._of_session.get(session_id)
        if not entries:
            return b""
        return _encode(_Snapshot(made_upto, [msgspec.Raw(entry.blob) for entry in entries.values()]))

    def restore(self, blob: bytes, *, after: int) -> tuple[int, int]:
        """Take back a snapshot's drafts with seq > `after`; returns its `made_upto` and the number given up.

        Raises: msgspec.DecodeError for bytes that `snapshot` did not make.
        """
        snapshot = _decode_snapshot(blob)
        drafts = [(_decode_draft(raw), bytes(raw)) for raw in snapshot.drafts]
        given_up = 0
        for draft, encoded in drafts:
            if draft.seq > after:
                given_up += self._add(draft, encoded)
        return snapshot.made_upto, given_up

    def _add(self, draft: SpanDraft, blob: bytes) -> int:
        key = draft.trace_id + draft.span_id
        if key in self._all:
            return 0
        entry = _Pending(draft.seq, draft.session_id, draft.role, blob)
        if self._in_order and self._all:
            self._in_order = entry.seq >= self._all[next(reversed(self._all))].seq
        self._all[key] = entry
        of_session = self._of_session.setdefault(entry.session_id, {})
        of_session[key] = entry
        if entry.role is Role.ROOT:
            return 0
        self._children[entry.role][key] = None
        given_up = 0
        if len(of_session) > self._per_session:
            mine = [(k, e.role) for k, e in of_session.items() if e.role is not Role.ROOT]
            if len(mine) > self._per_session:
                given_up += self._give_up(k for k, _ in sorted(mine, key=lambda child: child[1]))
        if sum(map(len, self._children.values())) > self._max_children:
            given_up += self._give_up(k for keys in self._children.values() for k in keys)
        return given_up

    def _give_up(self, candidates: Iterable[str]) -> int:
        """Forget the first candidate that is not on its way to the collector just now."""
        key = next((key for key in candidates if key not in self._taken), None)
        if key is None:
            return 0
        self._remove(key)
        return 1

    def _remove(self, key: str) -> None:
        entry = self._all.pop(key)
        of_session = self._of_session[entry.session_id]
        del of_session[key]
        if not of_session:
            del self._of_session[entry.session_id]
        if entry.role is not Role.ROOT:
            del self._children[entry.role][key]

    def _sort(self) -> None:
        """Put restored drafts in their places; once, at the first look after all were restored."""
        if not self._in_order:
            self._all = dict(sorted(self._all.items(), key=lambda item: item[1].seq))
            self._in_order = True
