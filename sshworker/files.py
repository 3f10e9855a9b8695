"""Files to and from a worker over SFTP: each whole or not at all, in place once its checksum is right."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import asyncssh
import structlog

from sshworker.command import run
from sshworker.connection import Connection
from sshworker.errors import Failure, WorkerError
from sshworker.wrapper import new_id

log = structlog.get_logger(__name__)

CHUNK_BYTES: Final = 1024 * 1024
STALL_S: Final = 60.0  # without a byte; a model of many gigabytes may take hours as long as it moves
_SUM_TIMEOUT_S: Final = 3600.0
_PERMISSIONS: Final = 0o777  # what of a file's mode goes along: no set-user-id
_SUMMERS: Final = (("sha256sum", "sha256sum"), ("shasum", "shasum -a 256"))
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Transfer:
    """A file that has arrived: where, how large, its SHA-256 on both ends, and the seconds it took."""

    path: str
    size_bytes: int
    sha256: str
    duration_s: float


async def upload(
    connection: Connection, local: Path, remote: str, *, progress: Progress | None = None
) -> Transfer:
    """Copy `local` to `remote`, or into it where it is a folder or ends with `/`; its permissions go along.

    `remote` is absolute or starts at the account's home; what stood there is replaced at once, in the end.
    `progress(done, total)` is called in bytes. The sum is taken on the worker where it has `sha256sum` or
    `shasum`, else of what is read back.

    Raises: WorkerError: DISK_FULL, TIMEOUT where nothing moves for a minute, BAD_OUTPUT where the sums differ
        or there is no such folder, and whatever the connection raises. OSError: `local` cannot be read.
    """
    began = time.monotonic()
    expected = await asyncio.to_thread(_local_sum, local)
    stat = await asyncio.to_thread(local.stat)
    nothing = f"{local.name} was not sent"
    # One channel at a time: with one held and another awaited, uploads could wait for each other for ever.
    async with _sftp(connection) as sftp:
        async with _meaning(connection, sftp, remote, f"there is no {remote}"), _moving(connection, nothing):
            target = await _target(sftp, remote, local.name)
        folder = target.rpartition("/")[0] or "."
        # Two workers may be one machine, or share a folder; and in a folder such as /tmp nobody can be first.
        part = f"{target}.{new_id()}.part"
        missing = f"there is no folder {folder} on the worker; make it first"
        async with (
            _meaning(connection, sftp, folder, missing, stat.st_size),
            _moving(connection, nothing, progress) as told,
        ):
            try:
                await sftp.put(str(local), part, progress_handler=told, follow_symlinks=True)
                await sftp.chmod(part, stat.st_mode & _PERMISSIONS)
            except BaseException:
                with suppress(asyncssh.Error, OSError):
                    await sftp.remove(part)
                raise
    actual = await _remote_sum(connection, part)
    async with (
        _sftp(connection) as sftp,
        _meaning(connection, sftp, folder, f"{part} is gone"),
        _moving(connection, nothing),
    ):
        if actual != expected:
            await sftp.remove(part)
            words = f"{local.name} arrived changed: its checksum on the worker differs"
            raise WorkerError(Failure.BAD_OUTPUT, words, worker=connection.spec.id)
        await sftp.posix_rename(part, target)
    return _done("file sent", connection, Transfer(target, stat.st_size, expected, time.monotonic() - began))


async def download(
    connection: Connection, remote: str, local: Path, *, progress: Progress | None = None
) -> Transfer:
    """Copy `remote` to the file `local` (0600); its SHA-256 is compared with the worker's own.

    Raises: WorkerError: TIMEOUT where nothing moves for a minute, BAD_OUTPUT where the sums differ or there
        is no such file, and whatever the connection raises. OSError: `local` cannot be written.
    """
    began = time.monotonic()
    part = local.with_name(local.name + ".part")
    try:
        await asyncio.to_thread(part.touch, 0o600)
        async with _sftp(connection) as sftp:
            missing = f"there is no file {remote} on the worker"
            async with (
                _meaning(connection, sftp, remote, missing),
                _moving(connection, f"{remote} was not fetched", progress) as told,
            ):
                if await sftp.isdir(remote):
                    words = f"{remote} is a folder on the worker; name a file in it"
                    raise WorkerError(Failure.BAD_OUTPUT, words, worker=connection.spec.id)
                await sftp.get(remote, str(part), progress_handler=told)
        expected = await _remote_sum(connection, remote)
        actual = await asyncio.to_thread(_local_sum, part)
        if actual != expected:
            words = f"{remote} arrived changed: its checksum differs from the worker's"
            raise WorkerError(Failure.BAD_OUTPUT, words, worker=connection.spec.id)
        size_bytes = (await asyncio.to_thread(part.stat)).st_size
        await asyncio.to_thread(part.replace, local)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return _done(
        "file fetched", connection, Transfer(str(local), size_bytes, actual, time.monotonic() - began)
    )


def _done(message: str, connection: Connection, transfer: Transfer) -> Transfer:
    log.info(
        message,
        worker=connection.spec.id,
        size_bytes=transfer.size_bytes,
        duration_s=round(transfer.duration_s, 3),
    )
    return transfer


async def _target(sftp: asyncssh.SFTPClient, remote: str, name: str) -> str:
    if remote.endswith("/") or await sftp.isdir(remote):
        return f"{remote.rstrip('/')}/{name}"
    return remote


@asynccontextmanager
async def _sftp(connection: Connection) -> AsyncIterator[asyncssh.SFTPClient]:
    try:
        async with connection.sftp() as sftp:
            yield sftp
    except asyncssh.SFTPConnectionLost as err:
        raise connection.lost() from err


@asynccontextmanager
async def _moving(
    connection: Connection, words: str, progress: Progress | None = None
) -> AsyncIterator[Callable[[bytes, bytes, int, int], None]]:
    """Give up where nothing moves for too long; yields the handler by which asyncssh tells that it does."""
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(STALL_S) as limit:

            def told(_source: bytes, _target: bytes, done: int, total: int) -> None:
                limit.reschedule(clock() + STALL_S)
                if progress is not None:
                    progress(done, total)

            yield told
    except TimeoutError as err:
        raise WorkerError(
            Failure.TIMEOUT, f"{words}: nothing moved for {STALL_S:g} s", worker=connection.spec.id
        ) from err


@asynccontextmanager
async def _meaning(
    connection: Connection, sftp: asyncssh.SFTPClient, path: str, missing: str, size_bytes: int = 1
) -> AsyncIterator[None]:
    """Translate SFTP's errors; `missing` says what is not there. OpenSSH calls a full disk "Failure", so the
    free space at `path` is asked for."""
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
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as err:
        raise WorkerError(Failure.BAD_OUTPUT, missing, worker=worker) from err
    except asyncssh.SFTPPermissionDenied as err:
        user = connection.spec.user or "the account"
        words = f"{user} may not do that at {path} on the worker: permission denied"
        raise WorkerError(Failure.BAD_OUTPUT, words, worker=worker) from err
    except asyncssh.SFTPError as err:
        if await _is_full(sftp, path, size_bytes):
            words = f"no space left on the worker in {path}; make room there, or take another folder"
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
            if err.worker_is_gone:
                raise
        else:
            # A name with odd characters makes GNU's line begin with a backslash.
            return result.stdout.lstrip("\\").split(maxsplit=1)[0]
    digest = hashlib.sha256()
    async with (
        _sftp(connection) as sftp,
        _meaning(connection, sftp, path, f"{path} is gone"),
        sftp.open(path, "rb") as file,
        _moving(connection, f"{path} was not read back") as told,
    ):
        while chunk := await file.read(CHUNK_BYTES):
            digest.update(cast("bytes", chunk))  # typed as text whatever the mode
            told(b"", b"", 0, 0)
    return digest.hexdigest()


def _local_sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
