"""Files to and from a worker over SFTP: each whole or not at all, in place once its checksum is right."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, cast

import asyncssh

from sshworker.command import run
from sshworker.connection import Connection
from sshworker.errors import Failure, WorkerError
from sshworker.wrapper import MARK, new_id

CHUNK_BYTES: Final = 1024 * 1024
TRANSFER_TIMEOUT_S: Final = 3600.0
_SUM_TIMEOUT_S: Final = 600.0
_SUMMERS: Final = (("sha256sum", "sha256sum"), ("shasum", "shasum -a 256"))
Progress = Callable[[int, int], None]


@asynccontextmanager
async def remote_folder(connection: Connection) -> AsyncIterator[str]:
    """A folder on the worker for one piece of work, mode 0700, under `remote_dir`; removed with all it holds.

    Raises: WorkerError: the folder cannot be made.
    """
    path = f"{connection.spec.remote_dir.rstrip('/')}/{new_id()}"
    async with _sftp(connection) as sftp, _meaning(connection, sftp, connection.spec.remote_dir):
        await sftp.makedirs(
            connection.spec.remote_dir, attrs=asyncssh.SFTPAttrs(permissions=0o700), exist_ok=True
        )
        await sftp.mkdir(path, asyncssh.SFTPAttrs(permissions=0o700))
        base, made = await sftp.lstat(connection.spec.remote_dir), await sftp.lstat(path)
        # In /tmp anybody can be first, and could exchange the folder under our feet.
        if base.uid != made.uid or base.type != asyncssh.FILEXFER_TYPE_DIRECTORY:
            await sftp.rmdir(path)
            words = f"{connection.spec.remote_dir} belongs to another user"
            raise WorkerError(Failure.INTERNAL, words, worker=connection.spec.id)
        # Left behind by a crash here, it is swept by a command a day or more after its last change.
        async with sftp.open(f"{path}/{MARK}", "w"):
            pass
    try:
        yield path
    finally:
        # Where the worker is gone there is nobody to clean up for.
        with suppress(WorkerError, asyncssh.Error, OSError):
            async with _sftp(connection) as sftp:
                await sftp.rmtree(path)


async def upload(
    connection: Connection,
    local: Path,
    remote: str,
    *,
    progress: Progress | None = None,
    timeout_s: float = TRANSFER_TIMEOUT_S,
) -> str:
    """Copy `local` to `remote` (0600) and return its SHA-256; `progress(done, total)` is called in bytes.

    The sum is taken on the worker where it has `sha256sum` or `shasum`, else of what is read back.

    Raises: WorkerError: DISK_FULL, BAD_OUTPUT where the sums differ, and whatever the connection raises.
    """
    expected = await asyncio.to_thread(_local_sum, local)
    part = f"{remote}.part"
    folder, size_bytes = os.path.dirname(remote), (await asyncio.to_thread(local.stat)).st_size
    # One channel at a time: with one held and another awaited, uploads could wait for each other for ever.
    async with _limit(connection, timeout_s, f"{local.name} was not sent"):
        async with _sftp(connection) as sftp, _meaning(connection, sftp, folder, size_bytes):
            try:
                await sftp.put(str(local), part, progress_handler=_handler(progress), follow_symlinks=True)
                await sftp.chmod(part, 0o600)
            except BaseException:
                with suppress(asyncssh.Error, OSError):
                    await sftp.remove(part)
                raise
        actual = await _remote_sum(connection, part)
        async with _sftp(connection) as sftp, _meaning(connection, sftp, folder):
            if actual != expected:
                await sftp.remove(part)
                words = f"{local.name} arrived changed: its checksum on the worker differs"
                raise WorkerError(Failure.BAD_OUTPUT, words, worker=connection.spec.id)
            await sftp.posix_rename(part, remote)
    return expected


async def download(
    connection: Connection,
    remote: str,
    local: Path,
    *,
    progress: Progress | None = None,
    timeout_s: float = TRANSFER_TIMEOUT_S,
) -> str:
    """Copy `remote` to `local` (0600) and return its SHA-256, compared with the worker's own.

    Raises: WorkerError: BAD_OUTPUT where the sums differ or the file is missing, and whatever the connection
        raises. OSError: `local` cannot be written.
    """
    part = local.with_name(local.name + ".part")
    async with _limit(connection, timeout_s, f"{local.name} was not fetched"):
        try:
            await asyncio.to_thread(part.touch, 0o600)
            async with _sftp(connection) as sftp, _meaning(connection, sftp, os.path.dirname(remote)):
                await sftp.get(remote, str(part), progress_handler=_handler(progress))
            expected = await _remote_sum(connection, remote)
            actual = await asyncio.to_thread(_local_sum, part)
            if actual != expected:
                words = f"{local.name} arrived changed: its checksum differs from the worker's"
                raise WorkerError(Failure.BAD_OUTPUT, words, worker=connection.spec.id)
            await asyncio.to_thread(part.replace, local)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    return actual


@asynccontextmanager
async def _sftp(connection: Connection) -> AsyncIterator[asyncssh.SFTPClient]:
    try:
        async with connection.sftp() as sftp:
            yield sftp
    except asyncssh.SFTPConnectionLost as err:
        raise connection.lost() from err


@asynccontextmanager
async def _limit(connection: Connection, timeout_s: float, words: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as err:
        raise WorkerError(
            Failure.TIMEOUT, f"{words} within {timeout_s:g} s", worker=connection.spec.id
        ) from err


@asynccontextmanager
async def _meaning(
    connection: Connection, sftp: asyncssh.SFTPClient, folder: str, size_bytes: int = 1
) -> AsyncIterator[None]:
    """Translate SFTP's errors. OpenSSH calls a full disk "Failure", so the free space is asked for."""
    worker = connection.spec.id
    try:
        yield
    except (
        asyncssh.SFTPConnectionLost,
        asyncssh.SFTPNoConnection,
        asyncssh.DisconnectError,
        ConnectionError,
    ) as err:
        raise connection.lost() from err
    except asyncssh.SFTPError as err:
        if await _is_full(sftp, folder, size_bytes):
            words = f"no space left on the worker in {folder}; make room there, or name another `remote_dir`"
            raise WorkerError(Failure.DISK_FULL, words, worker=worker) from err
        words = f"file transfer failed: {' '.join(str(err.reason).split())}"
        raise WorkerError(Failure.BAD_OUTPUT, words, worker=worker) from err


