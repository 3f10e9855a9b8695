"""How a worker's host is doing: load, memory and GPUs, where it can tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sshworker.command import run
from sshworker.connection import Connection
from sshworker.errors import Failure, WorkerError
from sshworker.probe_result import Gpu

TIMEOUT_S: Final = 10.0
MAX_BYTES: Final = 64 * 1024
MIB: Final = 2**20
# POSIX and macOS; what a host does not have it leaves out. One line a fact.
SCRIPT: Final = """LC_ALL=C; export LC_ALL
uptime | sed -n 's/.*load average[s]*: *\\([0-9.]*\\).*/load \\1/p'
echo "cpus $(getconf _NPROCESSORS_ONLN 2>/dev/null)"
test -r /proc/meminfo && awk '/^MemTotal/{t=$2} /^MemAvailable/{a=$2} END{print "memory",t,a}' /proc/meminfo
command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi --format=csv,noheader,nounits \
  --query-gpu=index,utilization.gpu,memory.used,memory.total | sed 's/^/gpu /; s/,//g'
exit 0
"""


@dataclass(frozen=True, slots=True)
class HostHealth:
    """One look at the host; None where it cannot tell. `load_ratio` is the one-minute load per CPU."""

    load_ratio: float | None = None
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    gpus: tuple[Gpu, ...] = ()


async def host_health(connection: Connection) -> HostHealth:
    """Ask the host. An account that may run nothing but its engine tells nothing, which is no fault.

    Raises: WorkerError: the worker cannot be reached or does not answer.
    """
    try:
        result = await run(
            connection,
            "sh -c {script}",
            values={"script": SCRIPT},
            timeout_s=TIMEOUT_S,
            max_bytes=MAX_BYTES,
            allowed={"sh"},
            allow_empty=True,
        )
    except WorkerError as err:
        if err.failure is Failure.COMMAND_REFUSED:
            return HostHealth()
        raise
    return read_health(result.stdout)


def read_health(text: str) -> HostHealth:
    """What the script's lines say; a line that makes no sense is passed over."""
    facts = [line.split() for line in text.splitlines()]
    load = next(_numbers(facts, "load", 1), None)
    cpus = next(_numbers(facts, "cpus", 1), None)
    memory = next(_numbers(facts, "memory", 2), None)
    return HostHealth(
        load_ratio=None if load is None or cpus is None or cpus[0] < 1 else load[0] / cpus[0],
        memory_used_bytes=None if memory is None else (memory[0] - memory[1]) * 1024,
        memory_total_bytes=None if memory is None else memory[0] * 1024,
        gpus=tuple(
            Gpu(int(index), used_percent / 100, used * MIB, total * MIB)
            for index, used_percent, used, total in _numbers(facts, "gpu", 4)
        ),
    )


def _numbers(facts: list[list[str]], name: str, count: int) -> Iterator[list[float]]:
    for fact in facts:
        if fact[:1] == [name] and len(fact) == count + 1:
            try:
                yield [float(word) for word in fact[1:]]
            except ValueError:
                continue
