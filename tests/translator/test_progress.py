"""Finished segments on disk: whole after any crash, nobody else's to read, bounded."""

from __future__ import annotations

import asyncio
import os
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import structlog
import structlog.testing

from translator import progress_record
from translator.output import Job
from translator.progress import Progress, makers
from translator.progress_folder import MAX_AGE_S, AlreadyRunning, ProgressFolder, ProgressUnavailable
from translator.progress_record import VERSION, Finished, Header, source_hash
from translator.segments import Segment

LANGUAGES = ("en", "es")
HOLDER = """
import sys
from pathlib import Path
from translator.output import Job
from translator.progress_folder import ProgressFolder
folder = ProgressFolder(Path(sys.argv[1]))
folder.claim(Job(Path(sys.argv[2]), Path(sys.argv[3])), ("en", "es"))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(state: Path, work: Job) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has the record of `work`."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state), str(work.source), str(work.output)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield holder
    finally:
        holder.kill()
        holder.communicate()


def job(tmp_path: Path, name: str = "in.md") -> Job:
    return Job(tmp_path / name, tmp_path / "out" / name)


def entry(number: int, engine: str = "llm") -> Finished:
    return Finished(id=f"s{number}", source_hash="0" * 32, text=f"línea\n{number}", engine=engine, model="m")


def claim(folder: ProgressFolder, *jobs: Job, resume: bool = False) -> Progress:
    progress = Progress.claim(folder, jobs, LANGUAGES, resume=resume)
    progress.session_id = progress.session_id or "book-1"
    return progress


async def keep(folder: ProgressFolder, work: Job, *numbers: int, resume: bool = False) -> Progress:
    progress = claim(folder, work, resume=resume)
    progress.begin(100, progress.kept)
    for number in numbers:
        await progress.keep(0, entry(number))
    return progress


def records(folder: ProgressFolder) -> list[Path]:
    return sorted(folder.path.glob("*.ndjson"))


async def test_what_was_kept_is_found_by_the_next_run(tmp_path: Path) -> None:
    """`--resume` finds each finished segment, the session and how many segments there were."""
    work = job(tmp_path)
    with ProgressFolder(tmp_path / "state") as folder:
        await keep(folder, work, 1, 2)
    with ProgressFolder(tmp_path / "state") as folder:
        again = claim(folder, work, resume=True)
        assert again.finished(0) == {"s1": entry(1), "s2": entry(2)}
        assert (again.session_id, again.kept, again.segments) == ("book-1", 2, 100)
        again.begin(90, 2)
        await again.keep(0, entry(3))
    with ProgressFolder(tmp_path / "state") as folder:
        third = claim(folder, work, resume=True)
        assert (set(third.finished(0)), third.segments) == ({"s1", "s2", "s3"}, 90)
        third.remove()
        assert records(folder) == []


async def test_another_output_or_language_is_other_work(tmp_path: Path) -> None:
    """A record belongs to one input, one output and one pair of languages."""
    work = job(tmp_path)
    with ProgressFolder(tmp_path / "state") as folder:
        await keep(folder, work, 1)
        other_output = Job(work.source, tmp_path / "other.md")
        assert claim(folder, other_output, resume=True).kept == 0
        assert Progress.claim(folder, [work], ("en", "fr"), resume=True).kept == 0
        assert claim(folder, work, resume=True).kept == 1


async def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """The folder has mode 0700, the files 0600: a record holds the document's text."""
    with ProgressFolder(tmp_path / "state") as folder:
        await keep(folder, job(tmp_path), 1)
        modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()}
        assert (stat.S_IMODE(folder.path.stat().st_mode), modes) == (0o700, {0o600})


async def test_a_record_cut_anywhere_keeps_what_was_whole_and_can_be_written_on(tmp_path: Path) -> None:
    """A torn last line is no segment, and spoils none that follows."""
    work = job(tmp_path)
    with ProgressFolder(tmp_path / "state") as folder:
        await keep(folder, work, 1, 2, 3)
        (path,) = records(folder)
        whole = path.read_bytes()
        ends = [n + 1 for n, byte in enumerate(whole) if byte == ord("\n")]
        for cut in range(len(whole) + 1):
            path.write_bytes(whole[:cut])
            finished = max(0, sum(end <= cut for end in ends) - 1)  # the first line is the header
            progress = await keep(folder, work, 9, resume=True)
            assert len(progress.finished(0)) == finished
            record = progress_record.read(path)
            assert record is not None
            assert list(record.finished) == [f"s{n + 1}" for n in range(finished)] + ["s9"]


async def test_a_record_of_another_version_is_not_used(tmp_path: Path) -> None:
    """What a later version wrote is not guessed at."""
    work = job(tmp_path)
    with ProgressFolder(tmp_path / "state") as folder:
        await keep(folder, work, 1)
        (path,) = records(folder)
        first, *rest = path.read_bytes().splitlines(keepends=True)
        header = msgspec.structs.replace(msgspec.json.decode(first, type=Header), version=VERSION + 1)
        path.write_bytes(msgspec.json.encode(header) + b"\n" + b"".join(rest))
        assert claim(folder, work, resume=True).kept == 0


