"""The roll call before the work: which workers can do it, which cannot and why, all asked at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sshworker.errors import Failure, WorkerError
from translator.engines.remote import Remote

READY_WITHIN_S: Final = 35.0  # a login is given 30 s as a rule, and then the worker is asked
# With one worker ready nobody waits long for the others: who comes later is tried again during the work.
OTHERS_WITHIN_S: Final = 5.0

_Answer = WorkerError | str | None  # why it cannot be used, what is doubtful about it, nothing amiss


@dataclass(frozen=True, slots=True)
class RollCall:
    """`failures` are of workers that cannot be used; `doubts`, by id, of some that can."""

    failures: Sequence[WorkerError]
    doubts: Mapping[str, str]


async def roll_call(
    remotes: Sequence[Remote],
    *,
    within_s: float = READY_WITHIN_S,
    others_within_s: float = OTHERS_WITHIN_S,
) -> RollCall:
    """Ask every worker at once whether it can do its work.

    It ends when all have answered, `others_within_s` after the first that is ready, or after `within_s`.
    """
    async with asyncio.TaskGroup() as tasks:
        tries = [tasks.create_task(_asked(one), name=f"try {one.spec.id}") for one in remotes]
        waited_s = await _wait(tries, within_s, others_within_s)
        for task in tries:
            task.cancel()
    failures: list[WorkerError] = []
    doubts: dict[str, str] = {}
    for task, one in zip(tries, remotes, strict=True):
        answer = _late(one, waited_s) if task.cancelled() else task.result()
        if isinstance(answer, WorkerError):
            failures.append(answer)
        elif answer is not None:
            doubts[one.spec.id] = answer
    return RollCall(failures, doubts)


async def _wait(tries: Sequence[asyncio.Task[_Answer]], within_s: float, others_within_s: float) -> float:
    """Wait until the roll call is over; returns how long that took."""
    clock = asyncio.get_running_loop().time
    began = clock()
    until = began + within_s
    pending = set(tries)
    while pending and (left_s := until - clock()) > 0:
        done, pending = await asyncio.wait(pending, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        if any(not isinstance(task.result(), WorkerError) for task in done):
            until = min(until, clock() + others_within_s)
    return clock() - began


async def _asked(remote: Remote) -> _Answer:
    try:
        return await remote.open()
    except WorkerError as error:
        return error


def _late(remote: Remote, waited_s: float) -> WorkerError:
    words = f"not ready after {waited_s:.0f} s; it is tried again while the work goes on"
    return WorkerError(Failure.TIMEOUT, words, worker=remote.spec.id)
