"""What the monitor says of the workers, obeyed: it probes them, and it knows who is being drained."""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections.abc import Collection, Iterator
from typing import Any, Final

import aiohttp
import msgspec
import structlog

from sshworker.pool import Pool
from sshworker.state import WorkerState
from translation_events.address import MonitorAddress
from translation_events.event import EventType, WorkerStatus

log = structlog.get_logger(__name__)

SESSION: Final = "_workers"
CONNECT_TIMEOUT_S: Final = 10.0
SILENCE_S: Final = 60.0  # the monitor pings every 20 s, so a minute of silence is a dead connection
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 10.0
LAST: Final = 100
# What comes together, such as the past at the start, is taken together: of each worker the newest counts.
PAUSE_S: Final = 0.05
BURST_S: Final = 0.5
MAX_FRAME_BYTES: Final = 1 << 20
# A state that holds is told again every 300 s: what is older than two of these is of a monitor long gone.
MAX_AGE_S: Final = 600.0
NOT_HEARD: Final = "the monitor is not heard any more"


class _Head(msgspec.Struct):
    type: str


class _Status(msgspec.Struct):
    type: str
    received_at: float = 0.0
    data: WorkerStatus | None = None


_decode: Final = msgspec.json.Decoder(_Status).decode
_decode_head: Final = msgspec.json.Decoder(_Head).decode


class WorkerFollow:
    """Follows `worker_status` of the monitor's own session and reports it to `pool`.

    While the monitor is not heard nobody knows, and each worker it spoke of is `unknown`: the pool then goes
    by its own work.
    """

    def __init__(self, address: MonitorAddress, pool: Pool) -> None:
        self._address = address
        self._pool = pool
        self._heard: set[str] = set()

    async def run(self) -> None:
        """Follow until cancelled, for ever anew; a monitor that is not there harms nothing."""
        pause_s = FIRST_PAUSE_S
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with asyncio.timeout(CONNECT_TIMEOUT_S):
                        ws = await session.ws_connect(
                            self._address.websocket(
                                {
                                    "session_id": SESSION,
                                    "role": "viewer",
                                    "last": str(LAST),
                                    "client_id": f"translate-{os.getpid()}",
                                }
                            ),
                            max_msg_size=MAX_FRAME_BYTES,
                            timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
                        )
                except (aiohttp.ClientError, TimeoutError, OSError):
                    pass
                else:
                    pause_s = FIRST_PAUSE_S
                    try:
                        await self._listen(ws)
                    finally:
                        await ws.close()
                self._lose()
                # Jitter: after a restart of the monitor not all translations come at once.
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # no secret
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _listen(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        while (burst := await _burst(ws)) is not None:
            for status in burst:
                self._heed(status)

    def _heed(self, status: _Status) -> None:
        if status.data is None or time.time() - status.received_at > MAX_AGE_S:
            return
        said = status.data
        state = WorkerState(said.state)
        if self._pool.report(said.worker, state, said.reason or "", since=said.since):
            self._heard.add(said.worker)

    def _lose(self) -> None:
        if self._heard:
            log.warning("monitor not heard, workers are judged by their own work", workers=len(self._heard))
        for worker in self._heard:
            self._pool.report(worker, WorkerState.UNKNOWN, NOT_HEARD)
        self._heard.clear()


async def _burst(ws: aiohttp.ClientWebSocketResponse) -> Collection[_Status] | None:
    """What comes together, the newest of each worker; None where the connection is over or silent."""
    newest: dict[str, _Status] = {}
    wait_s, until = SILENCE_S, math.inf
    while time.monotonic() < until:
        try:
            message = await ws.receive(timeout=wait_s)
        except TimeoutError:
            return newest.values() if until < math.inf else None
        if message.type is not aiohttp.WSMsgType.TEXT:
            return newest.values() if newest else None  # asked again, it says again that it is over
        for status in _statuses(message.data):
            if status.data is not None:
                newest[status.data.worker] = status
        if until == math.inf:
            wait_s, until = PAUSE_S, time.monotonic() + BURST_S
    return newest.values()


def _statuses(frame: Any) -> Iterator[_Status]:
    """What a frame says of workers; everything else in it (greetings, gaps) is for others."""
    try:
        if _decode_head(frame).type == EventType.WORKER_STATUS:
            yield _decode(frame)
    except msgspec.DecodeError:
        log.warning("a worker's status could not be read")
