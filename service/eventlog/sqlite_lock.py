"""One server a file: two would give out the same numbers."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from translation_events.errors import LogDamaged


class FileLock:
    """An exclusive lock on `FILE.lock`, held until `release` or the end of the process, however it ends."""

    def __init__(self, path: Path) -> None:
        """Raises: LogDamaged: another process holds it. OSError: it cannot be made."""
        self.path = Path(f"{path}.lock")
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            holder = os.pread(self._fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise LogDamaged(
                f"The event log {path} is in use by another server (process {holder}, which holds "
                f"{self.path}). Stop that one, or give another path with --event-log sqlite:///PATH."
            ) from err
        except OSError:
            os.close(self._fd)
            raise
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let the next one in. The file stays: removing it would let two in at once."""
        os.close(self._fd)
