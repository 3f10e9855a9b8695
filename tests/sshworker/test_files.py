"""Files to and from real workers: whole, checked, or not there at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sshworker import files
from sshworker.connection import Connection
from sshworker.errors import Failure, WorkerError
from sshworker.files import download, upload
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


def home(sshd: Sshd) -> str:
    """A folder of the account's own."""
    folder = sshd.account.folder / f"files-{sshd.port}"
    folder.mkdir(exist_ok=True)
    shutil.chown(folder, sshd.account.user)
    return str(folder)


async def test_a_file_goes_up_and_comes_down_with_progress_and_checksum(sshd: Sshd, book: Path) -> None:
    """SFTP up and down; up, its permissions go along, and a folder takes it under its own name."""
    up: list[tuple[int, int]] = []
    down: list[tuple[int, int]] = []
    back, folder = book.with_name("back.epub"), home(sshd)
    await asyncio.to_thread(book.chmod, 0o4750)
    async with Connection(sshd.spec()) as connection:
        sent = await upload(connection, book, folder, progress=lambda *at: up.append(at))
        assert (sent.path, sent.sha256, sent.size_bytes) == (f"{folder}/book.epub", SUM, len(BOOK))
        got = await download(connection, sent.path, back, progress=lambda *at: down.append(at))
        assert (got.path, got.sha256, got.size_bytes) == (str(back), SUM, len(BOOK))
    assert names(Path(folder)) == ["book.epub"]
    assert [os.stat(path).st_mode & 0o7777 for path in (sent.path, back)] == [0o750, 0o600]
    assert back.read_bytes() == BOOK
    for told in (up, down):
        assert len(told) > 1
        assert told == sorted(told)
        assert told[-1] == (len(BOOK), len(BOOK))


async def test_a_name_without_a_folder_is_seen_from_the_home(sshd: Sshd, book: Path) -> None:
    """As with scp; what stood there is replaced."""
    target = sshd.account.folder / f"home-{sshd.port}.epub"
    target.write_text("older")
    async with Connection(sshd.spec()) as connection:
        assert (await upload(connection, book, target.name)).path == target.name
    assert target.read_bytes() == BOOK


async def test_many_transfers_share_few_channels(start_sshd: Start, book: Path) -> None:
    """A transfer never holds a channel while it waits for another; to one place all of them may go."""
    sshd = start_sshd(max_sessions=1)
    folder = home(sshd)
    async with Connection(sshd.spec()) as connection:
        sent = await asyncio.gather(*(upload(connection, book, f"{folder}/{n % 3}") for n in range(5)))
    assert {one.sha256 for one in sent} == {SUM}
    assert names(Path(folder)) == ["0", "1", "2"]


async def test_a_forced_command_may_allow_transfers(forced: Sshd, book: Path) -> None:
    """`sftp` in the wrapper's list; without sha256sum there, the file is read back."""
    folder = home(forced)
    async with Connection(forced.spec()) as connection:
        assert (await upload(connection, book, f"{folder}/b")).sha256 == SUM
        assert (await download(connection, f"{folder}/b", book)).sha256 == SUM


async def test_a_full_disk_is_told_and_nothing_half_stays(sshd: Sshd, book: Path, full_disk: Path) -> None:
    """OpenSSH says only "Failure"; a user needs to know that the disk is full."""
    async with Connection(sshd.spec(remote_dir=str(full_disk))) as connection:
        error = await failure_of(upload(connection, book, f"{full_disk}/b"))
    assert (error.failure, "no space left" in error.detail) == (Failure.DISK_FULL, True)
    assert names(full_disk) == []


async def test_what_is_not_there_or_not_allowed_is_told_by_name(
    sshd: Sshd, book: Path, tmp_path: Path
) -> None:
    """A folder that is missing, one of somebody else, a file that is none: nothing half stays anywhere."""
    target = tmp_path / "result.txt"
    target.write_text("older")
    folder = home(sshd)
    async with Connection(sshd.spec()) as connection:
        told = [
            await failure_of(upload(connection, book, f"{folder}/no/b")),
            await failure_of(upload(connection, book, "/root/")),
            await failure_of(download(connection, "/nowhere/result.txt", target)),
            await failure_of(download(connection, folder, target)),
        ]
    assert {error.failure for error in told} == {Failure.BAD_OUTPUT}
    assert [error.detail for error in told] == [
        f"there is no folder {folder}/no on the worker; make it first",
        f"{sshd.account.user} may not do that at /root on the worker: permission denied",
        "there is no file /nowhere/result.txt on the worker",
        f"{folder} is a folder on the worker; name a file in it",
    ]
    assert names(Path(folder)) == []
    assert set(names(tmp_path)) == {"result.txt", "book.epub"}
    assert target.read_text() == "older", "what stood there before stays as it was"


async def test_a_worker_lost_in_the_middle_of_a_transfer_is_told(
    sshd: Sshd, book: Path, tmp_path: Path
) -> None:
    """LOST, no task waits on, and nothing half stays here."""
    target = tmp_path / "down" / "book.epub"
    target.parent.mkdir()
    async with Connection(sshd.spec()) as connection:
        sent = await upload(connection, book, f"{home(sshd)}/b")
        before = asyncio.all_tasks()

        def cut(done: int, total: int) -> None:
            if sshd.process is not None and sshd.process.poll() is None:
                sshd.cut()

        error = await failure_of(download(connection, sent.path, target, progress=cut))
        assert error.failure is Failure.LOST
        await asyncio.to_thread(until, lambda: connection.channels.active == 0)
        assert asyncio.all_tasks() <= before
    assert names(target.parent) == []


async def test_a_transfer_that_stands_still_is_given_up(
    sshd: Sshd, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large the file, it may take as long as it moves, and no longer."""
    monkeypatch.setattr(files, "STALL_S", 1.0)
    pipe = Path(home(sshd)) / "pipe"
    os.mkfifo(pipe, 0o666)
    shutil.chown(pipe, sshd.account.user)
    async with Connection(sshd.spec()) as connection:
        # Opening a pipe that nobody writes to holds the far side up for good.
        error = await failure_of(download(connection, str(pipe), book.with_name("pipe")))
    assert error.failure is Failure.TIMEOUT
    assert error.detail == f"{pipe} was not fetched: nothing moved for 1 s"
    assert names(book.parent) == ["book.epub"]


async def test_a_worker_without_file_transfer_says_so(start_sshd: Start, book: Path) -> None:
    """Not an endless wait."""
    sshd = start_sshd(sftp="/nonexistent/sftp-server")
    async with Connection(sshd.spec()) as connection:
        error = await failure_of(upload(connection, book, "b"))
    assert error.failure is Failure.COMMAND_REFUSED
    assert "file transfer" in error.detail
