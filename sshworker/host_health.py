"""How a worker's host is doing: load, memory and GPUs, where it can tell, and whether a program is there.

The wrapper's request `health` asks for all of it at once, of a plain account and of a forced command alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sshworker.command import run
from sshworker.connection import Connection
from sshworker.errors import Failure, WorkerError
from sshworker.gpus import TOOLS
from sshworker.probe_result import Gpu

TIMEOUT_S: Final = 10.0  # nvidia-smi takes seconds where the driver has to be loaded first
MAX_BYTES: Final = 256 * 1024
KIB: Final = 1024


class Presence(StrEnum):
    """What the wrapper says of a program."""

    FOUND = "found"
    MISSING = "missing"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class HostHealth:
    """One look at the host; None where it cannot tell. `load_ratio` is the one-minute load per CPU.

    `gpu_trouble` is a phrase for people: why nothing is known of GPUs whose tool is there. `gpus_hang` says
    that the tool did not end.
    """

    load_ratio: float | None = None
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    gpus: tuple[Gpu, ...] = ()
    gpu_trouble: str | None = None
    gpus_hang: bool = False
    program: Presence | None = None


async def host_health(connection: Connection, *, program: str = "", gpus: bool = True) -> HostHealth:
    """Ask the host, and whether `program` can be run there. A GPU tool that hangs is ended, and told.

    Raises: WorkerError: COMMAND_REFUSED where the account may not be asked, and all else that a command can
        meet, so also what a segment would.
    """
    lines: list[str] = []
    try:
        await run(
            connection,
            "health {program} {gpus}",
            values={"program": program, "gpus": "" if gpus else "no-gpus"},
            timeout_s=TIMEOUT_S,
            max_bytes=MAX_BYTES,
            allowed={"health"},
            on_line=lines.append,
            allow_empty=True,
        )
    except WorkerError as err:
        hung = _unended(lines)
        if err.failure is not Failure.TIMEOUT or hung not in TOOLS:
            raise
        return read_health(lines, hung=hung, after_s=TIMEOUT_S)
    if "%all" not in lines:
        words = "the account does not run what it is asked for: its forced command is another one"
        raise WorkerError(Failure.BAD_OUTPUT, words, worker=connection.spec.id)
    return read_health(lines)


def read_health(lines: list[str], *, hung: str | None = None, after_s: float = TIMEOUT_S) -> HostHealth:
    """What the wrapper's lines say; what makes no sense is passed over."""
    said = _sections(lines)
    cpus, load = _number(said, "cpus"), _load(said)
    total, available = _linux_memory(said) or _mac_memory(said) or (None, None)
    gpus: list[Gpu] = []
    trouble = None if hung is None else f"{hung} did not end within {after_s:g} s"
    for tool, read in TOOLS.items():
        if tool not in said:
            continue
        text, status = said[tool]
        if status == 0:
            # Two makes in one host: the numbers go on, so that each is one series.
            gpus += read(text, first=len(gpus))
        elif status is not None:
            first = next(iter(text.split("\n")), "").strip()[:80]
            trouble = f"{tool} fails with {status}" + (f" ({first})" if first else "")
    programs = [line.removeprefix("%program ") for line in lines if line.startswith("%program ")]
    return HostHealth(
        load_ratio=None if load is None or cpus is None or cpus < 1 else load / cpus,
        memory_used_bytes=None if total is None or available is None else max(0.0, total - available),
        memory_total_bytes=total,
        gpus=tuple(gpus),
        gpu_trouble=trouble,
        gpus_hang=hung is not None,
        program=Presence(programs[0]) if programs and programs[0] in set(Presence) else None,
    )


def _sections(lines: list[str]) -> dict[str, tuple[str, int | None]]:
    """What each tool said, and its exit status; None where it has not ended."""
    said: dict[str, tuple[str, int | None]] = {}
    name, text = "", [""]
    for line in lines:
        if name and line.startswith("%end "):
            status = line.removeprefix("%end ")
            said[name] = "\n".join(text).strip(), int(status) if status.isdecimal() else None
            name = ""
        elif not name and line.startswith("%"):
            name, text = line[1:], []
        elif name:
            text.append(line)
        if name.startswith(("program ", "all")):
            name = ""
    return said


def _unended(lines: list[str]) -> str | None:
    """The tool that has begun and not ended."""
    for line in reversed(lines):
        if line.startswith("%"):
            return None if line.startswith("%end ") else line[1:]
    return None


def _number(said: dict[str, tuple[str, int | None]], name: str) -> float | None:
    try:
        return float(said[name][0])
    except (KeyError, ValueError):
        return None


def _load(said: dict[str, tuple[str, int | None]]) -> float | None:
    """Linux says `0.52 0.58 0.59 1/300 4242`, macOS `{ 1.52 1.58 1.59 }`."""
    words = said.get("load", ("", None))[0].strip("{ ").split()
    try:
        return float(words[0]) if words else None
    except ValueError:
        return None


def _linux_memory(said: dict[str, tuple[str, int | None]]) -> tuple[float, float] | None:
    found = _figures(said.get("meminfo", ("", None))[0])
    if "MemTotal" not in found or "MemAvailable" not in found:
        return None
    return found["MemTotal"] * KIB, found["MemAvailable"] * KIB


def _mac_memory(said: dict[str, tuple[str, int | None]]) -> tuple[float, float] | None:
    """Free, speculative and inactive pages can be had: what macOS itself would give to who asks."""
    text = said.get("vm_stat", ("", None))[0]
    total = _number(said, "memsize")
    heading, _, rest = text.partition("page size of ")
    pages = _figures(text)
    if total is None or not rest or not heading or "Pages free" not in pages:
        return None
    size = rest.split()[0]
    if not size.isdecimal():
        return None
    kinds = ("Pages free", "Pages speculative", "Pages inactive")
    return total, sum(pages.get(kind, 0.0) for kind in kinds) * int(size)


def _figures(text: str) -> dict[str, float]:
    """Lines such as `MemTotal: 16303428 kB` and `Pages free: 12345.`."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        words = value.split()
        if colon and words and words[0].rstrip(".").isdecimal():
            found[name.strip()] = float(words[0].rstrip("."))
    return found
