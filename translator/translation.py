"""A translation from files to files: reading, parsing, conversion, translation, generation, each reported."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from opentelemetry import trace

from translation_events import semconv
from translation_events.errors import MonitorError
from translation_events.event import ErrorType
from translator.blocks import Block
from translator.documents import (
    Document,
    DocumentError,
    Format,
    convert,
    format_of,
    parse,
    read_text,
    restore,
)
from translator.engines.engine import HOPELESS, Engine, EngineError
from translator.output import Job, prepare, write_whole
from translator.pace import Pace
from translator.report import Emitter, Report, Step, Totals
from translator.segments import LostMarks, Segment

log = structlog.get_logger(__name__)

# So many segments one after another failing for the engine's sake, each retried, and the engine is gone.
MAX_ENGINE_FAILURES: Final = 5
_ENGINES_FAULT: Final = frozenset(
    (ErrorType.TIMEOUT, ErrorType.CONNECTION, ErrorType.REFUSED, ErrorType.SERVER_ERROR)
)


class TranslationFailed(MonitorError):
    """The translation could not go on; nothing was written. `error_type` is what the last event says."""

    def __init__(self, error_type: ErrorType, detail: str) -> None:
        super().__init__(error_type.value, detail)
        self.error_type = error_type


@dataclass(frozen=True, slots=True)
class Outcome:
    """A translation that ran through; `failed` of its `segments` kept their source text. Seconds."""

    files: Sequence[Path]
    segments: int
    failed: int
    totals: Totals
    duration_s: float


@dataclass(frozen=True, slots=True)
class _Item:
    """A segment on its way: `number` counts over all files from 1, `file` is the job's place."""

    number: int
    file: int
    segment: Segment


