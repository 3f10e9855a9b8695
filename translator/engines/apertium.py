"""Apertium, the rule-based translator, as a local pipe that stays open: about 2 ms a sentence."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from translation_events.event import ErrorType
from translator.engines.engine import EngineError, EngineUnavailable, Translation, checked, run_by_run
from translator.engines.languages import language
from translator.segments import Segment

log = structlog.get_logger(__name__)

ANSWER_TIMEOUT_S: Final = 30.0  # loading a large pair takes seconds on a slow disk, a sentence milliseconds
MAX_ANSWER_BYTES: Final = 1 << 20  # a segment is a sentence; more is a pipe gone wrong
_ESCAPED: Final = re.compile(r"[\[\]{}^$/\\@<>]")
_SUPERBLANK: Final = re.compile(r"\\(.)|\[(\d+)\]", re.DOTALL)
_LOOSE_STOP: Final = re.compile(r" +([,.])")
_MODE: Final = re.compile(r"[a-z]{2,3}-[a-z]{2,3}\Z")
_MODE_FOLDERS: Final = ("/usr/share/apertium/modes", "/usr/local/share/apertium/modes")
# One text: an empty superblank, a line end that makes the last stage flush, and the null that ends it.
_END: Final = b"[][\n]\0"
_END_MARK: Final = "[][\n]"


def installed_modes() -> Mapping[str, Path]:
    """The language pairs installed on this machine, `eng-spa` → its mode file; empty without Apertium."""
    program = shutil.which("apertium")
    if program is None:
        return {}
    folders = [str(Path(program).resolve().parent.parent / "share/apertium/modes"), *_MODE_FOLDERS]
    modes: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(Path(folder).glob("*.mode")):
            if _MODE.match(path.stem):
                modes.setdefault(path.stem, path)
    return modes


def mode_for(source: str, target: str) -> str | None:
    """The installed mode for the pair, None if there is none."""
    modes = installed_modes()
    a, b = language(source), language(target)
    wanted = [f"{x}-{y}" for x in (a.code3, a.code) for y in (b.code3, b.code)]
    return next((mode for mode in wanted if mode in modes), None)


class ApertiumEngine:
    """One pipe for one pair, started at the first segment and again where it died."""

    name: Final = "apertium"
    capacity: Final = None

    def __init__(self, mode: str, path: Path) -> None:
        self.model = mode
        self._command = _pipeline(path.read_text("utf-8"))
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    @classmethod
    def installed(cls, source: str, target: str) -> ApertiumEngine:
        """The engine for an installed pair. Raises: EngineUnavailable."""
        modes = installed_modes()
        mode = mode_for(source, target)
        if mode is None:
            pairs = (
                ", ".join(modes) or "none is installed (Debian: apt-get install apertium apertium-eng-spa)"
            )
            raise EngineUnavailable(f"Apertium has no pair {source} → {target} here; installed: {pairs}")
        return cls(mode, modes[mode])

    @property
    def statement(self) -> str:
        """What Apertium is."""
        return (
            f"Apertium {self.model}, rule-based machine translation; words it does not know stay as they are"
        )

    async def translate(self, segment: Segment) -> Translation:
        """The segment through the pipe, a dead one restarted once. Raises: EngineError.

        Apertium leaves markup in its place where it moves words: mostly right, and where a mark would be left
        with no word, the runs of text between the marks are translated one by one.
        """
        try:
            return Translation(checked(segment, await self._through(segment)))
        except EngineError as error:
            if error.error_type is not ErrorType.BAD_OUTPUT:
                raise
        return Translation(await run_by_run(segment, self._through))

    async def _through(self, segment: Segment) -> str:
        text = _to_stream(segment.text)
        async with self._turn:
            try:
                answer = await self._ask(text)
            except EngineError as error:
                log.warning("apertium pipe restarts", mode=self.model, error_type=error.error_type.value)
                answer = await self._ask(text)
        return _spaced_like(segment.text, _begun_like(segment.text, _from_stream(answer)))

    async def aclose(self) -> None:
        """End the pipe and all its stages."""
        async with self._turn:
            await self._stop()

    async def _ask(self, text: str) -> str:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=MAX_ANSWER_BYTES,
                start_new_session=True,  # its stages are ended together, and Ctrl-C is ours to handle
            )  # fmt: skip
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:  # never: both were asked for
            raise EngineError(ErrorType.INTERNAL, "Apertium's pipe has no ends")
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                stdin.write(text.encode() + _END)
                await stdin.drain()
                answer = await stdout.readuntil(b"\0")
        except TimeoutError:
            await self._stop()
            raise EngineError(
                ErrorType.TIMEOUT, f"Apertium did not answer in {ANSWER_TIMEOUT_S:.0f} s"
            ) from None
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await self._stop()
            raise EngineError(ErrorType.ENGINE_DOWN, "Apertium's pipe ended") from None
        except asyncio.CancelledError:
            await self._stop()  # an answer half read would be taken for the next segment's
            raise
        return answer[:-1].decode("utf-8", "replace")

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _pipeline(mode: str) -> str:
    """The mode's stages, each flushing at a null (`-z`).

    The `apertium` program's own -z puts an awk into the pipe that buffers, so it cannot be asked twice.
    """
    stages: list[str] = []
    for stage in mode.strip().split("|"):
        words = [word for word in shlex.split(stage) if word != "$2"]
        # $1 is how generation treats unknown words: -n leaves out the marks.
        words = ["-n" if word == "$1" else word for word in words]
        stages.append(shlex.join([words[0], "-z", *words[1:]]))
    return " | ".join(stages)


def _to_stream(text: str) -> str:
    """Placeholders as superblanks, which Apertium carries through; its own signs escaped."""
    text = _ESCAPED.sub(lambda match: "\\" + match[0], text.replace("\0", ""))
    return text.replace("⟦", "[").replace("⟧", "]")


def _begun_like(source: str, answer: str) -> str:
    """Apertium begins each text with a capital; one that began small goes on from something."""
    if source[:1].islower() and answer[:1].isupper() and not answer[1:2].isupper():
        return answer[0].lower() + answer[1:]
    return answer


def _spaced_like(source: str, answer: str) -> str:
    """Apertium leaves a space where a word went before a stop: `Martin , y`."""
    return answer if _LOOSE_STOP.search(source) else _LOOSE_STOP.sub(r"\1", answer)


def _from_stream(answer: str) -> str:
    answer = answer.replace(_END_MARK, "")
    return _SUPERBLANK.sub(lambda match: match[1] or f"⟦{match[2]}⟧", answer).strip()
