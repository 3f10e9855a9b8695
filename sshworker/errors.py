"""What can go wrong with a worker, each with a stable class that people, metrics and events share."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

MAX_STDERR_CHARS: Final = 200


class Failure(StrEnum):
    """The closed set of failures; `error_type` of an event takes its value as it is where the names agree."""

    TIMEOUT = "timeout"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    AUTH = "auth"
    HOST_KEY = "host_key"
    LOST = "worker_lost"
    COMMAND_REFUSED = "command_refused"
    EXIT = "exit"
    SIGNAL = "signal"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    BAD_OUTPUT = "bad_output"
    DISK_FULL = "disk_full"
    ENGINE_DOWN = "engine_down"
    WEDGED = "wedged"
    INTERNAL = "internal"


class WorkerError(Exception):
    """A worker failed. `detail` is one sentence for people, without a secret; `stderr` is what it said last.

    `exit_status` is the remote command's, where it ran to an end.
    """

    def __init__(
        self,
        failure: Failure,
        detail: str,
        *,
        worker: str,
        exit_status: int | None = None,
        stderr: str = "",
    ) -> None:
        super().__init__(detail)
        self.failure = failure
        self.detail = detail
        self.worker = worker
        self.exit_status = exit_status
        self.stderr = stderr

    @property
    def told(self) -> str:
        """The sentence, and the last line of standard error: a program says best what troubles it."""
        lines = self.stderr.strip().splitlines()
        return f"{self.detail} ({lines[-1].strip()[:MAX_STDERR_CHARS]})" if lines else self.detail

    @property
    def worker_is_gone(self) -> bool:
        """True where the worker itself cannot be used, not only this piece of work."""
        return self.failure in _GONE


_GONE = frozenset(
    {
        Failure.TIMEOUT,
        Failure.REFUSED,
        Failure.UNREACHABLE,
        Failure.AUTH,
        Failure.HOST_KEY,
        Failure.LOST,
        Failure.ENGINE_DOWN,
        Failure.WEDGED,
    }
)
