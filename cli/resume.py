"""`translate --resume` in words: what an earlier run left, and how to go on from what this one leaves."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence

from rich.console import Console

from cli.display import printable
from translation_events.environment import translations_dir
from translator.output import Job
from translator.progress import Progress
from translator.progress_folder import ProgressFolder, ProgressUnavailable


@contextlib.contextmanager
def claimed_progress(
    jobs: Sequence[Job], languages: tuple[str, str], console: Console, *, resume: bool
) -> Iterator[Progress | None]:
    """The jobs' progress, theirs alone for a while; None, said, where none can be kept or has to be resumed.

    Raises: AlreadyRunning, ProgressUnavailable.
    """
    with contextlib.ExitStack() as open_until_end:
        progress: Progress | None = None
        try:
            folder = open_until_end.enter_context(ProgressFolder(translations_dir()))
            progress = Progress.claim(folder, jobs, languages, resume=resume)
        except ProgressUnavailable as error:
            if resume:
                raise
            console.print(f"{error.detail}; --resume will not be possible.", highlight=False, markup=False)
        else:
            _say_what_is_left(progress, console, resume=resume)
        yield progress


def say_how_to_resume(progress: Progress | None, console: Console) -> None:
    """After a run that did not end well: what is kept of it, and what to do."""
    if progress is not None and progress.kept:
        arguments = sys.argv[1:] if "--resume" in sys.argv else [*sys.argv[1:], "--resume"]
        command = shlex.join(["translation-monitor", *arguments])
        console.print(
            f"{progress.kept} of {progress.segments} segments are kept; to go on from there:\n"
            f"  {printable(command)}",
            highlight=False,
            markup=False,
        )


def _say_what_is_left(progress: Progress, console: Console, *, resume: bool) -> None:
    kept = f"{progress.kept} of {progress.segments} segments of an earlier run are kept"
    if progress.kept:
        then = "going on from there" if resume else "--resume continues, this run starts anew"
        console.print(f"{kept}; {then}.", highlight=False)
    elif resume:
        console.print("Nothing is kept of an earlier run; this one starts at the beginning.")
