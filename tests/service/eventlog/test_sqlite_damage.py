"""Torn, corrupt, foreign and newer files: a clear message with a way on, and never a silent loss."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from service.eventlog.sqlite import SqliteEventLog
from service.eventlog.sqlite_schema import MIGRATIONS, connect, prepare
from translation_events.errors import LogDamaged, LogUnavailable
from translation_events.event import Event

MakeEvent = Callable[..., Event]


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def wal_size(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


def shell(command: str) -> None:
    subprocess.run(["sh", "-c", command], check=True)


async def written(path: Path, make_event: MakeEvent, events: int = 3_000) -> None:
    log = await SqliteEventLog.open(path)
    await log.append([make_event(f"s{i % 5}", id=f"i{i}", message="x" * 200) for i in range(events)])
    await log.aclose()


async def crashed(path: Path, copy: Path, make_event: MakeEvent, groups: int = 30) -> None:
    """The files as a crash leaves them: everything still in the write-ahead log."""
    log = await SqliteEventLog.open(path)
    for number in range(groups):
        await log.append([make_event("s", id=f"i{number}"), make_event("t", id=f"i{number}")])
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    await log.aclose()


async def test_half_a_frame_at_the_end_of_the_write_ahead_log_is_no_harm(
    tmp_path: Path, make_event: MakeEvent
) -> None:
    """A power cut tears the write that was under way; what was acknowledged before it is there."""
    copy = tmp_path / "copy.db"
    await crashed(tmp_path / "events.db", copy, make_event)
    overwrite(Path(f"{copy}-wal"), wal_size(copy), b"\x00\x00\x00\x01" * 500)
    log = await SqliteEventLog.open(copy)
    assert [entry.seq for entry in await log.read(0, limit=99)] == list(range(1, 61))
    assert [a.seq for a in await log.append([make_event("s")])] == [61]
    await log.aclose()


@pytest.mark.parametrize("cut", [1, 4_000, 20_000, 100_000])
async def test_a_write_ahead_log_that_was_cut_leaves_whole_groups(
    tmp_path: Path, make_event: MakeEvent, cut: int
) -> None:
    """Whatever the disk lost of the end, the rest is consistent: whole groups, counts that agree."""
    copy = tmp_path / "copy.db"
    await crashed(tmp_path / "events.db", copy, make_event)
    os.truncate(f"{copy}-wal", wal_size(copy) - cut)
    log = await SqliteEventLog.open(copy)
    kept = [entry.seq for entry in await log.read(0, limit=99)]
    assert kept == list(range(1, log.last_seq + 1))
    assert 0 < len(kept) < 60
    assert len(kept) % 2 == 0
    stats = await log.stats()
    assert (stats.events, stats.sessions) == (len(kept), 2)
    [lost] = await log.append([make_event("s", id="i29")])
    assert lost == (len(kept) + 1, False)
    await log.aclose()


async def test_a_corrupt_file_is_refused_with_commands_that_work(
    tmp_path: Path, make_event: MakeEvent
) -> None:
    """The message names the file, what is wrong, and the exact command to move it aside."""
    path = tmp_path / "with space" / "events.db"
    await written(path, make_event)
    overwrite(path, 100, b"\xff" * 8_000)
    with pytest.raises(LogDamaged) as refused:
        await SqliteEventLog.open(path)
    assert str(path) in refused.value.detail
    assert "malformed" in refused.value.detail
    command = re.search(r"start again: (mv .*?)\. What", refused.value.detail)
    assert command is not None
    shell(command[1])
    log = await SqliteEventLog.open(path)
    assert log.last_seq == 0
    await log.aclose()
    assert "events.db.damaged" in os.listdir(path.parent)


async def test_corruption_met_while_running_is_log_unavailable(tmp_path: Path, make_event: MakeEvent) -> None:
    """A damaged page in the middle is found by the read that meets it; reads that do not are served."""
    path = tmp_path / "events.db"
    await written(path, make_event)
    overwrite(path, 40 * 4096, b"\xff" * 4096)
    log = await SqliteEventLog.open(path)
    with pytest.raises(LogUnavailable):
        await log.read(0, limit=10_000)
    assert (await log.newest(1))[0].seq == 3_000
    await log.aclose()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """Somebody's notes are not overwritten."""
    path = tmp_path / "events.db"
    path.write_text("These are my notes, not a database. " * 50)
    before = path.read_bytes()
    with pytest.raises(LogDamaged, match="not a database"):
        await SqliteEventLog.open(path)
    assert path.read_bytes() == before


async def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A database with tables that are not ours stays as it is."""
    path = tmp_path / "events.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE contacts (name TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(LogDamaged, match="not an event log of this program"):
        await SqliteEventLog.open(path)
    assert path.read_bytes() == before


async def test_a_newer_files_schema_asks_for_an_upgrade(tmp_path: Path, make_event: MakeEvent) -> None:
    """A file from a newer version is not touched by an older program."""
    path = tmp_path / "events.db"
    await written(path, make_event, 10)
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 999")
    newer.close()
    before = path.read_bytes()
    with pytest.raises(LogDamaged, match=r"schema version 999.*upgrade"):
        await SqliteEventLog.open(path)
    assert path.read_bytes() == before


async def test_missing_tables_are_met_with_a_way_on(tmp_path: Path, make_event: MakeEvent) -> None:
    """A file that says it is ours and has lost a table is damaged, not new."""
    path = tmp_path / "events.db"
    await written(path, make_event, 10)
    broken = sqlite3.connect(path)
    broken.execute("DROP TABLE sessions")
    broken.close()
    with pytest.raises(LogDamaged, match=r"no such table: sessions.*mv "):
        await SqliteEventLog.open(path)


async def test_a_place_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    """The message names the path, the reason and the option to change it."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.db").mkdir()
    for path in (tmp_path / "file" / "events.db", tmp_path / "folder.db"):
        with pytest.raises(LogDamaged, match=r"cannot be opened for writing .*--event-log"):
            await SqliteEventLog.open(path)


async def test_a_refused_open_leaves_no_lock_behind(tmp_path: Path) -> None:
    """After the fault is mended the same process can open the file."""
    path = tmp_path / "events.db"
    path.write_text("not a database at all, just text" * 20)
    with pytest.raises(LogDamaged):
        await SqliteEventLog.open(path)
    path.unlink()
    log = await SqliteEventLog.open(path)
    await log.aclose()


async def test_an_older_file_is_brought_up_to_date(tmp_path: Path, make_event: MakeEvent) -> None:
    """Scripts run in order from the file's version on; what is in the file stays."""
    path = tmp_path / "events.db"
    await written(path, make_event, 10)
    newer = (*MIGRATIONS, "ALTER TABLE sessions ADD COLUMN note TEXT; CREATE TABLE extra (x)")
    connection = connect(path)
    prepare(connection, path, newer)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(newer),)
    assert connection.execute("SELECT count(*), count(note) FROM sessions").fetchone() == (5, 0)
    assert connection.execute("SELECT count(*) FROM events").fetchone() == (10,)
    connection.close()


async def test_a_failed_migration_changes_nothing(tmp_path: Path, make_event: MakeEvent) -> None:
    """A script is one transaction: all of it or none."""
    path = tmp_path / "events.db"
    await written(path, make_event, 10)
    connection = connect(path)
    with pytest.raises(sqlite3.Error):
        prepare(connection, path, (*MIGRATIONS, "CREATE TABLE extra (x); INSERT INTO nowhere VALUES (1)"))
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'extra'").fetchall() == []
    connection.close()
    log = await SqliteEventLog.open(path)
    assert log.last_seq == 10
    await log.aclose()
