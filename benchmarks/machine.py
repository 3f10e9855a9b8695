"""The machine the measures run on: its cores, and what a process there has used."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SERVER_CORE: Final = 0
CLIENT_CORE: Final = 1


class Missing(Exception):
    """A measure or a peer cannot run here; the text says what it needs."""


def prepare() -> None:
    """Let child processes open a socket for each of a thousand viewers. Raises: Missing: not on Linux."""
    if not sys.platform.startswith("linux"):
        raise Missing("costs are read from /proc, so the benchmarks need Linux")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pinned(command: Sequence[str], core: int) -> list[str]:
    """The command on one core, where there are two and `taskset` is at hand; else as it is."""
    if shutil.which("taskset") is None or (os.cpu_count() or 1) < 2:
        return list(command)
    return ["taskset", "-c", str(core), *command]


def busy_s() -> float:
    """Time all cores together have not been idle since the start of the machine, in seconds."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def kind() -> str:
    """The machine in a few words: cores, system, Python."""
    system = os.uname()
    return f"{os.cpu_count()} cores, {system.sysname} {system.machine}, Python {sys.version.split()[0]}"


def cpu_s(pid: int) -> float:
    """User and system time of all threads of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
