"""Delivering what publishers left behind, without publishing anything: `translation-monitor emit --spool`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from translation_events.address import MonitorAddress
from translation_events.delivery import Delivery
from translation_events.errors import ConfigError
from translation_events.journal import Journal
from translation_events.replies import Reply
from translation_events.retry import Retry
from translation_events.spool import Spool

PATIENCE_S: Final = 30.0


class SpoolReport(NamedTuple):
    """What became of a spool: events by outcome, and the journals a running publisher has at work."""

    delivered: int
    duplicates: int
    refused: int
    left: int
    busy: int


def deliver_spool(
    directory: str | Path,
    url: str,
    *,
    patience_s: float = PATIENCE_S,
    retry: Retry | None = None,
    on_reply: Callable[[Reply], None] | None = None,
) -> SpoolReport:
    """Deliver a spool to `url` and return once it is empty, or after `patience_s` without progress.

    `directory` is one monitor's spool or the directory of all of them, of which `url` then chooses. Events
    keep their order and ids, so that what had arrived already is not stored twice. Blocks; asyncio code calls
    it in a thread.  Raises: ConfigError: the address is wrong, or there is no such directory.
    """
    address = MonitorAddress.parse(url)
    folder = Path(directory)
    if not folder.is_dir():
        raise ConfigError(f"There is no spool at {folder}: give the directory that the publisher named.")
    if not Journal.paths(folder):
        folder /= address.folder
    if not folder.is_dir():
        return SpoolReport(0, 0, 0, 0, 0)
    spool = Spool(folder, own=False)
    try:
        return asyncio.run(_deliver(spool, address, patience_s, retry or Retry(), on_reply))
    finally:
        spool.close()


async def _deliver(
    spool: Spool,
    address: MonitorAddress,
    patience_s: float,
    retry: Retry,
    on_reply: Callable[[Reply], None] | None,
) -> SpoolReport:
    progressed = asyncio.Event()

    def settled(replies: list[Reply]) -> None:
        progressed.set()
        if on_reply is not None:
            for reply in replies:
                on_reply(reply)

    async def lose_patience() -> None:
        try:
            while True:
                progressed.clear()
                async with asyncio.timeout(patience_s):
                    await progressed.wait()
        except TimeoutError:
            delivery.stop()

    client_id = f"spool-{os.getpid()}"
    delivery = Delivery(address, spool, client_id=client_id, session_id=None, retry=retry, settled=settled)
    delivery.finish()
    async with asyncio.TaskGroup() as tasks:
        patience = tasks.create_task(lose_patience(), name="spool-patience")
        await delivery.run()
        patience.cancel()
    counters = delivery.counters
    return SpoolReport(counters.acked, counters.duplicates, counters.refused, spool.waiting, spool.busy)
