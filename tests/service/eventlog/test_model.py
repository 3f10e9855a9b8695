"""Both logs against a model, over random histories of appends, repeats, restarts, trims and removals."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from service.eventlog.memory import MemoryEventLog
from service.eventlog.sqlite import SqliteEventLog
from translation_events.decode import decode_event
from translation_events.event import Event
from translation_events.log import EventLog, Saved

SESSIONS = ("a", "b", "c")
EVENTS = st.lists(
    st.tuples(st.sampled_from(SESSIONS), st.none() | st.sampled_from([f"i{n}" for n in range(12)])),
    min_size=1,
    max_size=14,
)


def event(session_id: str, event_id: str | None) -> Event:
    fields = {"type": "translation_progress", "session_id": session_id}
    if event_id is not None:
        fields["id"] = event_id
    return decode_event(msgspec.json.encode(fields))


class MemoryHistory(RuleBasedStateMachine):
    """The model: per session the seqs since it began, and the first seq of each id."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(debug=True)
        self.folder = tempfile.TemporaryDirectory()
        self.seqs: dict[str, list[int]] = {}
        self.ids: dict[tuple[str, str], int] = {}
        self.last_seq = 0
        self.limit: int | None = None
        self.log = self.runner.run(self.open())

    async def open(self) -> EventLog:
        return MemoryEventLog()

    @initialize(limit=st.none() | st.integers(1, 6))
    def begin(self, limit: int | None) -> None:
        self.limit = limit
        self.runner.run(self.retain())

    async def retain(self) -> None:
        if self.limit is not None:
            log = self.log
            log.retain(self.limit, lambda _: (b"x", log.last_seq), name="n")

    @rule(calls=st.lists(EVENTS, min_size=1, max_size=3))
    def append(self, calls: list[list[tuple[str, str | None]]]) -> None:
        """Several callers at once; they are served in the order of asking."""

        async def append_all() -> list[list[tuple[int, bool]]]:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self.log.append([event(*pair) for pair in call]), name="append")
                    for call in calls
                ]
            return [[(a.seq, a.duplicate) for a in task.result()] for task in tasks]

        expected = []
        for call in calls:
            answers = []
            for session_id, event_id in call:
                first = None if event_id is None else self.ids.get((session_id, event_id))
                if first is not None:
                    answers.append((first, True))
                    continue
                self.last_seq += 1
                self.seqs.setdefault(session_id, []).append(self.last_seq)
                if event_id is not None:
                    self.ids[session_id, event_id] = self.last_seq
                answers.append((self.last_seq, False))
            expected.append(answers)
        assert self.runner.run(append_all()) == expected

    @rule(session_id=st.sampled_from(SESSIONS))
    def forget(self, session_id: str) -> None:
        kept = self.runner.run(self.kept(session_id))
        assert self.runner.run(self.log.forget([session_id], name="n")) <= len(kept)
        self.seqs.pop(session_id, None)
        self.ids = {pair: seq for pair, seq in self.ids.items() if pair[0] != session_id}

    async def kept(self, session_id: str | None) -> list[int]:
        return [entry.seq for entry in await self.log.read(0, limit=100_000, session_id=session_id)]

    async def settled(self) -> None:
        for _ in range(4):
            await self.log.save([Saved("other", "turn", b"", 0)])

    @invariant()
    def holds_what_it_should(self) -> None:
        self.runner.run(self.settled())
        assert self.log.last_seq == self.last_seq
        together = self.runner.run(self.kept(None))
        every = []
        for session_id in SESSIONS:
            kept = self.runner.run(self.kept(session_id))
            ever = self.seqs.get(session_id, [])
            assert kept == ever[len(ever) - len(kept) :]
            if self.limit is None:
                assert len(kept) == len(ever)
            else:
                assert min(self.limit, len(ever)) <= len(kept) <= 2 * self.limit
            missed = self.runner.run(self.log.missed(0, self.last_seq + 1, session_id=session_id))
            assert missed == len(ever) - len(kept) or (missed is None and not ever)
            assert self.log.seen(session_id, self.last_seq) == len(ever)
            every += kept
        assert together == sorted(every)
        assert self.log.first_seq == (together[0] if together else 0)
        stats = self.runner.run(self.log.stats())
        assert (stats.events, stats.sessions) == (len(together), len(self.seqs))
        missed = self.runner.run(self.log.missed(0, self.last_seq + 1))
        assert missed == self.last_seq - len(together)

    def teardown(self) -> None:
        self.runner.run(self.log.aclose())
        self.runner.close()
        self.folder.cleanup()


class SqliteHistory(MemoryHistory):
    """The same, on a file that is closed and opened again at random."""

    async def open(self) -> EventLog:
        return await SqliteEventLog.open(Path(self.folder.name) / "events.db")

    @rule()
    def restart(self) -> None:
        self.runner.run(self.log.aclose())
        self.log = self.runner.run(self.open())
        self.runner.run(self.retain())


TestMemoryHistory = MemoryHistory.TestCase
TestMemoryHistory.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
TestSqliteHistory = SqliteHistory.TestCase
TestSqliteHistory.settings = settings(
    max_examples=20, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
