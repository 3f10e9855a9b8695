"""Files to and from real workers: whole, checked, or not there at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sshworker.command import run
from sshworker.connection import Connection
from sshworker.errors import Failure, WorkerError
from sshworker.files import download, remote_folder, upload
from sshworker.wrapper import MARK
from tests.sshd import Sshd, names, until

Start = Callable[..., Sshd]
BOOK = os.urandom(3_000_000)
SUM = hashlib.sha256(BOOK).hexdigest()


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """Something to send."""
    path = tmp_path / "book.epub"
    path.write_bytes(BOOK)
    return path


async def failure_of(work: Awaitable[object]) -> WorkerError:
    """How it fails."""
    with pytest.raises(WorkerError) as caught:
        await work
    return caught.value


async def test_a_file_goes_up_and_comes_down_with_progress_and_checksum(sshd: Sshd, book: Path) -> None:
    """SFTP up and down; the folder is private and goes with all it holds."""
    up: list[tuple[int, int]] = []
    down: list[tuple[int, int]] = []
    back = book.with_name("back.epub")
    async with Connection(sshd.spec()) as connection:
        async with remote_folder(connection) as folder:
            assert await upload(connection, book, f"{folder}/b", progress=lambda *at: up.append(at)) == SUM
            assert (
                await download(connection, f"{folder}/b", back, progress=lambda *at: down.append(at)) == SUM
            )
            result = await run(
                connection, "stat -c %a {f} {f}/b", values={"f": folder}, timeout_s=5, allowed=("stat",)
            )
            assert result.stdout == "700\n600\n"
            assert len(sshd.leftovers()) == 1
        assert sshd.leftovers() == []
    assert back.read_bytes() == BOOK
    for told in (up, down):
        assert len(told) > 1
        assert told == sorted(told)
        assert told[-1] == (len(BOOK), len(BOOK))


async def test_many_transfers_share_few_channels(start_sshd: Start, book: Path) -> None:
    """A transfer never holds a channel while it waits for another."""
    sshd = start_sshd(max_sessions=1)
    async with Connection(sshd.spec()) as connection, remote_folder(connection) as folder:
        sums = await asyncio.gather(*(upload(connection, book, f"{folder}/{n}") for n in range(5)))
    assert set(sums) == {SUM}


async def test_a_forced_command_may_allow_transfers(forced: Sshd, book: Path) -> None:
    """`sftp` in the wrapper's list; without sha256sum there, the file is read back."""
    async with Connection(forced.spec()) as connection, remote_folder(connection) as folder:
        assert await upload(connection, book, f"{folder}/b") == SUM
        assert await download(connection, f"{folder}/b", book) == SUM


async def test_a_full_disk_is_told_and_nothing_half_stays(sshd: Sshd, book: Path, full_disk: Path) -> None:
    """OpenSSH says only "Failure"; a user needs to know that the disk is full."""
    async with Connection(sshd.spec(remote_dir=str(full_disk))) as connection:
        async with remote_folder(connection) as folder:
            error = await failure_of(upload(connection, book, f"{folder}/b"))
            assert (error.failure, "no space left" in error.detail) == (Failure.DISK_FULL, True)
            assert names(full_disk / folder) == [MARK]
        assert names(full_disk) == []


async def test_a_folder_of_somebody_else_is_not_used(sshd: Sshd) -> None:
    """In /tmp anybody can be first."""
    shared = sshd.account.folder / f"shared-{sshd.port}"
    shared.mkdir()
    shared.chmod(0o777)
    async with Connection(sshd.spec(remote_dir=str(shared))) as connection:
        error = await failure_of(_enter(connection))
    assert error.detail == f"{shared} belongs to another user"
    assert names(shared) == []


async def test_a_missing_file_is_told_and_nothing_half_stays(sshd: Sshd, tmp_path: Path) -> None:
    """What stood there before stays as it was."""
    target = tmp_path / "result.txt"
    target.write_text("older")
    async with Connection(sshd.spec()) as connection:
        error = await failure_of(download(connection, "/nowhere/result.txt", target))
    assert (error.failure, "No such file" in error.detail) == (Failure.BAD_OUTPUT, True)
    assert names(tmp_path) == ["result.txt"]
    assert target.read_text() == "older"


async def test_a_worker_lost_in_the_middle_of_a_transfer_is_told(
    sshd: Sshd, book: Path, tmp_path: Path
) -> None:
    """LOST, no task waits on, and nothing half stays here."""
    target = tmp_path / "down" / "book.epub"
    target.parent.mkdir()
    async with Connection(sshd.spec()) as connection, remote_folder(connection) as folder:
        await upload(connection, book, f"{folder}/b")
        before = asyncio.all_tasks()

        def cut(done: int, total: int) -> None:
            if sshd.process is not None and sshd.process.poll() is None:
                sshd.cut()

        error = await failure_of(download(connection, f"{folder}/b", target, progress=cut))
        assert error.failure is Failure.LOST
        await asyncio.to_thread(until, lambda: connection.channels.active == 0)
        assert asyncio.all_tasks() <= before
    assert names(target.parent) == []


async def test_a_worker_without_file_transfer_says_so(start_sshd: Start) -> None:
    """Not an endless wait."""
    sshd = start_sshd(sftp="/nonexistent/sftp-server")
    async with Connection(sshd.spec()) as connection:
        error = await failure_of(_enter(connection))
    assert error.failure is Failure.COMMAND_REFUSED
    assert "file transfer" in error.detail


async def _enter(connection: Connection) -> None:
    async with remote_folder(connection):
        pass


async def test_a_folder_left_by_a_crash_is_swept_by_a_later_command(forced: Sshd) -> None:
    """A day later, by whatever command comes next, also where the key may run the wrapper only."""
    async with Connection(forced.spec()) as connection:
        async with remote_folder(connection) as folder:
            left = Path(folder).with_name("left")
            shutil.copytree(folder, left)
            await asyncio.to_thread(_give, left, forced.account.user)
        for age_s, expected in ((86_000, ["left"]), (87_000, [])):
            os.utime(left, (time.time() - age_s,) * 2)
            result = await run(connection, "tr a-z A-Z", "a\n", timeout_s=10, allowed=("tr",))
            assert result.stdout == "A\n"
            await asyncio.to_thread(until, lambda expected=expected: forced.leftovers() == expected)


def _give(folder: Path, user: str) -> None:
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, user)
