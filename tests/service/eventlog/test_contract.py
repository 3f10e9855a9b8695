"""What every event log owes its readers: one contract, run against each implementation."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from translation_events.errors import LogUnavailable
from translation_events.event import Event, StoredEvent
from translation_events.log import EventLog, Saved

MakeEvent = Callable[..., Event]


def seqs(stored: Sequence[StoredEvent]) -> list[int]:
    return [entry.seq for entry in stored]


async def settled(log: EventLog) -> None:
    """All care that was due has been taken: a chore queued behind it has come back."""
    for _ in range(20):
        await log.save([Saved("test", "turn", b"", 0)])


class Folder:
    """A reader as the projection is one: counts a session's events up to where it has read."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.counts: Counter[str] = Counter()
        self.folded = 0

    async def run(self) -> None:
        async for batch in self.log.follow(self.folded):
            for entry in batch:
                self.counts[entry.event.session_id] += 1
            self.folded = batch[-1].seq

    def summarise(self, session_id: str) -> tuple[bytes, int] | None:
        return str(self.counts[session_id]).encode(), self.folded


async def test_events_are_numbered_from_one_without_a_hole_and_answered_in_order(
    log: EventLog, make_event: MakeEvent
) -> None:
    """`seq` is a positive integer, strictly increasing over the whole log."""
    assert (log.first_seq, log.last_seq) == (0, 0)
    first = await log.append([make_event("a"), make_event("b")])
    second = await log.append([make_event("a")])
    assert [(a.seq, a.duplicate) for a in [*first, *second]] == [(1, False), (2, False), (3, False)]
    assert (log.first_seq, log.last_seq) == (1, 3)


async def test_an_empty_append_is_answered_with_nothing(log: EventLog) -> None:
    """No events, no answers."""
    assert list(await log.append([])) == []


async def test_a_body_is_the_producers_object_with_seq_and_received_at(
    log: EventLog, make_event: MakeEvent
) -> None:
    """Unknown fields survive; what is read back is what followers were given."""
    await log.append([make_event("a", id="i", hello={"x": [1, "é"]}, timestamp=1_700_000_000)])
    [read] = await log.read(0, limit=10)
    [followed] = await anext(log.follow(0))
    assert read.body == followed.body
    assert read.received_at == followed.received_at
    assert read.node == followed.node == "local"
    assert read.body.startswith(b'{"type":"translation_progress","session_id":"a","id":"i","hello":{"x":[1,"')
    assert read.event.timestamp == 1_700_000_000


