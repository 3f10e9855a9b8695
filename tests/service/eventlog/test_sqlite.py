"""The SQLite log beyond the contract: what a restart finds again."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from service.eventlog.sqlite import SqliteEventLog
from translation_events.errors import LogUnavailable
from translation_events.event import Event
from translation_events.log import Saved

MakeEvent = Callable[..., Event]


def status(path: str) -> os.stat_result:
    return Path(path).stat()


async def test_a_restart_finds_everything_again(tmp_path: Path, make_event: MakeEvent) -> None:
    """Id, numbers, events, ids, blobs and counts outlive the process."""
    path = tmp_path / "events.db"
    log = await SqliteEventLog.open(path)
    await log.append([make_event("a", id="x", progress=1), make_event("b")])
    await log.save([Saved("n", "k", b"\x00\xff", 2)])
    before = await log.read(0, limit=9)
    log_id = log.id
    await log.aclose()

    log = await SqliteEventLog.open(path, node="other")
    assert log.id == log_id
    assert len(log_id) == 32
    assert (log.first_seq, log.last_seq) == (1, 2)
    assert [entry.body for entry in await log.read(0, limit=9)] == [entry.body for entry in before]
    assert {entry.node for entry in await log.read(0, limit=9)} == {"other"}
    assert await log.load("n") == {"k": (b"\x00\xff", 2)}
    assert log.recent(0, 9) is None
    assert (log.seen("a", 2), log.seen("a", 1), log.seen("never", 2)) == (1, None, 0)
    answers = await log.append([make_event("a", id="x"), make_event("a", id="y")])
    assert [(a.seq, a.duplicate) for a in answers] == [(1, True), (3, False)]
    assert log.seen("a", 3) == 2
    await log.aclose()


async def test_numbers_are_not_given_out_again_after_a_restart(tmp_path: Path, make_event: MakeEvent) -> None:
    """`last_seq` never falls, even if the newest session was forgotten before the restart."""
    path = tmp_path / "events.db"
    log = await SqliteEventLog.open(path)
    await log.append([make_event("a"), make_event("b")])
    await log.forget(["a", "b"], name="n")
    await log.aclose()
    log = await SqliteEventLog.open(path)
    assert (log.first_seq, log.last_seq) == (0, 2)
    assert [a.seq for a in await log.append([make_event("a")])] == [3]
    assert await log.missed(0, 3, session_id="b") is None
    await log.aclose()


async def test_a_smaller_limit_after_a_restart_trims_what_is_there(
    tmp_path: Path, make_event: MakeEvent
) -> None:
    """`retain` looks at the sessions that are already above their limit."""
    path = tmp_path / "events.db"
    log = await SqliteEventLog.open(path)
    for _ in range(10):
        await log.append([make_event(f"s{i}") for i in range(30)])
    await log.aclose()
    log = await SqliteEventLog.open(path)
    log.retain(4, lambda _: (b"", log.last_seq), name="n")
    async with asyncio.timeout(20):
        while (await log.stats()).events != 30 * 4:  # noqa: ASYNC110  # each turn asks a real thread
            await asyncio.sleep(0.001)
    assert (log.first_seq, log.last_seq) == (181, 300)
    await log.aclose()


async def test_reads_do_not_wait_for_a_write(tmp_path: Path, make_event: MakeEvent) -> None:
    """A viewer that catches up is served while a group is being written."""
    log = await SqliteEventLog.open(tmp_path / "events.db")
    await log.append([make_event() for _ in range(10)])
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(log.append([make_event()] * 20_000), name="writing")
        reads = 0
        while not writing.done():
            assert len(await log.read(0, limit=10)) == 10
            reads += 1
        assert reads >= 3
    await log.aclose()


async def test_what_is_durable_but_not_announced_is_not_shown(tmp_path: Path, make_event: MakeEvent) -> None:
    """A read never runs ahead of `last_seq`, or a follower would hear of events out of turn."""
    log = await SqliteEventLog.open(tmp_path / "events.db")
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(log.append([make_event()] * 5_000), name="writing")
        while not writing.done():
            upto = log.last_seq
            read = await log.newest(1)
            assert not read or read[-1].seq <= log.last_seq
            assert upto <= log.last_seq
    await log.aclose()


async def test_the_file_is_readable_by_its_owner_only(tmp_path: Path, make_event: MakeEvent) -> None:
    """Events are the user's text: the folder is made with mode 700, the files with 600."""
    path = tmp_path / "state" / "monitor" / "events.db"
    log = await SqliteEventLog.open(path)
    await log.append([make_event()])
    assert path.parent.stat().st_mode & 0o777 == 0o700
    for suffix in ("", "-wal", "-shm", ".lock"):
        assert status(f"{path}{suffix}").st_mode & 0o077 == 0
    await log.aclose()
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["events.db", "events.db.lock"]


async def test_an_answer_of_large_events_ends_early(tmp_path: Path, make_event: MakeEvent) -> None:
    """One answer holds about 4 MiB, so a slow reader cannot fill the memory; the next goes on."""
    log = await SqliteEventLog.open(tmp_path / "events.db")
    event = make_event(message="x" * 60_000)
    await log.append([event] * 200)
    got: list[int] = []
    answers = 0
    while batch := await log.read(got[-1] if got else 0, limit=1_000):
        assert sum(len(entry.body) for entry in batch) < 5 * 2**20
        got += [entry.seq for entry in batch]
        answers += 1
    assert got == list(range(1, 201))
    assert answers >= 3
    await log.aclose()


async def test_the_write_ahead_log_stays_bounded(tmp_path: Path, make_event: MakeEvent) -> None:
    """Checkpoints keep up with the writing while readers come and go."""
    path = tmp_path / "events.db"
    log = await SqliteEventLog.open(path)
    event = make_event(message="x" * 2_000)
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(log.append([event] * 20_000), name="writing")
        while not writing.done():
            await log.read(0, limit=100)
            assert status(f"{path}-wal").st_size < 64 * 2**20
    await log.aclose()


async def test_a_failed_write_is_told_and_over_once_one_succeeds(
    tmp_path: Path, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed write is LogUnavailable for its callers, told to the watchers, and over once one succeeds."""
    monkeypatch.setattr("service.eventlog.sqlite_schema.BUSY_TIMEOUT_S", 0.1)
    path = tmp_path / "events.db"
    log = await SqliteEventLog.open(path)
    told: list[float | None] = []
    log.watch(told.append)
    someone = sqlite3.connect(path, isolation_level=None)
    someone.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogUnavailable) as refused:
        await log.append([make_event()])
    assert told == [refused.value.since]
    assert (await log.stats()).unavailable_since == refused.value.since
    with pytest.raises(LogUnavailable) as again:
        await log.save([Saved("n", "k", b"", 1)])
    assert again.value.since == refused.value.since
    someone.close()
    assert [a.seq for a in await log.append([make_event()])] == [1]
    assert told == [refused.value.since, None]
    assert (await log.stats()).unavailable_since is None
    await log.aclose()
