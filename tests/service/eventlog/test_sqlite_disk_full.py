"""A disk that is really full: refused, told, and over by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.eventlog.sqlite import SqliteEventLog
from tests.small_disk import mounted
from translation_events.errors import LogUnavailable
from translation_events.event import Event

MakeEvent = Callable[..., Event]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MiB."""
    with mounted(tmp_path / "disk", 6) as disk:
        yield disk


async def test_a_full_disk_refuses_tells_and_recovers_by_itself(
    small_disk: Path, make_event: MakeEvent
) -> None:
    """Disk full answers `log_unavailable`, tells the watchers, and recovers by itself; reads keep working."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 3 * 2**20)
    log = await SqliteEventLog.open(small_disk / "events.db")
    told: list[float | None] = []
    works = asyncio.Event()

    def watcher(since: float | None) -> None:
        told.append(since)
        if since is None:
            works.set()

    log.watch(watcher)
    acked: list[int] = []

    async def fill() -> None:
        for number in range(10_000):
            event = make_event("s", id=f"i{number}", message="x" * 10_000)
            acked.extend([a.seq for a in await log.append([event])])

    with pytest.raises(LogUnavailable) as refused:
        await fill()
    assert told == [refused.value.since]
    assert (await log.stats()).unavailable_since == told[0]
    with pytest.raises(LogUnavailable) as again:
        await log.append([make_event("s", message="x" * 60_000) for _ in range(40)])
    assert again.value.since == told[0]
    assert [entry.seq for entry in await log.read(0, limit=10_000)] == acked

    ballast.unlink()
    async with asyncio.timeout(30):
        await works.wait()
    assert told[-1] is None
    answers = await log.append([make_event("s", id=f"i{len(acked)}", message="x" * 10_000)])
    assert [(a.seq, a.duplicate) for a in answers] == [(len(acked) + 1, False)]
    await log.aclose()

    log = await SqliteEventLog.open(small_disk / "events.db")
    assert [entry.seq for entry in await log.read(0, limit=10_000)] == [*acked, len(acked) + 1]
    await log.aclose()