async def _is_full(sftp: asyncssh.SFTPClient, folder: str, size_bytes: int) -> bool:
    try:
        stat = await sftp.statvfs(folder)
    except (asyncssh.Error, OSError):
        return False
    return (stat.bavail or 0) * (stat.frsize or 0) < size_bytes


async def _remote_sum(connection: Connection, path: str) -> str:
    for program, line in _SUMMERS:
        try:
            result = await run(
                connection,
                f"{line} {{path}}",
                values={"path": path},
                allowed=(program,),
                timeout_s=_SUM_TIMEOUT_S,
            )
        except WorkerError as err:
            if err.failure not in (Failure.COMMAND_REFUSED, Failure.EXIT):
                raise
        else:
            # A name with odd characters makes GNU's line begin with a backslash.
            return result.stdout.lstrip("\\").split(maxsplit=1)[0]
    digest = hashlib.sha256()
    async with (
        _sftp(connection) as sftp,
        _meaning(connection, sftp, os.path.dirname(path)),
        sftp.open(path, "rb") as file,
    ):
        while chunk := await file.read(CHUNK_BYTES):
            digest.update(cast("bytes", chunk))  # typed as text whatever the mode
    return digest.hexdigest()


def _local_sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _handler(progress: Progress | None) -> Callable[[bytes, bytes, int, int], None] | None:
    if progress is None:
        return None
    return lambda _source, _target, done, total: progress(done, total)
