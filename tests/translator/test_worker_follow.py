"""What a real monitor says of the workers reaches the pool, and is forgotten when it is not heard."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from sshworker.pool import Pool
from sshworker.spec import WorkerSpec
from sshworker.state import WorkerState
from translation_events.address import MonitorAddress
from translator.worker_follow import NOT_HEARD, WorkerFollow

WAIT_S = 10.0


class Feed:
    """The monitor's feed: tells what it is given to each viewer, and can hang up."""

    def __init__(self) -> None:
        self.port = 0
        self.queries: list[dict[str, str]] = []
        self._viewers: list[web.WebSocketResponse] = []

    async def view(self, request: web.Request) -> web.WebSocketResponse:
        """One viewer."""
        self.queries.append(dict(request.query))
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        self._viewers.append(ws)
        await ws.send_str('{"type":"connected","log":"l"}')
        async for _ in ws:
            pass
        return ws

    async def tell(self, worker: str, state: str, *, age_s: float = 0.0) -> None:
        """A worker's status, `age_s` old."""
        event = {
            "type": "worker_status", "session_id": "_workers", "seq": 1,
            "received_at": time.time() - age_s,
            "data": {"worker": worker, "state": state, "reason": f"said {state}", "since": 5.0},
        }  # fmt: skip
        for ws in self._viewers:
            await ws.send_str(orjson.dumps(event).decode())

    async def hang_up(self) -> None:
        """End every connection."""
        viewers, self._viewers = self._viewers, []
        for ws in viewers:
            await ws.close()


@asynccontextmanager
async def following(pool: Pool) -> AsyncIterator[Feed]:
    feed = Feed()
    app = web.Application()
    app.router.add_get("/ws", feed.view)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    feed.port = runner.addresses[0][1]
    follow = WorkerFollow(MonitorAddress.parse(f"http://127.0.0.1:{feed.port}"), pool)
    try:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(follow.run(), name="follow")
            await until(lambda: bool(feed.queries))
            yield feed
            task.cancel()
    finally:
        await runner.cleanup()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  # the other side's doing
            await asyncio.sleep(0.01)


def state(pool: Pool, worker: str = "a") -> tuple[WorkerState, str]:
    (one,) = [w for w in pool.workers if w.id == worker]
    return one.state, one.reason


async def test_draining_and_down_are_obeyed_and_up_again() -> None:
    """A worker said to drain, be down or wedged gets no new work; said up, it does."""
    pool = Pool([WorkerSpec("a", "h"), WorkerSpec("b", "h")])
    async with following(pool) as feed:
        assert feed.queries[0]["session_id"] == "_workers"
        assert (feed.queries[0]["role"], feed.queries[0]["last"]) == ("viewer", "100")
        for said in (WorkerState.DRAINING, WorkerState.DOWN, WorkerState.WEDGED):
            await feed.tell("a", said.value)
            await until(lambda said=said: state(pool) == (said, f"said {said}"))  # type: ignore[misc]
            async with pool.lease() as lease:
                assert lease.worker.id == "b"
        await feed.tell("a", "up")
        await until(lambda: state(pool)[0] is WorkerState.UP)


async def test_of_what_is_told_at_once_only_the_newest_counts() -> None:
    """The past comes at the start, a drain that is over among it: nothing of it is told as if it were now."""
    told: list[WorkerState] = []
    pool = Pool([WorkerSpec("a", "h")], on_change=lambda worker: told.append(worker.state))
    async with following(pool) as feed:
        for said in ("down", "draining", "degraded", "draining", "up"):
            await feed.tell("a", said)
        await until(lambda: state(pool)[0] is WorkerState.UP)
    assert told == [WorkerState.UP]


async def test_a_wedged_workers_running_work_is_given_up() -> None:
    """What it holds goes elsewhere without waiting for its own limit."""
    pool = Pool([WorkerSpec("a", "h")])
    async with following(pool) as feed, pool.lease() as lease:
        await feed.tell("a", "wedged")
        async with asyncio.timeout(WAIT_S):
            await lease.cancelled.wait()


async def test_a_feed_that_is_lost_makes_its_workers_unknown_until_it_is_back() -> None:
    """Nobody knows any more, so the pool goes by its own work; the feed is sought anew."""
    pool = Pool([WorkerSpec("a", "h")])
    async with following(pool) as feed:
        await feed.tell("a", "down")
        await until(lambda: state(pool)[0] is WorkerState.DOWN)
        await feed.hang_up()
        await until(lambda: state(pool) == (WorkerState.UNKNOWN, NOT_HEARD))
        await until(lambda: len(feed.queries) == 2)
        await feed.tell("a", "draining")
        await until(lambda: state(pool)[0] is WorkerState.DRAINING)


async def test_what_a_monitor_long_gone_has_said_is_not_believed() -> None:
    """A state that holds is told again every five minutes; an older one may be of any time."""
    pool = Pool([WorkerSpec("a", "h"), WorkerSpec("b", "h")])
    async with following(pool) as feed:
        await feed.tell("a", "down", age_s=3600)
        await feed.tell("nobody", "down")
        await feed.tell("b", "up")
        await until(lambda: state(pool, "b")[0] is WorkerState.UP)
        assert state(pool)[0] is WorkerState.UNKNOWN
