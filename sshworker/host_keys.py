"""Trusting a worker for the first time, or again: its host key is fetched, shown, added to known_hosts."""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from sshworker.connect import connect
from sshworker.errors import Failure, WorkerError
from sshworker.host_key_check import HostKeyCheck
from sshworker.spec import SSH_PORT, WorkerSpec


@dataclass(frozen=True, slots=True)
class HostKey:
    """A host key as presented: nobody vouches for it yet. `host` and `port` are as known_hosts names them."""

    host: str
    port: int
    type: str
    fingerprint: str
    public_line: str


async def fetch(spec: WorkerSpec) -> HostKey:
    """The host key that answers for this worker, through its jump hosts; logs in nowhere else.

    Raises: WorkerError: the worker cannot be reached.
    """
    check = await asyncio.to_thread(HostKeyCheck, spec, nobody=True)
    try:
        link = await connect(spec, host_key_check=check)
    except WorkerError:
        if check.presented is None:
            raise
    else:
        await link.close()
        raise WorkerError(Failure.INTERNAL, "a host key was believed that nobody knows", worker=spec.id)
    key = check.presented
    return HostKey(
        host=check.host,
        port=check.port,
        type=key.get_algorithm(),
        fingerprint=key.get_fingerprint(),
        public_line=" ".join(key.export_public_key().decode().split()[:2]),
    )


def is_trusted(known_hosts: Path, key: HostKey) -> bool:
    """Whether `known_hosts` has this key for its host. Blocks for the disk.

    Raises: WorkerError(HOST_KEY): the file cannot be read.
    """
    path = known_hosts.expanduser()
    try:
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
    except (OSError, ValueError) as err:
        raise WorkerError(Failure.HOST_KEY, f"{path} cannot be read: {err}", worker="") from err
    name = _name(key.host, key.port)
    return any(key.fingerprint in _keys(line, name) for line in lines)


def trust(
    known_hosts: Path, host: str, port: int, key: HostKey, *, replace: bool = False, worker: str = ""
) -> bool:
    """Add `key` for `host:port`; False if it was there already. Blocks for the disk.

    The file is written anew, mode 0600, and renamed; a lock keeps two at once from losing a line.

    Raises: WorkerError(HOST_KEY): another key is known and not to be replaced, or the file cannot be written.
    """
    path = known_hosts.expanduser().resolve()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            text = path.read_text("utf-8") if path.exists() else ""
            lines = _with(text, host, port, key, replace=replace, worker=worker)
            if lines is None:
                return False
            _write(path, "".join(lines))
        finally:
            os.close(folder)
    except (OSError, ValueError) as err:
        words = f"{path} cannot be changed: {err}"
        raise WorkerError(Failure.HOST_KEY, words, worker=worker) from err
    return True


def _with(text: str, host: str, port: int, key: HostKey, *, replace: bool, worker: str) -> list[str] | None:
    """The lines with the new one, None where nothing is to change."""
    name = _name(host, port)
    kept: list[str] = []
    for line in text.splitlines():
        known = _keys(line, name)
        if key.fingerprint in known and not replace:
            return None
        if known and not replace:
            words = (
                f"another key is known for {name}: {known[0]}, presented {key.fingerprint}; only if you know "
                f"that the worker changed, `translation-monitor workers trust {worker or 'ID'} --replace`"
            )
            raise WorkerError(Failure.HOST_KEY, words, worker=worker)
        rest = _without(line, name) if known else line
        if rest:
            kept.append(rest + "\n")
    return [*kept, f"{name} {key.public_line}\n"]


def _name(host: str, port: int) -> str:
    return host if port == SSH_PORT else f"[{host}]:{port}"


def _keys(line: str, name: str) -> list[str]:
    """The fingerprints this line knows for `name`, hashed names included; no authorities or revoked keys."""
    try:
        matched = asyncssh.import_known_hosts(line + "\n").match(name, "", None)
    except ValueError:
        return []
    return [found.get_fingerprint() for found in matched[0]]


def _without(line: str, name: str) -> str:
    """The line without `name`: other names it stands for keep their key."""
    names, _, rest = line.lstrip().partition(" ")
    left = [other for other in names.split(",") if other != name and not other.startswith("|")]
    return f"{','.join(left)} {rest}" if left and len(left) < len(names.split(",")) else ""


def _write(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