class Translation:
    """One run over one or more documents. Use once: `outcome = await Translation(...).run()`.

    `concurrency` segments are with the engine at a time, and at least `pace_s` seconds lie between two.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        engine: Engine,
        emitter: Emitter,
        *,
        source: str,
        target: str,
        concurrency: int = 4,
        pace_s: float = 0.0,
    ) -> None:
        self._jobs = jobs
        self._engine = engine
        self._languages = source, target
        self._concurrency = max(1, concurrency)
        self._pace = Pace(pace_s)
        self._report = Report(emitter, engine.name, engine.model)
        self._step = Step.READING
        self._restored: list[dict[str, str]] = [{} for _ in jobs]
        self._failures_in_a_row = 0

    async def run(self) -> Outcome:
        """Translate and write all. Raises: TranslationFailed, CancelledError; both are reported first."""
        began = time.monotonic()
        tracer = trace.get_tracer("translation-monitor.translator")
        with tracer.start_as_current_span(
            "translation",
            attributes={semconv.ENGINE: self._engine.name, semconv.MODEL: self._engine.model},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            self._report.started([job.source.name for job in self._jobs], *self._languages)
            try:
                documents = await self._documents()
                await self._translate(documents)
                await self._generate(documents)
            except asyncio.CancelledError:
                self._report.cancelled(self._step)
                span.set_attribute(semconv.ERROR_TYPE, ErrorType.CANCELLED.value)
                raise
            except (DocumentError, EngineError) as error:
                usages = error.usages if isinstance(error, EngineError) else ()
                self._report.fatal(self._step, error.error_type, error.detail, usages)
                span.set_attribute(semconv.ERROR_TYPE, error.error_type.value)
                span.set_status(trace.StatusCode.ERROR)
                raise TranslationFailed(error.error_type, error.detail) from error
            except Exception as error:
                log.exception("translation failed", step=self._step.value)
                self._report.fatal(self._step, ErrorType.INTERNAL, type(error).__name__)
                span.set_attribute(semconv.ERROR_TYPE, ErrorType.INTERNAL.value)
                span.set_status(trace.StatusCode.ERROR)
                raise
            span.set_attribute(semconv.ITEMS_DONE, self._report.done)
            span.set_attribute(semconv.ITEMS_FAILED, self._report.failed)
        total, failed = self._report.total or 0, self._report.failed
        self._report.completed(
            f"Translated {total - failed} of {total} segments, {failed} failed"
            if failed
            else f"Translated {total} segments"
        )
        return Outcome(
            [job.output for job in self._jobs], total, failed, self._report.totals, time.monotonic() - began
        )

    async def _documents(self) -> Sequence[Document]:
        texts: list[str] = []
        self._begin(Step.READING, f"Reading {_files(self._jobs)}")
        formats: list[Format] = []
        for job in self._jobs:
            formats.append(format_of(job.source))
            prepare(job.output)
            texts.append(await asyncio.to_thread(read_text, job.source))
            size_bytes = len(texts[-1].encode())
            self._report.file_done(Step.READING, job.source.name, f"Read {size_bytes} bytes")
        self._report.step_completed(Step.READING, f"Read {_files(self._jobs)}")

        blocks: list[Sequence[str | Block]] = []
        self._begin(Step.PARSING, "Looking for prose")
        for job, text, kind in zip(self._jobs, texts, formats, strict=True):
            blocks.append(await asyncio.to_thread(parse, text, kind))
            count = sum(isinstance(block, Block) for block in blocks[-1])
            self._report.file_done(Step.PARSING, job.source.name, f"Found {count} blocks of prose ({kind})")
        self._report.step_completed(Step.PARSING, f"Parsed {_files(self._jobs)}")

        documents: list[Document] = []
        self._begin(Step.CONVERSION, "Cutting prose into segments")
        for job, found in zip(self._jobs, blocks, strict=True):
            documents.append(await asyncio.to_thread(convert, found))
            count = len(documents[-1].segments)
            self._report.file_done(Step.CONVERSION, job.source.name, f"Cut into {count} segments")
        self._report.total = sum(len(document.segments) for document in documents)
        self._report.step_completed(Step.CONVERSION, f"{self._report.total} segments to translate")
        return documents

    async def _translate(self, documents: Sequence[Document]) -> None:
        self._begin(Step.TRANSLATION, f"Translating {self._report.total} segments")
        items = _items(documents)
        try:
            async with asyncio.TaskGroup() as group:
                for lane in range(min(self._concurrency, self._report.total or 0)):
                    group.create_task(self._lane(items), name=f"translation lane {lane}")
        except* EngineError as several:
            raise _first(several) from several
        self._report.step_completed(Step.TRANSLATION, f"Translated {self._report.done} segments")

    async def _lane(self, items: Iterator[_Item]) -> None:
        for item in items:
            await self._pace.wait()
            await self._translate_one(item)

    async def _translate_one(self, item: _Item) -> None:
        segment, file = item.segment, self._jobs[item.file].source.name
        try:
            translation = await self._engine.translate(segment)
        except EngineError as error:
            if error.error_type in HOPELESS:
                raise
            at_fault = error.error_type in _ENGINES_FAULT
            self._failures_in_a_row = self._failures_in_a_row + 1 if at_fault else 0
            self._report.segment_failed(
                item.number, segment, file, error.error_type, error.detail, error.usages
            )
            if self._failures_in_a_row >= MAX_ENGINE_FAILURES:
                raise EngineError(
                    ErrorType.ENGINE_DOWN,
                    f"{self._failures_in_a_row} segments in a row failed, the last one: {error.detail}",
                ) from error
            return
        self._failures_in_a_row = 0
        try:
            self._restored[item.file][segment.id] = restore(segment, translation.text)
        except LostMarks:
            self._report.segment_failed(
                item.number, segment, file, ErrorType.BAD_OUTPUT, "markup was lost", translation.usages
            )
            return
        self._report.segment_done(item.number, segment, file, translation.usages)

    async def _generate(self, documents: Sequence[Document]) -> None:
        self._begin(Step.GENERATION, f"Writing {_files(self._jobs)}")
        for job, document, restored in zip(self._jobs, documents, self._restored, strict=True):
            await asyncio.to_thread(write_whole, job.output, document.render(restored))
            self._report.file_done(Step.GENERATION, job.output.name, f"Wrote {job.output.name}")
        self._report.step_completed(Step.GENERATION, f"Wrote {_files(self._jobs)}")

    def _begin(self, step: Step, message: str) -> None:
        self._step = step
        self._report.step_begun(step, message)


def _items(documents: Sequence[Document]) -> Iterator[_Item]:
    number = 0
    for file, document in enumerate(documents):
        for segment in document.segments:
            number += 1
            yield _Item(number, file, segment)


def _first(group: BaseExceptionGroup[EngineError]) -> EngineError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, EngineError):
        return error
    raise error


def _files(jobs: Sequence[Job]) -> str:
    return jobs[0].source.name if len(jobs) == 1 else f"{len(jobs)} files"
