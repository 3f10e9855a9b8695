"""Writing the result: whole or not at all, and never over the document it was made from."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from translation_events.errors import ConfigError
from translation_events.event import ErrorType
from translator.documents import DocumentError

_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT))


@dataclass(frozen=True, slots=True)
class Job:
    """One document to translate: read from `source`, written to `output`."""

    source: Path
    output: Path


def shown(path: Path | str) -> str:
    """A path for events and records, which are UTF-8; a file's name need not be."""
    return os.fsencode(path).decode("utf-8", "replace")


def plan(inputs: Sequence[Path], out: Path) -> Sequence[Job]:
    """Where each input goes: to `out`, or into it where it is a folder or there are several.

    Raises: ConfigError: an output would overwrite an input, or two inputs have the same output.
    """
    into_folder = len(inputs) > 1 or out.is_dir() or str(out).endswith(os.sep)
    if len(inputs) > 1 and out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; several inputs need a folder (-o DIR)")
    jobs = [Job(source, out / source.name if into_folder else out) for source in inputs]
    sources = {job.source.resolve() for job in jobs}
    taken: dict[Path, Path] = {}
    for job in jobs:
        place = job.output.resolve()
        if place in sources or any(_same_file(job.output, other.source) for other in jobs):
            raise ConfigError(f"{job.output} is an input; choose another output, it would be overwritten")
        if place in taken:
            raise ConfigError(f"{taken[place]} and {job.source} would both be written to {job.output}")
        taken[place] = job.source
    return jobs


def prepare(path: Path) -> None:
    """See that `path` can be written later, before work is spent. Raises: DocumentError(WRITE_FAILED)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _write_failed(path.parent, error) from error
    if path.is_dir():
        raise DocumentError(ErrorType.WRITE_FAILED, f"{path}: is a folder")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DocumentError(ErrorType.WRITE_FAILED, f"{path.parent}: cannot be written to")


def write_whole(path: Path, text: str) -> None:
    """Write beside `path`, sync, rename: a reader sees the old file or the new one, also after a crash.

    Raises: DocumentError(DISK_FULL | WRITE_FAILED); `path` is then as it was.
    """
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fchmod(file.fileno(), _mode(path))
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
        sync_folder(path.parent)
    except OSError as error:
        raise _write_failed(path, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _mode(path: Path) -> int:
    """The mode `path` has or a new file would get; mkstemp's own keeps everyone else out."""
    with contextlib.suppress(OSError):
        return path.stat().st_mode & 0o777
    mask = os.umask(0o022)
    os.umask(mask)
    return 0o666 & ~mask


def sync_folder(folder: Path) -> None:
    """Make new names in `folder` survive a loss of power, where its file system can."""
    with contextlib.suppress(OSError):  # some file systems cannot; the file itself is safe
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _same_file(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False


def _write_failed(path: Path, error: OSError) -> DocumentError:
    error_type = ErrorType.DISK_FULL if error.errno in _FULL else ErrorType.WRITE_FAILED
    return DocumentError(error_type, f"{path}: {error.strerror or 'cannot be written'}")
