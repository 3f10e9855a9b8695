"""Where the records of finished segments lie: a folder of the user's state, one file a document.

A record is named by a hash of what makes two runs the same work: the input's and the output's absolute path
and the two languages. It lies with the user's state, not beside the output: an output's folder is shared,
synchronised, committed and served, and a record holds the document's text.

`lock` is one file for all records, each of which is one byte in it: a run over a thousand documents holds one
descriptor. The system lets go of the locks when the process dies, however it dies.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Collection, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final, Self

from translation_events.errors import MonitorError
from translator.output import Job

MAX_AGE_S: Final = 30 * 86_400.0
MAX_KEPT_BYTES: Final = 256 << 20  # of all records that nobody works on; the oldest go first
_SUFFIX: Final = ".ndjson"
_BUSY: Final = frozenset((errno.EACCES, errno.EAGAIN))


class AlreadyRunning(MonitorError):
    """Another process translates this document to this output just now."""

    def __init__(self, job: Job) -> None:
        super().__init__(
            "already_running",
            f"{job.source} is being translated to {job.output} by another process; wait for it or stop it",
        )


class ProgressUnavailable(MonitorError):
    """Records cannot be kept in the state folder; `detail` names it and says why."""

    def __init__(self, folder: Path, error: OSError) -> None:
        reason = error.strerror or "it cannot be used"
        super().__init__("progress_unavailable", f"finished segments cannot be kept in {folder}: {reason}")


class ProgressFolder:
    """The records' folder, opened for one run. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        """`path` is made where it is missing. Raises: ProgressUnavailable."""
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ProgressUnavailable(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all records."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def claim(self, job: Job, languages: tuple[str, str]) -> Path:
        """The path of the job's record, which is this run's alone from now on.

        Raises: AlreadyRunning, ProgressUnavailable (a file system without locks).
        """
        identity = [os.path.realpath(job.source), os.path.realpath(job.output), *languages]
        key = blake2b("\0".join(identity).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        path = self.path / f"{key}{_SUFFIX}"
        try:
            if not self._try_lock(path):
                raise AlreadyRunning(job)
        except OSError as error:
            raise ProgressUnavailable(self.path, error) from error
        return path

    def prune(self, own: Collection[Path]) -> None:
        """Remove what is too old or too much, but for this run's own records and those of running ones."""
        kept_bytes = 0
        for modified, size_bytes, path in sorted(self._records(), reverse=True):
            if path in own:
                continue
            kept_bytes += size_bytes
            if time.time() - modified < MAX_AGE_S and kept_bytes <= MAX_KEPT_BYTES:
                continue
            with contextlib.suppress(OSError):
                if self._try_lock(path):
                    path.unlink()
                    fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, _place(path))

    def _records(self) -> Iterator[tuple[float, int, Path]]:
        for path in self.path.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(OSError):  # another run has removed it
                stat = path.stat()
                yield stat.st_mtime, stat.st_size, path

    def _try_lock(self, path: Path) -> bool:
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(path))
        except OSError as error:
            if error.errno in _BUSY:
                return False
            raise
        return True


def _place(path: Path) -> int:
    """The record's byte in the lock file: 60 bits of its name, which any file may be asked to lock."""
    return int(path.stem[:15], 16)
