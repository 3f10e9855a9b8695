"""kill -9 in the middle of writing: what was acknowledged is there, once."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.eventlog.sqlite import SqliteEventLog
from translation_events.errors import LogDamaged
from translation_events.event import Event

APPENDER = Path(__file__).with_name("appender.py")
LIMIT = 200
MakeEvent = Callable[..., Event]


def appending(path: Path, run: int) -> subprocess.Popen[bytes]:
    """A child that appends until it is killed."""
    return subprocess.Popen([sys.executable, APPENDER, path, str(run)], stdout=subprocess.PIPE)


def killed_while_appending(path: Path, run: int, seed: random.Random) -> list[tuple[str, str, int]]:
    """Let a child append, kill it at a random moment, return what it had been acknowledged."""
    with appending(path, run) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        delay = seed.uniform(0.0, 0.25)
        until = time.monotonic() + delay
        lines = [first]
        while time.monotonic() < until:
            lines.append(child.stdout.readline())
        child.kill()
        lines += child.stdout.readlines()
    acked = []
    for line in b"".join(lines).decode().splitlines(keepends=True):
        if line.endswith("\n"):  # the last may be cut
            session_id, event_id, seq = line.split()
            acked.append((session_id, event_id, int(seq)))
    return acked


async def check_after_kill(path: Path, acked: list[tuple[str, str, int]], make_event: MakeEvent) -> None:
    """Nothing acknowledged is lost, nothing is there twice, every summary covers what was trimmed."""
    started = time.monotonic()
    log = await SqliteEventLog.open(path)
    assert time.monotonic() - started < 5
    try:
        assert acked[-1][2] <= log.last_seq
        summaries = await log.load("sessions")
        events = 0
        for session_id in (f"s{i}" for i in range(6)):
            kept = await log.read(0, limit=10_000, session_id=session_id)
            events += len(kept)
            ids = [entry.event.id for entry in kept]
            assert len(set(ids)) == len(ids)
            assert len(kept) <= 2 * LIMIT
            total = log.seen(session_id, log.last_seq)
            trimmed = await log.missed(0, log.last_seq + 1, session_id=session_id)
            assert total is not None
            assert trimmed == total - len(kept)
            if trimmed:
                blob, seq = summaries[session_id]
                assert int(blob) == trimmed + sum(entry.seq <= seq for entry in kept)
        assert events == (await log.stats()).events
        answers = await log.append([make_event(session, id=event_id) for session, event_id, _ in acked])
        assert [(a.seq, a.duplicate) for a in answers] == [(seq, True) for _, _, seq in acked]
    finally:
        await log.aclose()


async def kill_and_check(path: Path, kills: int, make_event: MakeEvent) -> None:
    """One log, killed again and again; acknowledged numbers rise from run to run."""
    seed = random.Random(7)
    last = 0
    for run in range(kills):
        acked = killed_while_appending(path, run, seed)
        assert acked
        assert min(seq for _, _, seq in acked) > last
        last = max(seq for _, _, seq in acked)
        await check_after_kill(path, acked, make_event)


async def test_kill_9_under_load_loses_nothing_acknowledged(tmp_path: Path, make_event: MakeEvent) -> None:
    """Killing the server with -9 in the middle loses nothing that was acknowledged, and doubles nothing."""
    await kill_and_check(tmp_path / "events.db", 8, make_event)


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_two_hundred_kills_lose_nothing_acknowledged(tmp_path: Path, make_event: MakeEvent) -> None:
    """200 × kill -9 during writes under load: 0 acknowledged lost, 0 duplicated, open again in < 5 s."""
    await kill_and_check(tmp_path / "events.db", 200, make_event)


async def test_a_second_process_on_the_file_is_refused(tmp_path: Path) -> None:
    """Two servers would give out the same numbers: the second is told who has the file."""
    path = tmp_path / "events.db"
    with appending(path, 0) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(LogDamaged) as refused:
            await SqliteEventLog.open(path)
        assert f"process {child.pid}" in refused.value.detail
        child.kill()
    log = await SqliteEventLog.open(path)
    assert log.last_seq > 0
    await log.aclose()
