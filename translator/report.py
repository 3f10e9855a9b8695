"""What a translation tells while it runs: each fact as one event, to the monitor and the terminal alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import msgspec
from opentelemetry import trace

from translation_events.event import ErrorType, EventType, Usage, WorkerInfo
from translator.segments import Segment


class Step(StrEnum):
    """The steps of a translation, in order."""

    READING = "reading"
    PARSING = "parsing"
    CONVERSION = "conversion"
    TRANSLATION = "translation"
    GENERATION = "generation"


class Emitter(Protocol):
    """Takes events; never blocks, never fails. `Publisher` is one."""

    def emit(self, type: str, /, **fields: Any) -> object:  # noqa: A002  # the event's own word
        """Hand over one event."""


class Tee:
    """Hands each event to several."""

    def __init__(self, *emitters: Emitter) -> None:
        self._emitters = emitters

    def emit(self, type: str, /, **fields: Any) -> None:  # noqa: A002
        """Hand over one event to each."""
        for emitter in self._emitters:
            emitter.emit(type, **fields)


@dataclass(slots=True)
class Totals:
    """What the model requests of a run consumed."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def add(self, usages: Sequence[Usage]) -> None:
        """Count these in."""
        for usage in usages:
            self.requests += usage.requests
            self.input_tokens += usage.input_tokens
            self.output_tokens += usage.output_tokens
            self.cost_usd += usage.cost_usd or 0.0


@dataclass(slots=True)
class Report:
    """Counts what is done and says it. Every event carries `items_done`, so none is guessed from a name."""

    emitter: Emitter
    engine: str
    model: str
    total: int | None = None
    done: int = 0
    resumed: int = 0
    failed: int = 0
    totals: Totals = field(default_factory=Totals)

    def started(self, files: Sequence[str], source: str, target: str) -> None:
        """The first event. It names the span it belongs to only where that span is really recorded."""
        fields: dict[str, Any] = {}
        span = trace.get_current_span()
        if span.is_recording():
            context = span.get_span_context()
            flags = int(context.trace_flags)
            fields["traceparent"] = f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"
        what = files[0] if len(files) == 1 else f"{len(files)} files"
        self._emit(
            EventType.TRANSLATION_STARTED,
            message=f"Translating {what}, {source} → {target}, with {self.engine} {self.model}",
            more={
                "files": list(files[:20]),
                "source_language": source,
                "target_language": target,
            },
            **fields,
        )

    def step_begun(self, step: Step, message: str) -> None:
        """A step has begun."""
        kind = EventType.CONVERSION_STARTED if step is Step.CONVERSION else EventType.TRANSLATION_PROGRESS
        self._emit(kind, step=step, message=message)

    def take_up(self, items: int) -> None:
        """`items` segments were finished by an earlier run; told in each event, as any may be lost."""
        self.resumed = self.done = items

    def file_done(self, step: Step, name: str, message: str) -> None:
        """A step is through with one file."""
        kind = EventType.CONVERSION_PROGRESS if step is Step.CONVERSION else EventType.TRANSLATION_PROGRESS
        self._emit(kind, step=step, message=message, more={"file": name})

    def step_completed(self, step: Step, message: str) -> None:
        """A step is over."""
        if step is Step.CONVERSION:
            self._emit(EventType.CONVERSION_COMPLETED, step=step, message=message)
        self._emit(EventType.STEP_COMPLETED, step=step, message=message)

    def segment_done(
        self, number: int, segment: Segment, file: str, usages: Sequence[Usage],
        worker: WorkerInfo | None = None,
    ) -> None:  # fmt: skip
        """A segment is translated; `number` counts over all files."""
        self.done += 1
        self._emit(
            EventType.TRANSLATION_PROGRESS,
            step=Step.TRANSLATION,
            message=f"Translated segment {number} of {self.total}",
            current_item=f"segment_{number}",
            worker_info=_plain(worker),
            more={"file": file, "segment": segment.id},
            usages=usages,
        )

    def segment_failed(
        self, number: int, segment: Segment, file: str, error_type: ErrorType, detail: str,
        usages: Sequence[Usage], worker: WorkerInfo | None = None,
    ) -> None:  # fmt: skip
        """A segment stays untranslated; the translation goes on."""
        self.failed += 1
        self._emit(
            EventType.TRANSLATION_ERROR,
            step=Step.TRANSLATION,
            message=f"Failed to translate segment {number}",
            current_item=f"segment_{number}",
            worker_info=_plain(worker),
            error=detail,
            error_type=error_type,
            more={"file": file, "segment": segment.id},
            usages=usages,
        )

    def completed(self, message: str) -> None:
        """The last event of a translation that ran through."""
        self._emit(EventType.TRANSLATION_COMPLETED, message=message, progress=100.0, failed_items=self.failed)

    def cancelled(self, step: Step) -> None:
        """The last event of a translation someone stopped."""
        self._emit(
            EventType.TRANSLATION_CANCELLED,
            step=step,
            message="Translation cancelled",
            error_type=ErrorType.CANCELLED,
        )

    def fatal(
        self, step: Step | None, error_type: ErrorType, detail: str, usages: Sequence[Usage] = ()
    ) -> None:
        """The last event of a translation that cannot go on."""
        self._emit(
            EventType.TRANSLATION_ERROR,
            step=step,
            message="Translation failed",
            error=detail,
            error_type=error_type,
            fatal=True,
            usages=usages,
        )

    @property
    def progress(self) -> float | None:
        """Percent of the segments handled, None before they are counted."""
        if self.total is None:
            return None
        return 100.0 if not self.total else round(100 * (self.done + self.failed) / self.total, 2)

    def _emit(
        self, kind: EventType, *, more: dict[str, Any] | None = None, usages: Sequence[Usage] = (),
        **fields: Any,
    ) -> None:  # fmt: skip
        self.totals.add(usages)
        fields.setdefault("progress", self.progress)
        fields["total_items"] = self.total
        fields["data"] = {
            "engine": self.engine,
            "model": self.model,
            "items_done": self.done,
            **(more or {}),
        }
        if self.resumed:
            fields["data"]["items_resumed"] = self.resumed
        if usages:
            fields["usage"] = [_plain(usage) for usage in usages]
        values = {
            name: value.value if isinstance(value, StrEnum) else value
            for name, value in fields.items()
            if value is not None
        }
        self.emitter.emit(kind.value, **values)


def _plain(value: Usage | WorkerInfo | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {name: held for name, held in msgspec.structs.asdict(value).items() if held is not None}