async def test_an_earlier_run_is_given_up_only_with_the_first_segment_of_the_new_one(tmp_path: Path) -> None:
    """Without --resume a run starts anew; stopped before it has done anything, it has taken nothing."""
    jobs = [job(tmp_path, "a.md"), job(tmp_path, "b.md")]
    with ProgressFolder(tmp_path / "state") as folder:
        first = claim(folder, *jobs)
        first.begin(10, 0)
        await first.keep(0, entry(1))
        await first.keep(1, entry(2))
        anew = claim(folder, *jobs)
        anew.begin(10, 0)
        assert anew.finished(0) == {}
        assert claim(folder, *jobs, resume=True).kept == 2
        await anew.keep(0, entry(7))
        resumed = claim(folder, *jobs, resume=True)
        assert (set(resumed.finished(0)), resumed.finished(1)) == ({"s7"}, {})


async def test_lanes_share_the_cost_of_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes while one write is under way forms the next: many segments, few syncs, all durable."""
    syncs: list[int] = []
    real = os.fsync

    def counted(handle: int) -> None:
        syncs.append(handle)
        real(handle)

    monkeypatch.setattr(os, "fsync", counted)
    with ProgressFolder(tmp_path / "state") as folder:
        progress = claim(folder, job(tmp_path))
        progress.begin(200, 0)
        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(progress.keep(0, entry(number)), name=f"keep {number}")
        assert claim(folder, job(tmp_path), resume=True).kept == progress.kept == 200
    assert len(syncs) <= 10


async def test_a_disk_that_refuses_is_told_once_and_tried_again(tmp_path: Path) -> None:
    """The translation goes on; when there is room again, nothing is missing. No document text in the log."""
    work = job(tmp_path)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    with ProgressFolder(tmp_path / "state") as folder:
        progress = await keep(folder, work, 1)
        (path,) = records(folder)
        # Captured before it is written: the limit is the process's, and holds for the log's own file as well.
        with structlog.testing.capture_logs() as told:
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, old[1]))
                await progress.keep(0, entry(2))
                await progress.keep(0, entry(3))
                assert progress.kept == 1
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, old)
        await progress.keep(0, entry(4))
        assert set(claim(folder, work, resume=True).finished(0)) == {"s1", "s2", "s3", "s4"}
    (record,) = told
    assert "cannot be kept" in record["event"]
    assert "línea" not in str(record)


def test_two_processes_do_not_have_one_record(tmp_path: Path) -> None:
    """A second run of the same work is refused; other work is not; a dead process holds nothing."""
    work = job(tmp_path)
    with another_process(tmp_path / "state", work) as holder, ProgressFolder(tmp_path / "state") as folder:
        with pytest.raises(AlreadyRunning) as caught:
            claim(folder, work)
        assert str(work.output) in caught.value.detail
        claim(folder, job(tmp_path, "other.md"))
        holder.kill()
        holder.wait(20)
        claim(folder, work)


@pytest.mark.parametrize(
    ("of", "stays"),
    [("nobody, old", False), ("nobody, young", True), ("this run, old", True), ("a running one, old", True)],
)
async def test_old_records_are_pruned(tmp_path: Path, of: str, stays: bool) -> None:
    """Records older than 30 days go, unless a run has them."""
    work = job(tmp_path, "old.md")
    with ProgressFolder(tmp_path / "state") as folder:
        await keep(folder, work, 1)
        (path,) = records(folder)
        age_s = MAX_AGE_S * (0.9 if "young" in of else 1.1)
        os.utime(path, (time.time() - age_s,) * 2)
    held = work if "running" in of else job(tmp_path, "held.md")
    with another_process(tmp_path / "state", held), ProgressFolder(tmp_path / "state") as folder:
        claim(folder, work if "this run" in of else job(tmp_path, "new.md"))
    assert path.exists() is stays


async def test_all_records_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go first."""
    monkeypatch.setattr("translator.progress_folder.MAX_KEPT_BYTES", 5000)
    with ProgressFolder(tmp_path / "state") as folder:
        kept: list[Path] = []
        for number in range(3):
            await keep(folder, job(tmp_path, f"{number}.md"), *range(20))
            kept += [path for path in records(folder) if path not in kept]
            os.utime(kept[-1], (time.time() - 100 + number,) * 2)
        claim(folder, job(tmp_path, "new.md"))
        assert [path.exists() for path in kept] == [False, False, True]


@pytest.mark.parametrize(
    "spoil", [lambda p: p.write_text("a file"), lambda p: (p / "lock").mkdir(parents=True)]
)
def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    """The error says which folder and why."""
    spoil(tmp_path / "state")
    with pytest.raises(ProgressUnavailable) as caught:
        ProgressFolder(tmp_path / "state")
    assert str(tmp_path / "state") in caught.value.detail


def test_a_segment_is_known_by_its_source() -> None:
    """The source's hash decides, so that an edited segment is translated again."""
    segment = Segment(id="s1", number=1, text="The dog.", source="The dog.")
    made = msgspec.structs.replace(entry(1), source_hash=source_hash(segment))
    assert made.is_of(segment)
    edited = Segment(id="s1", number=1, text="The cat.", source="The cat.")
    assert not made.is_of(edited)


def test_makers_are_named_by_how_much_they_did() -> None:
    """Who made the segments that were kept."""
    assert makers([entry(1, "b"), entry(2, "a"), entry(3, "a")]) == ["a m", "b m"]
