"""The spool on a real disk: order, bounds, what a crash leaves, what a full disk does."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translation_events import spool as spool_module
from translation_events.journal import Journal
from translation_events.segment import is_droppable
from translation_events.spool import Record, Spool


def event(n: int, kind: str = "translation_progress", size: int = 300) -> bytes:
    return json.dumps({"type": kind, "session_id": "s", "id": f"{n}", "pad": "x" * size}).encode()


def fill(spool: Spool, numbers: range, kind: str = "translation_progress", size: int = 300) -> int:
    return sum(spool.append(event(n, kind, size), droppable=is_droppable(kind)) for n in numbers)


def drain(spool: Spool, step: int = 100) -> list[str]:
    ids = []
    while records := spool.read(step):
        ids += [record.id for record in records]
        spool.resolve(records)
    return ids


def names(numbers: range) -> list[str]:
    return [str(n) for n in numbers]


def test_gives_back_in_order_what_was_appended(tmp_path: Path) -> None:
    """Order is preserved over many segments; a drained spool says so and holds little."""
    spool = Spool(tmp_path)
    fill(spool, range(9000))
    assert spool.waiting == 9000
    assert drain(spool) == names(range(9000))
    assert spool.drained
    assert spool.waiting == 0
    assert spool.size_bytes < spool_module.SEGMENT_BYTES
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_reads_again_what_was_not_resolved(tmp_path: Path) -> None:
    """After a cut everything that is not acknowledged is sent anew, in order."""
    spool = Spool(tmp_path)
    fill(spool, range(30))
    first = spool.read(20)
    spool.resolve(first[:7])
    spool.rewind()
    assert drain(spool) == names(range(7, 30))
    spool.close()


def test_a_successor_goes_on_where_the_predecessor_died(tmp_path: Path) -> None:
    """The spool survives a crash of the process: a later publisher adopts what it left, before its own."""
    dead = Spool(tmp_path)
    fill(dead, range(100))
    dead.resolve(dead.read(40))
    release_as_a_crash_does(dead)
    heir = Spool(tmp_path)
    assert heir.waiting == 60
    fill(heir, range(100, 110))
    assert drain(heir) == names(range(40, 110))
    heir.close()
    assert list(tmp_path.iterdir()) == []


def test_runs_without_a_monitor_share_one_journal(tmp_path: Path) -> None:
    """A hundred runs without a monitor leave one directory, not a hundred."""
    for n in range(20):
        spool = Spool(tmp_path)
        fill(spool, range(n, n + 1))
        spool.close()
    assert len(Journal.paths(tmp_path)) == 1
    spool = Spool(tmp_path)
    assert drain(spool) == names(range(20))
    spool.close()


def test_publishers_at_the_same_time_have_a_journal_each(tmp_path: Path) -> None:
    """Other publishers for the same address use their own; what is locked is left alone."""
    one, two = Spool(tmp_path), Spool(tmp_path)
    fill(one, range(5))
    fill(two, range(5, 9))
    assert two.busy == 1
    assert drain(two) == names(range(5, 9))
    one.close()
    fill(two, range(9, 11))
    two.close()
    heir = Spool(tmp_path)
    assert sorted(drain(heir)) == sorted(names(range(5)) + names(range(9, 11)))
    heir.close()
    assert list(tmp_path.iterdir()) == []


@given(st.binary(max_size=400).filter(lambda data: b"\n" not in data))
@settings(max_examples=30, deadline=None)
def test_a_torn_line_is_no_event(tmp_path_factory: pytest.TempPathFactory, torn: bytes) -> None:
    """A line cut short by a crash was never promised to anyone; all before and after it arrives."""
    folder = tmp_path_factory.mktemp("spool")
    dead = Spool(folder)
    fill(dead, range(10))
    release_as_a_crash_does(dead)
    (segment,) = folder.glob("*/*.ndjson")
    segment.write_bytes(segment.read_bytes() + torn)
    heir = Spool(folder)
    fill(heir, range(10, 20))
    assert drain(heir) == names(range(20))
    assert heir.drained
    heir.close()
    assert list(folder.iterdir()) == []


def test_a_damaged_line_is_passed_over(tmp_path: Path) -> None:
    """A torn or corrupt file is met with a way on: the line is recognised and the others are delivered."""
    dead = Spool(tmp_path)
    fill(dead, range(10))
    release_as_a_crash_does(dead)
    (segment,) = tmp_path.glob("*/*.ndjson")
    lines = segment.read_bytes().split(b"\n")
    lines[3] = b"\0" * len(lines[3])
    lines[9] = b"\xff" + lines[9][1:]
    segment.write_bytes(b"\n".join([*lines[:5], b"", *lines[5:]]))
    heir = Spool(tmp_path)
    assert drain(heir) == ["0", "1", "2", "", "4", "", "5", "6", "7", "8", ""]
    assert heir.drained
    heir.close()


def test_a_new_segment_never_takes_the_place_the_cursor_speaks_of(tmp_path: Path) -> None:
    """What is acknowledged is remembered by segment: a fresh one under an old name would be skipped."""
    dead = Spool(tmp_path)
    fill(dead, range(4000), size=600)
    first = [dead.read(1000) for _ in range(4)]
    for records in first:
        dead.resolve(records)
    release_as_a_crash_does(dead)
    for path in tmp_path.glob("*/*.ndjson"):
        path.unlink()
    heir = Spool(tmp_path)
    fill(heir, range(10))
    release_as_a_crash_does(heir)
    last = Spool(tmp_path)
    assert drain(last) == names(range(10))
    last.close()


def test_a_full_spool_drops_the_oldest_progress_first(tmp_path: Path) -> None:
    """A full spool drops the oldest progress events first, lifecycle and errors never, counted."""
    limit = 400_000
    spool = Spool(tmp_path, limit_bytes=limit)
    dropped = 0
    for n in range(5000):
        kind = {0: "translation_started", 7: "translation_error"}.get(n % 50, "translation_progress")
        dropped += fill(spool, range(n, n + 1), kind)
        assert spool.size_bytes <= limit
    assert dropped == spool.dropped > 3000
    assert spool.waiting == 5000 - dropped
    ids = [int(i) for i in drain(spool)]
    assert ids == sorted(ids)
    lasting = [n for n in range(5000) if n % 50 in (0, 7)]
    assert set(lasting) <= set(ids)
    progress = [n for n in ids if n % 50 not in (0, 7)]
    newest = [n for n in range(5000) if n % 50 not in (0, 7)][-len(progress) :]
    assert progress == newest
    spool.close()


def test_lifecycle_alone_is_never_dropped(tmp_path: Path) -> None:
    """Lifecycle and errors never, not even past the limit; progress that finds no room goes itself."""
    spool = Spool(tmp_path, limit_bytes=100_000)
    assert fill(spool, range(600), "translation_error") == 0
    assert fill(spool, range(600, 610)) == 10
    assert fill(spool, range(610, 620), "translation_completed") == 0
    assert drain(spool) == names(range(600)) + names(range(610, 620))
    assert fill(spool, range(1000, 1010)) == 0
    assert drain(spool) == names(range(1000, 1010))
    spool.close()


def test_what_is_in_flight_is_not_rewritten(tmp_path: Path) -> None:
    """Making room leaves alone what has been read: its acknowledgement still fits."""
    spool = Spool(tmp_path, limit_bytes=200_000)
    fill(spool, range(100))
    flying = spool.read(20)
    fill(spool, range(100, 3000))
    assert spool.dropped > 0
    spool.resolve(flying)
    ids = [int(i) for i in drain(spool)]
    assert ids == sorted(ids)
    assert ids[0] == 20
    assert ids[-1] == 2999
    assert len(ids) == 3000 - 20 - spool.dropped
    assert spool.drained
    spool.close()


def test_an_interrupted_rewrite_loses_nothing(tmp_path: Path) -> None:
    """The newest generation of a segment wins; a draft that was never finished is removed."""
    journal = Journal.create(tmp_path)
    old, new = event(1) + b"\n" + event(2, "translation_error") + b"\n", event(2, "translation_error") + b"\n"
    (journal.path / "00000001.0.ndjson").write_bytes(old)
    (journal.path / "00000001.1.ndjson").write_bytes(new)
    (journal.path / "00000002.0.ndjson").write_bytes(event(3) + b"\n")
    (journal.path / "00000002.1.new").write_bytes(event(3)[:9])
    journal.mark("00000001.0.ndjson", len(old))
    journal.release()
    spool = Spool(tmp_path)
    assert drain(spool) == ["2", "3"]
    spool.close()


@contextmanager
def disk_full_after(size_bytes: int) -> Iterator[None]:
    """No file may grow beyond `size_bytes`: the kernel then refuses the write, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_events_in_memory_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never kills the translation: a full disk costs no event until memory is full, and no order."""
    monkeypatch.setattr(spool_module, "RETRY_DISK_S", 0.0)
    spool = Spool(tmp_path)
    with disk_full_after(10_000):
        fill(spool, range(20))
        fill(spool, range(20, 200), size=700)
    assert spool.waiting == 200
    assert spool.dropped == 0
    fill(spool, range(200, 300))
    assert spool.fault is None
    release_as_a_crash_does(spool)
    heir = Spool(tmp_path)
    assert drain(heir) == names(range(300))
    heir.close()


def test_events_in_memory_are_delivered_in_their_place(tmp_path: Path) -> None:
    """While the disk takes nothing, delivery goes on from memory, after what is on disk."""
    spool = Spool(tmp_path)
    with disk_full_after(10_000):
        fill(spool, range(100))
        assert spool.fault is not None
        flying = spool.read(1000) + spool.read(1000)
        assert [record.id for record in flying] == names(range(100))
        spool.resolve(flying)
    assert spool.drained
    fill(spool, range(100, 120))
    assert drain(spool) == names(range(100, 120))
    spool.close()


def test_what_neither_disk_nor_memory_holds_is_counted(tmp_path: Path) -> None:
    """Memory is bounded: the oldest progress goes first; what cannot be left on disk at the end is told."""
    spool = Spool(None)
    fill(spool, range(1), "translation_started")
    assert fill(spool, range(1, 2100)) == 100
    ids = [record.id for record in spool.read(5000)]
    assert ids == ["0", *names(range(101, 2100))]
    assert spool.close() == 2000


def release_as_a_crash_does(spool: Spool) -> None:
    """Give up locks and files without a last word; the kernel does the same for a killed process."""
    for segment in spool._segments:
        segment.close()
    for journal in spool._journals:
        journal.release()


def test_a_record_says_where_it_ends(tmp_path: Path) -> None:
    """What `read` returns carries the event's own bytes and its id."""
    spool = Spool(tmp_path)
    fill(spool, range(1))
    (record,) = spool.read(1)
    assert isinstance(record, Record)
    assert (record.body, record.id, record.end) == (event(0), "0", len(event(0)) + 1)
    spool.close()
