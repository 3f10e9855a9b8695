"""What a run has finished, kept so that a later one can go on from there.

Each segment is on disk before anyone is told that it is done. A lane waits for its own segment only: what
other lanes finish while one write is under way forms the next, so the cost of a sync is shared. Where the
disk refuses, the translation goes on: what waits is tried again with the next segment, and a warning says so.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from translator import progress_record
from translator.output import Job, shown
from translator.progress_folder import ProgressFolder, ProgressUnavailable
from translator.progress_record import Finished, Header, Record

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _File:
    """A job's record: what an earlier run left in it, and whether this run's header is in it already."""

    path: Path
    job: Job
    found: Record | None
    size_bytes: int | None = None
    opened: bool = False
    waiting: list[Finished] = field(default_factory=list)


class Progress:
    """The records of a run's jobs, in their order. Made by `claim`; at the end `flush`, then maybe `remove`.

    `session_id` is that of the earlier run, None where there was none; whoever names this run's sets it.
    """

    def __init__(self, files: Sequence[_File], languages: tuple[str, str], *, resume: bool) -> None:
        self._files = files
        self._languages = languages
        self._resume = resume
        self._turn = asyncio.Lock()
        self._writing = threading.Lock()
        self._failing = False
        self._anew = not resume
        records = [file.found for file in files if file.found is not None]
        self.session_id = records[0].header.session_id if records else None
        self.kept = sum(len(record.finished) for record in records)
        self.segments = max([self.kept, *(record.header.segments for record in records)])

    @classmethod
    def claim(
        cls, folder: ProgressFolder, jobs: Sequence[Job], languages: tuple[str, str], *, resume: bool
    ) -> Progress:
        """Lock and read the jobs' records. Raises: AlreadyRunning, ProgressUnavailable."""
        paths = [folder.claim(job, languages) for job in jobs]
        folder.prune(paths)
        try:
            files = [
                _File(path, job, progress_record.read(path)) for path, job in zip(paths, jobs, strict=True)
            ]
        except OSError as error:
            raise ProgressUnavailable(folder.path, error) from error
        return cls(files, languages, resume=resume)

    def finished(self, file: int) -> Mapping[str, Finished]:
        """What the earlier run has finished of the n-th job, by segment id; nothing unless it is resumed."""
        found = self._files[file].found
        return found.finished if self._resume and found is not None else {}

    def begin(self, segments: int, resumed: int) -> None:
        """Before the first `keep`: the run has so many segments, of which so many were taken up."""
        self.segments = segments
        if self._resume:
            self.kept = resumed

    async def keep(self, file: int, entry: Finished) -> None:
        """Make a finished segment of the n-th job durable; never fails."""
        waiting = self._files[file].waiting
        waiting.append(entry)
        async with self._turn:
            if entry in waiting:  # else the lane before has taken it along
                await asyncio.to_thread(self.flush)

    def flush(self) -> None:
        """Write what waits, blocking. Never fails: what cannot be written waits on."""
        with self._writing:
            try:
                self._write()
            except OSError as error:
                if not self._failing:
                    log.warning("finished segments cannot be kept for --resume", reason=error.strerror)
                self._failing = True
            else:
                self._failing = False

    def remove(self) -> None:
        """Delete the records: everything is translated and written."""
        for file in self._files:
            try:
                file.path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("a record of finished segments stays", reason=error.strerror)

    def _write(self) -> None:
        for file in self._files:
            batch = list(file.waiting)  # lanes go on adding meanwhile
            if not batch:
                continue
            if self._anew:
                self._discard()
            if file.size_bytes is None and self._resume and file.found is not None:
                file.size_bytes = file.found.size_bytes
            if file.size_bytes is None:
                progress_record.create(file.path)
                file.size_bytes = 0
            header = [] if file.opened else [self._header(file.job)]
            file.size_bytes = progress_record.append(file.path, file.size_bytes, [*header, *batch])
            file.opened = True
            del file.waiting[: len(batch)]
            self.kept += len(batch)

    def _discard(self) -> None:
        """Give the earlier run up, with the first segment of this one: until then it could be resumed."""
        for file in self._files:
            file.path.unlink(missing_ok=True)
        self._anew = False
        self.kept = 0

    def _header(self, job: Job) -> Header:
        source, target = self._languages
        return Header(
            session_id=self.session_id or "",
            input=shown(job.source.absolute()),
            output=shown(job.output.absolute()),
            source_language=source,
            target_language=target,
            segments=self.segments,
        )


def makers(entries: Sequence[Finished]) -> Sequence[str]:
    """Who made them, as `engine model`, the one with most segments first."""
    return [name for name, _ in Counter(f"{entry.engine} {entry.model}" for entry in entries).most_common()]