async def test_received_at_never_falls_within_the_log(
    log: EventLog, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server's clock that is set back does not reorder the log."""
    monkeypatch.setattr("time.time", lambda: 2_000.0)
    await log.append([make_event()])
    monkeypatch.setattr("time.time", lambda: 1_000.0)
    await log.append([make_event()])
    assert [entry.received_at for entry in await log.read(0, limit=9)] == [2_000.0, 2_000.0]


async def test_a_repeat_of_an_id_in_its_session_is_answered_with_the_first_seq(
    log: EventLog, make_event: MakeEvent
) -> None:
    """The same `id` in the same session is one event; in another session it is another."""
    await log.append([make_event("a", id="x"), make_event("a")])
    answers = await log.append(
        [make_event("a", id="y"), make_event("a", id="x"), make_event("b", id="x"), make_event("a", id="y")]
    )
    assert [(a.seq, a.duplicate) for a in answers] == [(3, False), (1, True), (4, False), (3, True)]
    assert seqs(await log.read(0, limit=10)) == [1, 2, 3, 4]
    assert (await log.stats()).events == 4


async def test_events_without_an_id_are_never_duplicates(log: EventLog, make_event: MakeEvent) -> None:
    """Equal events that carry no id are several events."""
    event = make_event("a", progress=1)
    answers = await log.append([event, event])
    assert [(a.seq, a.duplicate) for a in answers] == [(1, False), (2, False)]


async def test_appends_at_the_same_time_keep_each_callers_order(log: EventLog, make_event: MakeEvent) -> None:
    """Groups mix callers; within one call and between calls of one caller the order stays."""

    async def publish(session_id: str) -> list[int]:
        got = []
        for start in range(0, 60, 3):
            events = [make_event(session_id, current_item=start + i) for i in range(3)]
            got += [a.seq for a in await log.append(events)]
        return got

    answers = await asyncio.gather(*(publish(f"s{i}") for i in range(5)))
    assert all(got == sorted(got) for got in answers)
    assert sorted(seq for got in answers for seq in got) == list(range(1, 301))
    for number in range(5):
        items = [e.event.current_item for e in await log.read(0, limit=100, session_id=f"s{number}")]
        assert items == list(range(60))


async def test_a_call_of_ten_thousand_events_is_answered_in_order(
    log: EventLog, make_event: MakeEvent
) -> None:
    """The largest HTTP batch goes in as one call."""
    event = make_event()
    answers = await log.append([event] * 10_000)
    assert [a.seq for a in answers] == list(range(1, 10_001))
    assert log.last_seq == 10_000


async def test_a_cancelled_caller_hurts_no_other(log: EventLog, make_event: MakeEvent) -> None:
    """Cancelling one append leaves the others answered; its own events may be stored."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(log.append([make_event(f"s{i}")]), name=f"append {i}") for i in range(9)]
        await asyncio.sleep(0)
        tasks[4].cancel()
    assert tasks[4].cancelled()
    assert all(tasks[i].result()[0].seq for i in range(9) if i != 4)
    await log.append([make_event()])
    assert seqs(await log.read(0, limit=99)) == list(range(1, log.last_seq + 1))


async def test_read_gives_what_follows_the_cursor_filtered(log: EventLog, make_event: MakeEvent) -> None:
    """`read`: seq > after, ascending, at most `limit`; a filter by session and by type; empty = caught up."""
    types = ["translation_started", "translation_progress", "translation_error"]
    await log.append([make_event(f"s{i % 2}", types[i % 3]) for i in range(12)])
    assert seqs(await log.read(3, limit=4)) == [4, 5, 6, 7]
    assert seqs(await log.read(3, limit=99, session_id="s0")) == [5, 7, 9, 11]
    assert seqs(await log.read(0, limit=99, types=["translation_error"])) == [3, 6, 9, 12]
    assert seqs(await log.read(0, limit=2, session_id="s0", types=types[1:])) == [3, 5]
    assert seqs(await log.read(0, limit=99, types=[])) == []
    assert seqs(await log.read(12, limit=99)) == []
    assert seqs(await log.read(0, limit=99, session_id="unknown")) == []


async def test_newest_gives_the_last_that_match_ascending(log: EventLog, make_event: MakeEvent) -> None:
    """`last=N`: the newest N that match the filter, ascending."""
    types = ["translation_started", "translation_progress", "translation_error"]
    await log.append([make_event(f"s{i % 2}", types[i % 3]) for i in range(12)])
    assert seqs(await log.newest(3)) == [10, 11, 12]
    assert seqs(await log.newest(2, session_id="s0")) == [9, 11]
    assert seqs(await log.newest(2, types=types[:2])) == [10, 11]
    assert seqs(await log.newest(99, session_id="s1", types=types[2:])) == [6, 12]
    assert seqs(await log.newest(0)) == []


async def test_a_follower_gets_every_event_once_in_order_whenever_it_starts(
    log: EventLog, make_event: MakeEvent
) -> None:
    """History, then live, with no gap and no repeat."""
    got: list[list[int]] = [[], [], []]

    async def follow(number: int, after: int) -> None:
        async for batch in log.follow(after):
            got[number] += seqs(batch)
            if batch[-1].seq >= 3_000:
                return

    async with asyncio.TaskGroup() as group:
        group.create_task(follow(0, 0), name="from the start")
        for start in range(0, 3_000, 100):
            await log.append([make_event() for _ in range(100)])
            if start == 1_000:
                group.create_task(follow(1, 500), name="from history")
                group.create_task(follow(2, 2_000), name="from beyond the end")
    assert got == [list(range(1, 3_001)), list(range(501, 3_001)), list(range(2_001, 3_001))]


async def test_followers_hear_of_events_before_the_append_returns(
    log: EventLog, make_event: MakeEvent
) -> None:
    """What is acknowledged can be read by anyone who asks afterwards."""
    follower = log.follow(0)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(anext(follower), name="follower")
        await asyncio.sleep(0)
        answers = await log.append([make_event()])
        assert log.last_seq == answers[0].seq
    assert seqs(waiting.result()) == [1]


async def test_a_duplicate_wakes_no_follower(log: EventLog, make_event: MakeEvent) -> None:
    """A repeat is neither stored nor relayed again."""
    await log.append([make_event(id="x")])
    follower = log.follow(0)
    assert seqs(await anext(follower)) == [1]
    await log.append([make_event(id="x")])
    await log.append([make_event(id="y")])
    assert seqs(await anext(follower)) == [2]


async def test_a_cancelled_follower_leaves_the_others_waiting(log: EventLog, make_event: MakeEvent) -> None:
    """One viewer that goes must not take the others with it."""
    async with asyncio.TaskGroup() as group:
        gone = group.create_task(anext(log.follow(0)), name="gone")
        stays = group.create_task(anext(log.follow(0)), name="stays")
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        await log.append([make_event()])
    assert gone.cancelled()
    assert seqs(stays.result()) == [1]


async def test_recent_answers_from_the_ring_without_awaiting(log: EventLog, make_event: MakeEvent) -> None:
    """`recent`: at most `limit` events after the cursor from the ring."""
    await log.append([make_event() for _ in range(9)])
    assert seqs(log.recent(4, 3) or []) == [5, 6, 7]
    assert log.recent(9, 3) == []


async def test_seen_counts_a_sessions_events_up_to_a_place(log: EventLog, make_event: MakeEvent) -> None:
    """How many of the session's events ever stored have a seq <= upto."""
    await log.append([make_event(f"s{i % 3}") for i in range(9)])
    assert [log.seen("s0", upto) for upto in (0, 1, 3, 4, 9)] == [0, 1, 1, 2, 3]
    assert log.seen("never", 9) == 0


async def test_saved_blobs_come_back_by_name(log: EventLog) -> None:
    """`save` replaces by (name, key); `load` gives all of a name."""
    await log.save([Saved("a", "k", b"1", 1), Saved("a", "l", b"2", 2), Saved("b", "k", b"3", 3)])
    await log.save([Saved("a", "k", b"\x00new", 9)])
    assert await log.load("a") == {"k": (b"\x00new", 9), "l": (b"2", 2)}
    assert await log.load("b") == {"k": (b"3", 3)}
    assert await log.load("c") == {}


async def test_an_older_blob_never_takes_the_place_of_a_newer_one(log: EventLog) -> None:
    """A summary that waited while a trim saved a newer one would bring back a state whose events are gone."""
    await log.save([Saved("a", "k", b"new", 9)])
    await log.save([Saved("a", "k", b"old", 8), Saved("a", "l", b"1", 1)])
    assert await log.load("a") == {"k": (b"new", 9), "l": (b"1", 1)}
    await log.save([Saved("a", "k", b"again", 9)])
    assert (await log.load("a"))["k"] == (b"again", 9)


async def test_a_session_never_holds_twice_its_limit_nor_less_than_the_limit(
    log: EventLog, make_event: MakeEvent
) -> None:
    """At least the newest N of each session, trimmed in the background, never above twice that."""
    folder = Folder(log)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(folder.run(), name="folder")
        log.retain(100, folder.summarise, name="sessions")
        for _ in range(12):
            await log.append([make_event("big") for _ in range(70)] + [make_event("small")])
            kept = seqs(await log.read(0, limit=10_000, session_id="big"))
            assert min(100, folder.counts["big"]) <= len(kept) <= 200
        await log.append([make_event("big") for _ in range(5_000)])
        await settled(log)
        kept = seqs(await log.read(0, limit=10_000, session_id="big"))
        assert 100 <= len(kept) <= 200
        assert kept[-1] == log.last_seq
        assert len(await log.read(0, limit=99, session_id="small")) == 12
        assert (await log.stats()).events == len(kept) + 12
        reading.cancel()


async def test_the_summary_saved_with_a_trim_covers_what_was_removed(
    log: EventLog, make_event: MakeEvent
) -> None:
    """The summary is stored in the same transaction as the trim; what follows it is still there."""
    folder = Folder(log)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(folder.run(), name="folder")
        log.retain(50, folder.summarise, name="sessions")
        for _ in range(40):
            await log.append([make_event("s") for _ in range(17)])
        await settled(log)
        blob, seq = (await log.load("sessions"))["s"]
        kept = seqs(await log.read(0, limit=999, session_id="s"))
        assert seq >= kept[0] - 1
        assert int(blob) == seq  # every event up to seq is the session's
        reading.cancel()


async def test_events_that_are_not_folded_in_stay(log: EventLog, make_event: MakeEvent) -> None:
    """Events past the folded seq stay, whatever the bound; appends go on all the same."""
    log.retain(10, lambda _: (b"", 5), name="sessions")
    await log.append([make_event("s") for _ in range(60)])
    await settled(log)
    assert seqs(await log.read(0, limit=99, session_id="s")) == list(range(6, 61))


async def test_only_worker_status_goes_without_a_summary(log: EventLog, make_event: MakeEvent) -> None:
    """`worker_status` is never folded in, so it may go; anything else waits for a summary that has it."""
    log.retain(10, lambda _: None, name="sessions")
    status = {"worker": "w", "state": "up"}
    await log.append([make_event("w", "worker_status", data=status) for _ in range(100)])
    await log.append([make_event("s") for _ in range(18)])
    await settled(log)
    assert 10 <= len(await log.read(0, limit=999, session_id="w")) <= 15
    assert len(await log.read(0, limit=999, session_id="s")) == 18
    assert await log.load("sessions") == {}


async def test_a_fault_in_a_summary_stops_no_append(log: EventLog, make_event: MakeEvent) -> None:
    """A reader's fault is logged; its session waits, the others go on."""

    def summarise(session_id: str) -> tuple[bytes, int]:
        if session_id == "bad":
            raise RuntimeError("fault")
        return b"", log.last_seq

    log.retain(10, summarise, name="sessions")
    for _ in range(30):
        await log.append([make_event("good"), make_event("good")])
    await log.append([make_event("bad") for _ in range(18)])
    await log.append([make_event("good")])
    await settled(log)
    assert len(await log.read(0, limit=99, session_id="bad")) == 18
    assert len(await log.read(0, limit=99, session_id="good")) <= 20


async def test_ids_are_remembered_after_their_events_are_trimmed(
    log: EventLog, make_event: MakeEvent
) -> None:
    """Ids are remembered for a session's newest 10,000 events, trimmed or not."""
    log.retain(10, lambda _: (b"", log.last_seq), name="sessions")
    for start in range(0, 300, 10):
        await log.append([make_event("s", id=f"i{start + i}") for i in range(10)])
    await settled(log)
    assert log.first_seq > 200
    [answer] = await log.append([make_event("s", id="i3")])
    assert answer == (4, True)


async def test_ids_are_forgotten_beyond_the_newest_ten_thousand_and_some(
    log: EventLog, make_event: MakeEvent
) -> None:
    """What is remembered of a session that never ends stays bounded."""
    for start in range(0, 16_000, 1_000):
        await log.append([make_event("s", id=f"i{start + i}") for i in range(1_000)])
    await settled(log)
    old, kept = await log.append([make_event("s", id="i0"), make_event("s", id="i6001")])
    assert (old.duplicate, kept.duplicate) == (False, True)


async def test_missed_counts_what_retention_removed(log: EventLog, make_event: MakeEvent) -> None:
    """N as the viewer's own filter would have counted, None if unknown, 0 if nothing is missing."""
    log.retain(10, lambda _: (b"", log.last_seq), name="sessions")
    for _ in range(40):
        await log.append([make_event("a"), make_event("b"), make_event("b")])
    await settled(log)
    kept = seqs(await log.read(0, limit=999))
    kept_a = seqs(await log.read(0, limit=999, session_id="a"))
    first_a, last = kept_a[0], log.last_seq
    assert await log.missed(0, last + 1) == last - len(kept)
    assert await log.missed(0, kept[0]) == kept[0] - 1
    assert await log.missed(kept[0] - 3, kept[0]) == 2
    assert await log.missed(last - 1, last + 50) == 0
    gone = 40 - len(kept_a)
    assert await log.missed(0, first_a, session_id="a") == gone
    assert await log.missed(4, first_a, session_id="a", seen=2) == gone - 2
    assert await log.missed(4, first_a, session_id="a") is None
    assert await log.missed(first_a, last, session_id="a") == 0
    assert await log.missed(0, last, session_id="never") == 0


async def test_a_follower_behind_retention_goes_on_with_what_is_kept(
    log: EventLog, make_event: MakeEvent
) -> None:
    """Where retention has overtaken a reader it continues with the first event kept."""
    log.retain(10, lambda _: (b"", log.last_seq), name="sessions")
    await log.append([make_event("a")])
    for _ in range(30):
        await log.append([make_event("b"), make_event("b")])
    await settled(log)
    await log.forget(["a"], name="sessions")  # also empties the ring up to there
    follower = log.follow(0)
    got = seqs(await anext(follower))
    assert got[0] > 1
    assert got == list(range(got[0], got[-1] + 1))


async def test_forget_removes_a_session_whole(log: EventLog, make_event: MakeEvent) -> None:
    """Events, ids and saved blobs go; numbers are never given out again."""
    await log.append([make_event("a", id="x"), make_event("b", id="x"), make_event("a")])
    await log.save([Saved("n", "a", b"", 3), Saved("n", "b", b"", 2), Saved("other", "a", b"", 3)])
    assert await log.forget(["a", "never"], name="n") == 2
    assert seqs(await log.read(0, limit=9)) == [2]
    assert await log.load("n") == {"b": (b"", 2)}
    assert await log.load("other") == {"a": (b"", 3)}
    assert log.recent(0, 9) is None
    assert (log.first_seq, log.last_seq) == (2, 3)
    assert await log.missed(0, 4, session_id="a") is None
    assert await log.missed(3, 4, session_id="a") == 0
    assert await log.missed(0, 4) == 2
    stats = await log.stats()
    assert (stats.events, stats.sessions) == (1, 1)
    [again] = await log.append([make_event("a", id="x")])
    assert again == (4, False)
    assert log.seen("a", 4) == 1


async def test_forgetting_everything_leaves_an_empty_log_that_goes_on_counting(
    log: EventLog, make_event: MakeEvent
) -> None:
    """`last_seq` never falls."""
    await log.append([make_event("a"), make_event("b")])
    assert await log.forget(["a", "b"], name="n") == 2
    assert (log.first_seq, log.last_seq) == (0, 2)
    assert [a.seq for a in await log.append([make_event("a")])] == [3]
    assert (log.first_seq, log.last_seq) == (3, 3)


async def test_stats_count_what_is_there(log: EventLog, make_event: MakeEvent) -> None:
    """Sizes and counts for `/status` and the metrics."""
    await log.append([make_event(f"s{i % 3}") for i in range(9)])
    stats = await log.stats()
    assert (stats.kind, stats.durable) == (log.kind, log.durable)
    assert (stats.events, stats.sessions, stats.unavailable_since) == (9, 3, None)
    assert stats.size_bytes > 9 * 50
    assert (stats.free_bytes is None) == (log.kind == "memory")


async def test_a_closed_log_refuses_everything(log: EventLog, make_event: MakeEvent) -> None:
    """Later calls raise LogUnavailable; closing twice is fine."""
    await log.append([make_event()])
    await log.aclose()
    await log.aclose()
    for call in (
        log.append([make_event()]),
        log.read(0, limit=1),
        log.newest(1),
        log.missed(0, 5),
        log.save([Saved("a", "b", b"", 1)]),
        log.load("a"),
        log.forget(["s"], name="a"),
        log.stats(),
    ):
        with pytest.raises(LogUnavailable):
            await call


async def test_closing_finishes_the_running_write_and_refuses_the_rest(
    log: EventLog, make_event: MakeEvent
) -> None:
    """Whatever is under way becomes durable; whatever waits is told."""
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(_outcome(log, make_event), name=f"append {i}") for i in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await log.aclose()
    outcomes = [call.result() for call in calls]
    assert all(outcome in ("stored", "refused") for outcome in outcomes)


async def _outcome(log: EventLog, make_event: MakeEvent) -> str:
    try:
        await log.append([make_event() for _ in range(3_000)])
    except LogUnavailable:
        return "refused"
    return "stored"
