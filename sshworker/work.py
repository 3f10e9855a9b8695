"""The work of one document: each segment to a worker, back once, in order, whatever happens to workers."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, Generic

import structlog

from sshworker.delivery import Delivery, Item, R, S
from sshworker.errors import Failure, WorkerError
from sshworker.lease import Lease
from sshworker.pool import NoWorkerLeft, Pool

log = structlog.get_logger(__name__)

MAX_ATTEMPTS: Final = 3
# So many workers lost over one segment, and it is suspected as the cause: else a text that hangs or crashes
# any engine would go round until no worker is left. It fails once a worker has answered since its first loss,
# or where only suspects are left: as long as nobody answers anybody it may as well be an outage.
MAX_LOSSES: Final = 5


class Answers:
    """How many answers the workers of one pool have given, for runs that share it; whatever they said."""

    def __init__(self) -> None:
        self.count = 0


Do = Callable[[Lease, S], Awaitable[R]]
OnResult = Callable[[Delivery[S, R]], Awaitable[None]]


async def run_all(
    pool: Pool,
    segments: Sequence[S],
    do: Do[S, R],
    *,
    concurrency: int,
    on_result: OnResult[S, R],
    tags: Collection[str] = (),
    max_attempts: int = MAX_ATTEMPTS,
    max_losses: int = MAX_LOSSES,
    answers: Answers | None = None,
) -> Sequence[Delivery[S, R]]:
    """Return every segment's delivery, in the order of `segments`; each went through `on_result` once before.

    `do(lease, segment)` returns the result or raises WorkerError; it limits its own time (a TimeoutError is
    the worker's failure). It may say `lease.done(units=…, seconds=…)`, else the segment is one unit.
    When its lease is given up it is cancelled, the segment goes elsewhere at once, and what it still returns
    is dropped and counted as `late`. A lost worker's segment is given out again, once per loss; a segment
    fails after `max_attempts` failures of its own or `max_losses` it may have caused.
    `on_result` is called as results come, one at a time, and makes each durable; at most `concurrency`
    segments are under way. Runs over parts of one document share `answers`: what another part's segment was
    answered shows that a worker is well, and that only suspects are left here proves nothing.

    Raises: NoWorkerLeft: after everything that was done has been handed over; whatever else `do` or
    `on_result` raises, with all other work cancelled.
    """
    if concurrency < 1:
        raise ValueError("concurrency must be at least 1")
    work = _Work(pool, segments, do, on_result, frozenset(tags), max_attempts, max_losses, answers)
    try:
        return await work.run(min(concurrency, len(segments)))
    except ExceptionGroup as several:
        raise _first(several) from several


class _Work(Generic[S, R]):
    def __init__(
        self,
        pool: Pool,
        segments: Sequence[S],
        do: Do[S, R],
        on_result: OnResult[S, R],
        tags: frozenset[str],
        max_attempts: int,
        max_losses: int,
        answers: Answers | None,
    ) -> None:
        self._pool = pool
        self._do = do
        self._on_result = on_result
        self._tags = tags
        self._max_attempts = max_attempts
        self._max_losses = max_losses
        self._delivered: list[Delivery[S, R] | None] = [None] * len(segments)
        self._left = len(segments)
        self._queue = [(0, place, Item(place, segment)) for place, segment in enumerate(segments)]
        self._suspects: set[int] = set()
        self._is_whole = answers is None
        self._answers = answers or Answers()
        self._one_at_a_time = asyncio.Lock()
        self._no_worker: NoWorkerLeft | None = None

    async def run(self, lanes: int) -> Sequence[Delivery[S, R]]:
        async with asyncio.TaskGroup() as group:
            for lane in range(lanes):
                group.create_task(self._lane(group), name=f"work lane {lane}")
        if self._no_worker is not None and self._left:
            raise self._no_worker
        return [one for one in self._delivered if one is not None]

    async def _lane(self, group: asyncio.TaskGroup) -> None:
        # A lane ends where the queue is empty: whoever gives a segment back goes on to take one.
        while self._queue and self._no_worker is None:
            _, _, item = heapq.heappop(self._queue)
            try:
                lease = await self._pool.acquire(tags=self._tags, avoid=item.failed_at)
            except NoWorkerLeft as error:
                # Not raised here: the other lanes may still hold results that are to be handed over.
                self._no_worker = error
                return
            delivery = await self._attempt(group, lease, item)
            if delivery is None:
                # In order of the document, but what was lost twice lets the others by: it may be to blame,
                # and then a breaker's one trial should not go to it.
                heapq.heappush(self._queue, (item.lost // 2, item.place, item))
            else:
                await self._hand_over(delivery)

    async def _attempt(self, group: asyncio.TaskGroup, lease: Lease, item: Item[S]) -> Delivery[S, R] | None:
        """Let a worker have the segment. None where it must be given out again.

        The call is a task of its own, so that a hung one holds up neither the segment nor this lane: it keeps
        its slot, and the group waits for it in the end.
        """
        worker = lease.worker.id
        item.attempts += 1
        over = asyncio.Event()
        call = group.create_task(self._call(lease, item), name=f"segment {item.place} at {worker}")
        # By callback: a task cancelled before its first step never gets to a `finally` of its own.
        call.add_done_callback(lambda _: lease.release())
        call.add_done_callback(lambda _: over.set())
        lease.when_given_up(over.set)
        await over.wait()
        if (error := lease.given_up) is not None:
            call.cancel()
        elif call.cancelled():
            error = WorkerError(Failure.INTERNAL, "the call was cancelled from within", worker=worker)
        else:
            result, error = call.result()
            if error is None:
                self._answers.count += 1
                return item.delivery(worker, result, None)
        if self._is_final(item, worker, error):
            return item.delivery(worker, None, error)
        log.debug("segment given out again", place=item.place, worker=worker, failure=error.failure.value)
        return None

    def _is_final(self, item: Item[S], worker: str, error: WorkerError) -> bool:
        """Count a failed attempt. True where the segment has had its last."""
        if not error.worker_is_gone:
            self._answers.count += 1
        elif not item.lost:
            item.answers = self._answers.count
        item.fail(error, worker)
        if item.faults >= self._max_attempts:
            return True
        if item.blamed >= self._max_losses:
            self._suspects.add(item.place)
            somebody_is_well = self._answers.count > item.answers
            return somebody_is_well or (self._is_whole and len(self._suspects) == self._left)
        return False

    async def _call(self, lease: Lease, item: Item[S]) -> tuple[R | None, WorkerError | None]:
        try:
            result = await self._do(lease, item.segment)
        except TimeoutError:
            error = WorkerError(Failure.TIMEOUT, "no answer in time", worker=lease.worker.id)
        except WorkerError as raised:
            error = raised
        except Exception:
            if lease.given_up is None:
                raise
            # Nobody waits for this call: how it fails to stop must not end the work of all others.
            log.exception("call given up did not stop cleanly", place=item.place, worker=lease.worker.id)
            return None, None
        else:
            lease.done(units=1.0)  # says nothing where `do` has said it; late, it is counted
            return result, None
        lease.failed(error)
        return None, error

    async def _hand_over(self, delivery: Delivery[S, R]) -> None:
        async with self._one_at_a_time:
            await self._on_result(delivery)
        self._delivered[delivery.place] = delivery
        self._suspects.discard(delivery.place)
        self._left -= 1


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
