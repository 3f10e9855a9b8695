"""A translation from files to files: reading, parsing, conversion, translation, generation, each reported."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
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
)
from translator.engines.engine import Engine, EngineError
from translator.output import Job, prepare, shown, write_whole
from translator.pace import Pace
from translator.progress import Progress, makers
from translator.progress_record import Finished, source_hash
from translator.report import Emitter, Report, Step, Totals
from translator.segments import LostMarks
from translator.worklist import Item, Worklist

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
    """A translation that ran through; `failed` of its `segments` kept their source text. Seconds.

    `resumed` segments were taken from an earlier run, in which `resumed_from` had made them.
    """

    files: Sequence[Path]
    segments: int
    failed: int
    totals: Totals
    duration_s: float
    resumed: int = 0
    resumed_from: Sequence[str] = ()


class Translation:
    """One run over one or more documents. Use once: `outcome = await Translation(...).run()`.

    `concurrency` segments are with the engine at a time, and at least `pace_s` seconds lie between two. With
    `progress` each segment is durable before it is told as done, and what an earlier run did is taken up.
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
        progress: Progress | None = None,
    ) -> None:
        self._jobs = jobs
        self._engine = engine
        self._languages = source, target
        self._concurrency = max(1, concurrency)
        self._pace = Pace(pace_s)
        self._report = Report(emitter, engine.name, engine.model)
        self._step = Step.READING
        self._failures_in_a_row = 0
        self._progress = progress

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
            self._report.started([shown(job.source.name) for job in self._jobs], *self._languages)
            try:
                documents = await self._documents()
                worklist = await asyncio.to_thread(Worklist, documents, self._progress)
                await self._translate(worklist)
                await self._generate(documents, worklist)
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
            finally:
                if self._progress is not None:
                    self._progress.flush()
            span.set_attribute(semconv.ITEMS_DONE, self._report.done)
            span.set_attribute(semconv.ITEMS_FAILED, self._report.failed)
            if worklist.resumed:
                span.set_attribute(semconv.ITEMS_RESUMED, len(worklist.resumed))
        total, failed = self._report.total or 0, self._report.failed
        self._report.completed(
            f"Translated {total - failed} of {total} segments, {failed} failed"
            if failed
            else f"Translated {total} segments"
        )
        if self._progress is not None and not failed:
            self._progress.remove()
        return Outcome(
            files=[job.output for job in self._jobs],
            segments=total,
            failed=failed,
            totals=self._report.totals,
            duration_s=time.monotonic() - began,
            resumed=len(worklist.resumed),
            resumed_from=makers(worklist.resumed),
        )

    async def _documents(self) -> Sequence[Document]:
        texts: list[str] = []
        self._begin(Step.READING, f"Reading {_files(job.source for job in self._jobs)}")
        formats: list[Format] = []
        for job in self._jobs:
            formats.append(format_of(job.source))
            prepare(job.output)
            texts.append(await asyncio.to_thread(read_text, job.source))
            size_bytes = len(texts[-1].encode())
            self._report.file_done(Step.READING, shown(job.source.name), f"Read {size_bytes} bytes")
        self._report.step_completed(Step.READING, f"Read {_files(job.source for job in self._jobs)}")

        blocks: list[Sequence[str | Block]] = []
        self._begin(Step.PARSING, "Looking for prose")
        for job, text, kind in zip(self._jobs, texts, formats, strict=True):
            blocks.append(await asyncio.to_thread(parse, text, kind))
            count = sum(isinstance(block, Block) for block in blocks[-1])
            self._report.file_done(
                Step.PARSING, shown(job.source.name), f"Found {count} blocks of prose ({kind})"
            )
        self._report.step_completed(Step.PARSING, f"Parsed {_files(job.source for job in self._jobs)}")

        documents: list[Document] = []
        self._begin(Step.CONVERSION, "Cutting prose into segments")
        for job, found in zip(self._jobs, blocks, strict=True):
            documents.append(await asyncio.to_thread(convert, found))
            count = len(documents[-1].segments)
            self._report.file_done(Step.CONVERSION, shown(job.source.name), f"Cut into {count} segments")
        self._report.total = sum(len(document.segments) for document in documents)
        self._report.step_completed(Step.CONVERSION, f"{self._report.total} segments to translate")
        return documents

    async def _translate(self, worklist: Worklist) -> None:
        left, total, resumed = len(worklist.left), worklist.total, len(worklist.resumed)
        self._report.take_up(resumed)
        if self._progress is not None:
            self._progress.begin(total, resumed)
        self._begin(
            Step.TRANSLATION,
            f"Translating {left} of {total} segments, the others are kept from an earlier run"
            if resumed
            else f"Translating {total} segments",
        )
        items = iter(worklist.left)
        try:
            async with asyncio.TaskGroup() as group:
                for lane in range(min(self._concurrency, left)):
                    group.create_task(self._lane(items, worklist), name=f"translation lane {lane}")
        except* EngineError as several:
            raise _first(several) from several
        self._report.step_completed(Step.TRANSLATION, f"Translated {self._report.done - resumed} segments")

    async def _lane(self, items: Iterator[Item], worklist: Worklist) -> None:
        for item in items:
            await self._pace.wait()
            await self._translate_one(item, worklist)

    async def _translate_one(self, item: Item, worklist: Worklist) -> None:
        segment, file = item.segment, shown(self._jobs[item.file].source.name)
        try:
            translation = await self._engine.translate(segment)
        except EngineError as error:
            if error.fatal:
                raise
            at_fault = error.error_type in _ENGINES_FAULT
            self._failures_in_a_row = self._failures_in_a_row + 1 if at_fault else 0
            self._report.segment_failed(
                item.number, segment, file, error.error_type, error.detail, error.usages, error.worker
            )
            if self._failures_in_a_row >= MAX_ENGINE_FAILURES:
                raise EngineError(
                    ErrorType.ENGINE_DOWN,
                    f"{self._failures_in_a_row} segments in a row failed, the last one: {error.detail}",
                ) from error
            return
        self._failures_in_a_row = 0
        try:
            worklist.put(item, translation.text)
        except LostMarks:
            self._report.segment_failed(
                item.number, segment, file, ErrorType.BAD_OUTPUT, "markup was lost", translation.usages,
                translation.worker,
            )  # fmt: skip
            return
        if self._progress is not None:
            worker = next((usage.worker for usage in reversed(translation.usages) if usage.worker), None)
            entry = Finished(
                id=segment.id,
                source_hash=source_hash(segment),
                text=translation.text,
                engine=self._engine.name,
                model=self._engine.model,
                worker=worker,
            )
            await self._progress.keep(item.file, entry)
        self._report.segment_done(item.number, segment, file, translation.usages, translation.worker)

    async def _generate(self, documents: Sequence[Document], worklist: Worklist) -> None:
        self._begin(Step.GENERATION, f"Writing {_files(job.output for job in self._jobs)}")
        for file, (job, document) in enumerate(zip(self._jobs, documents, strict=True)):
            await asyncio.to_thread(write_whole, job.output, document.render(worklist.restored(file)))
            self._report.file_done(Step.GENERATION, shown(job.output.name), f"Wrote {shown(job.output.name)}")
        self._report.step_completed(Step.GENERATION, f"Wrote {_files(job.output for job in self._jobs)}")

    def _begin(self, step: Step, message: str) -> None:
        self._step = step
        self._report.step_begun(step, message)


def _first(group: BaseExceptionGroup[EngineError]) -> EngineError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, EngineError):
        return error
    raise error


def _files(paths: Iterable[Path]) -> str:
    names = [path.name for path in paths]
    return shown(names[0]) if len(names) == 1 else f"{len(names)} files"
