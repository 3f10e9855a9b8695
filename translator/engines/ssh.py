"""A fleet of SSH workers as one engine: the pool picks the worker, and what a lost one had goes elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from typing import Final

import structlog

from sshworker.errors import Failure, WorkerError
from sshworker.lease import Lease
from sshworker.pool import MAX_REMOTE_INSTANCES, PATIENCE_S, NoWorkerLeft, Pool
from sshworker.readiness import Unfit
from sshworker.snapshot import WorkerSnapshot
from sshworker.spec import WorkerSpec
from sshworker.state import WorkerState
from sshworker.work import MAX_LOSSES, Answers, run_all
from translation_events.address import MonitorAddress
from translation_events.errors import ConfigError
from translation_events.event import ErrorType, Usage
from translator.engines.engine import EngineError, EngineUnavailable, Translation
from translator.engines.remote import ANSWER_TIMEOUT_S, Remote, opened
from translator.engines.roll_call import roll_call
from translator.engines.worker_failure import as_engine_error, error_type_of, said
from translator.report import Emitter
from translator.segments import Segment
from translator.worker_follow import WorkerFollow
from translator.worker_report import WorkerReport

log = structlog.get_logger(__name__)

# Two workers that answered and could not do it: it is the text. (Lost workers are counted apart.)
MAX_ATTEMPTS: Final = 2
MAX_USAGES: Final = 64  # what one event may carry
SEVERAL: Final = "several models"
# Asked of a worker over which a text was lost: it is the same in every language and brings no engine down, so
# what comes of it tells an outage from a bad text.
_HARMLESS: Final = Segment(id="harmless", number=0, text="1, 2, 3.", source="1, 2, 3.")
# No second try will change these while the configuration is as it is.
_FOR_GOOD: Final = frozenset((Failure.AUTH, Failure.HOST_KEY))
# What a start that found no worker ends with, where all have the same; else they are lost.
_TOLD_ALONE: Final = frozenset((ErrorType.HOST_KEY, ErrorType.AUTH, ErrorType.ENGINE_DOWN))


class SshEngine:
    """Workers with a connection each, held until `aclose`; one segment is one lease of the pool.

    Open and close it in the same task.
    """

    name: Final = "ssh"

    def __init__(self, pool: Pool, remotes: Sequence[Remote], tags: Collection[str], report: WorkerReport):
        self._pool = pool
        self._remotes = {one.spec.id: one for one in remotes}
        self._tags = frozenset(tags)
        self._report = report
        self._answers = Answers()
        self._stack = AsyncExitStack()

    @classmethod
    async def open(
        cls,
        specs: Sequence[WorkerSpec],
        source: str,
        target: str,
        *,
        emitter: Emitter,
        monitor: MonitorAddress | None = None,
        tags: Collection[str] = (),
        patience_s: float = PATIENCE_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> SshEngine:
        """The engine, every worker having been tried; `monitor` is followed for what it says of them.

        Those that cannot be used are told as `worker_status` and get no work until they can.

        Raises: ConfigError: no worker has an engine and the tags. EngineUnavailable: none can be used.
        """
        specs = _suitable(specs, tags)
        report = WorkerReport(emitter)
        try:
            pool = Pool(
                specs,
                # The configuration has its own limit, and has checked it.
                max_remote_instances=max(MAX_REMOTE_INSTANCES, len(specs)),
                patience_s=patience_s,
                on_change=report.state,
            )
        except ValueError as error:
            raise EngineUnavailable(str(error)) from error
        async with AsyncExitStack() as stack:
            remotes = [
                await opened(spec, source, target, stack, timeout_s=answer_timeout_s) for spec in specs
            ]
            engine = cls(pool, remotes, tags, report)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            if monitor is not None:  # heard by the time the work begins, as a rule
                follow = tasks.create_task(WorkerFollow(monitor, pool).run(), name="follow the monitor")
                stack.callback(follow.cancel)
            unavailable = await engine._try_all()
            if unavailable is None:
                stack.callback(tasks.create_task(report.run(pool), name="report workers").cancel)
                engine._stack = stack.pop_all()
                return engine
        raise unavailable  # from out here: the group would wrap it

    @property
    def model(self) -> str:
        """The model where all workers have the same, else that there are several."""
        models = {one.info.model for one in self._remotes.values()} - {None}
        return (models.pop() if len(models) == 1 else SEVERAL) or SEVERAL

    @property
    def capacity(self) -> int:
        """Segments that all workers together take at a time."""
        return sum(worker.capacity for worker in self._pool.workers)

    @property
    def statement(self) -> str:
        """Which workers, and how many segments each has done; before that, which can begin."""
        workers = self._pool.workers
        count, many = str(len(workers)), "s" * (len(workers) > 1)
        if any(one.done for one in workers):
            each = [f"{one.id} ({one.done} done)" for one in workers]
        else:
            each = [one.id for one in workers if one.state.takes_work] or ["none takes work now"]
            ready = sum(one.state.takes_work for one in workers)
            count = count if ready == len(workers) else f"{ready} of {count}"
        return f"{count} SSH worker{many} with {self.model}: {', '.join(each)}"

    @property
    def workers(self) -> Sequence[WorkerSnapshot]:
        """Every worker as the pool sees it now."""
        return self._pool.workers

    async def translate(self, segment: Segment) -> Translation:
        """The segment from whichever worker the pool picks; a lost one's goes elsewhere, once a loss.

        Raises: EngineError: WORKER_LOST, which ends everything, where no worker is left.
        """
        usages: list[Usage] = []
        losses = 0

        async def work(lease: Lease, part: Segment) -> Translation:
            nonlocal losses
            # Lost over this text, on its trial a worker is to show that it answers at all: else a text that
            # hangs it would pass for a worker that is lost. So where the text ought to have failed, and has
            # not, because nobody has answered anything since.
            if losses >= MAX_LOSSES or (losses and lease.trial):
                await self._ask_harmless(lease, usages)
            try:
                return await self._at(lease, part, usages)
            except WorkerError as error:
                losses += error.worker_is_gone
                raise

        async def taken(_: object) -> None:
            """The caller makes it durable."""

        try:
            (delivery,) = await run_all(
                self._pool,
                [segment],
                work,
                concurrency=1,
                on_result=taken,
                tags=self._tags,
                max_attempts=MAX_ATTEMPTS,
                answers=self._answers,
            )
        except NoWorkerLeft as error:
            raise EngineError(
                ErrorType.WORKER_LOST, error.detail, tuple(usages[-MAX_USAGES:]), fatal=True
            ) from error
        consumed = tuple(usages[-MAX_USAGES:])
        info = self._remotes[delivery.worker].info
        if delivery.error is not None:
            failed = as_engine_error(delivery.error, consumed)
            failed.worker = info
            raise failed from delivery.error
        if delivery.result is None:  # never: a delivery without an error has its result
            raise EngineError(ErrorType.INTERNAL, "the worker's result is missing", consumed)
        return Translation(delivery.result.text, consumed, info)

    async def aclose(self) -> None:
        """End what runs on the workers and close the connections."""
        await self._stack.aclose()

    async def _at(self, lease: Lease, segment: Segment, usages: list[Usage]) -> Translation:
        lease.when_released(lambda released: self._tell_slots(released.worker.id))
        self._tell_slots(lease.worker.id)
        translation = await self._remotes[lease.worker.id].translate(segment, usages)
        lease.done(units=float(len(segment.text)))
        return translation

    async def _ask_harmless(self, lease: Lease, usages: list[Usage]) -> None:
        """See whether the worker answers at all; what it says does not matter. Raises: WorkerError."""
        try:
            await self._remotes[lease.worker.id].translate(_HARMLESS, usages)
        except WorkerError as error:
            if error.worker_is_gone:
                raise
        lease.answered()
        self._answers.count += 1

    def _tell_slots(self, worker_id: str) -> None:
        for worker in self._pool.workers:
            if worker.id == worker_id:
                self._report.slots(worker)

    async def _try_all(self) -> EngineUnavailable | None:
        """Try every worker at once, and let those begin that can do the work.

        One that is not reached may come back, and is tried again; a wrong key or a missing program does not
        mend by itself. Returns why nothing can begin, where none of them can be used.
        """
        called = await roll_call(tuple(self._remotes.values()))
        for worker in self._pool.workers:
            # The monitor may have spoken of it meanwhile, and knows better: it may be draining.
            if worker.id in called.doubts and worker.state is WorkerState.UNKNOWN:
                self._pool.report(worker.id, WorkerState.DEGRADED, called.doubts[worker.id])
        failures = called.failures
        for error in failures:
            log.info("worker not usable", worker=error.worker, failure=error.failure.value)
            if error.failure in _FOR_GOOD or isinstance(error, Unfit):
                self._pool.report(error.worker, WorkerState.DOWN, error.told)
            else:
                self._pool.unreached(error)
        for worker in self._pool.workers:
            self._report.state(worker)
        if len(failures) == len(self._remotes):
            types = {error_type_of(error) for error in failures}
            return EngineUnavailable(
                f"no SSH worker can be used: {'; '.join(said(error) for error in failures)}",
                types.pop() if len(types) == 1 and types <= _TOLD_ALONE else ErrorType.WORKER_LOST,
            )
        return None


def _suitable(specs: Sequence[WorkerSpec], tags: Collection[str]) -> Sequence[WorkerSpec]:
    with_engine = [spec for spec in specs if spec.engine is not None]
    if not specs:
        raise ConfigError(
            "No SSH worker is configured and enabled (distributed.workers, distributed.enabled); name a file "
            "with --config, or a single worker with SSH_WORKER_HOST."
        )
    if not with_engine:
        raise ConfigError(
            "No SSH worker has an engine; give one an `engine` in the configuration: "
            f"{', '.join(spec.id for spec in specs)}."
        )
    suitable = [spec for spec in with_engine if set(tags) <= set(spec.tags)]
    if not suitable:
        known = ", ".join(sorted({tag for spec in with_engine for tag in spec.tags})) or "none"
        raise ConfigError(
            f"No SSH worker with an engine has the tags {', '.join(sorted(tags))}; there are: {known}."
        )
    return suitable
