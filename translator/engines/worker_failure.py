"""Failures of a worker and failures of an engine, each said in the other's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sshworker.errors import Failure, WorkerError
from translation_events.event import ErrorType, Usage
from translator.engines.engine import EngineError

# Where a worker's own names are not those of the protocol, the nearest.
_TOLD_AS: Final[Mapping[Failure, ErrorType]] = {
    Failure.UNREACHABLE: ErrorType.CONNECTION,
    Failure.WEDGED: ErrorType.TIMEOUT,
    Failure.TOO_LARGE: ErrorType.BAD_OUTPUT,
    Failure.EXIT: ErrorType.SERVER_ERROR,
    Failure.SIGNAL: ErrorType.SERVER_ERROR,
    Failure.COMMAND_REFUSED: ErrorType.SERVER_ERROR,
}
# What an engine says that is no fault of the text: the worker is the one that cannot.
_WORKERS_FAULT: Final[Mapping[ErrorType, Failure]] = {
    ErrorType.TIMEOUT: Failure.TIMEOUT,
    ErrorType.CONNECTION: Failure.ENGINE_DOWN,
    ErrorType.REFUSED: Failure.ENGINE_DOWN,
    ErrorType.ENGINE_DOWN: Failure.ENGINE_DOWN,
    ErrorType.SERVER_ERROR: Failure.ENGINE_DOWN,
    ErrorType.RATE_LIMITED: Failure.ENGINE_DOWN,
    ErrorType.QUOTA: Failure.ENGINE_DOWN,
    ErrorType.BUDGET: Failure.ENGINE_DOWN,
    ErrorType.AUTH: Failure.AUTH,
}


class Untranslated(WorkerError):
    """The worker did its work and the text could not be translated: `error` says it as the engine did."""

    def __init__(self, error: EngineError, worker: str) -> None:
        super().__init__(Failure.BAD_OUTPUT, error.detail, worker=worker)
        self.error = error


def error_type_of(error: WorkerError) -> ErrorType:
    """The class of failure as events name it."""
    if isinstance(error, Untranslated):
        return error.error.error_type
    return _TOLD_AS.get(error.failure) or ErrorType.of(error.failure.value)


def said(error: WorkerError) -> str:
    """One sentence for people: which worker, what, and the last line it wrote to standard error."""
    return f"{error.worker}: {error.told}" if error.worker else error.told


def as_engine_error(error: WorkerError, usages: tuple[Usage, ...]) -> EngineError:
    """A segment's last failure. Other segments may fare better, so it ends nothing but the segment."""
    return EngineError(error_type_of(error), said(error), usages, fatal=False)


def as_worker_error(error: EngineError, worker: str) -> WorkerError:
    """What an engine's failure says of the worker it runs on."""
    failure = _WORKERS_FAULT.get(error.error_type)
    if failure is None:
        return Untranslated(error, worker)
    return WorkerError(failure, error.detail, worker=worker)
