"""The seam between the translation and whatever does it: a model, a program, a word list."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from translation_events.errors import MonitorError
from translation_events.event import ErrorType, Usage, WorkerInfo
from translator.segments import PLACEHOLDER, LostMarks, Segment

# Where these come back, no other segment will fare better.
HOPELESS: Final = frozenset((ErrorType.AUTH, ErrorType.QUOTA, ErrorType.ENGINE_DOWN, ErrorType.BUDGET))


class EngineError(MonitorError):
    """A segment was not translated: `error_type` says why, `usages` what the attempts consumed.

    `fatal` where no other segment will fare better; unless given, the type says so. `worker` had it last.
    """

    def __init__(
        self,
        error_type: ErrorType,
        detail: str,
        usages: tuple[Usage, ...] = (),
        *,
        fatal: bool | None = None,
    ) -> None:
        super().__init__(error_type.value, detail)
        self.error_type = error_type
        self.usages = usages
        self.fatal = error_type in HOPELESS if fatal is None else fatal
        self.worker: WorkerInfo | None = None


class EngineUnavailable(MonitorError):
    """An engine cannot be used here at all: `detail` says what is missing and what to do about it."""

    def __init__(self, detail: str, error_type: ErrorType = ErrorType.ENGINE_DOWN) -> None:
        super().__init__("engine_unavailable", detail)
        self.error_type = error_type


@dataclass(frozen=True, slots=True)
class Translation:
    """`text` holds the segment's placeholders, each once and in order; `usages` one entry a model request.

    `worker` is who did it, where that was another machine.
    """

    text: str
    usages: tuple[Usage, ...] = ()
    worker: WorkerInfo | None = None


class Engine(Protocol):
    """Translates segments of one language into one other; safe to call from many tasks of one loop."""

    @property
    def name(self) -> str:
        """The kind of engine: `llm`, `apertium`, `glossary`, `ssh`."""

    @property
    def model(self) -> str:
        """Which model, language pair or list does the work."""

    @property
    def capacity(self) -> int | None:
        """How many segments it takes at a time, None where it does not know."""

    @property
    def statement(self) -> str:
        """One honest sentence for people on what this engine is; may tell what it has done so far."""

    async def translate(self, segment: Segment) -> Translation:
        """The segment in the target language, never empty. Raises: EngineError."""

    async def aclose(self) -> None:
        """Free what the engine holds; once closed it stays closed."""


async def run_by_run(segment: Segment, translate: Callable[[Segment], Awaitable[str]]) -> str:
    """The runs of text between the placeholders translated one by one, for an engine that loses them.

    Words no longer help each other, but the page keeps its markup. Raises: EngineError.
    """
    pieces = PLACEHOLDER.split(segment.text)
    for at in range(0, len(pieces), 2):
        run = pieces[at]
        bare = run.strip()
        if not any(c.isalpha() for c in bare):
            continue
        answer = await translate(replace(segment, text=bare, marks=(), breaks=(), context=""))
        lead = run[: len(run) - len(run.lstrip())]
        pieces[at] = lead + answer.strip() + run[len(run.rstrip()) :]
    text = "".join(f"⟦{piece}⟧" if at % 2 else piece for at, piece in enumerate(pieces))
    return checked(segment, text)


def checked(segment: Segment, text: str) -> str:
    """`text` if it can stand for the segment. Raises: EngineError(EMPTY | BAD_OUTPUT)."""
    if not text.strip():
        raise EngineError(ErrorType.EMPTY, "the engine answered with nothing")
    try:
        text.encode()  # JSON lets half a surrogate pair through; a file does not
        segment.check(text)
    except UnicodeEncodeError:
        raise EngineError(ErrorType.BAD_OUTPUT, "the engine's answer is not Unicode text") from None
    except LostMarks:
        raise EngineError(ErrorType.BAD_OUTPUT, "the engine lost or moved markup") from None
    return text
