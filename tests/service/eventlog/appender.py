"""A child process to be killed: appends under load, trims, and writes down what was acknowledged.

Run as `python appender.py FILE RUN`; each acknowledged event is one line `session id seq` on stdout.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import Counter

import msgspec
import structlog

from service.eventlog.sqlite import SqliteEventLog
from translation_events.decode import decode_event

LIMIT = 200
SESSIONS = 6


async def main(path: str, run: str) -> None:
    log = await SqliteEventLog.open(path)
    counts: Counter[str] = Counter()
    folded: Counter[str] = Counter()
    for session_id, (blob, seq) in (await log.load("sessions")).items():
        counts[session_id], folded[session_id] = int(blob), seq
    read = asyncio.Event()

    async def project(end: int) -> None:
        if not end:
            read.set()
        async for batch in log.follow(0):
            for entry in batch:
                if entry.seq > folded[entry.event.session_id]:
                    counts[entry.event.session_id] += 1
                    folded[entry.event.session_id] = entry.seq
            if batch[-1].seq >= end:
                read.set()

    async def publish(number: int) -> None:
        for turn in range(1_000_000):
            events = [
                decode_event(
                    msgspec.json.encode(
                        {
                            "type": "translation_progress",
                            "session_id": f"s{(number + turn) % SESSIONS}",
                            "id": f"{run}-{number}-{turn}-{i}",
                            "message": "x" * 200,
                        }
                    )
                )
                for i in range(1 + turn % 23)
            ]
            answers = await log.append(events)
            lines = [f"{e.session_id} {e.id} {a.seq}\n" for e, a in zip(events, answers, strict=True)]
            os.write(1, "".join(lines).encode())

    async with asyncio.TaskGroup() as group:
        group.create_task(project(log.last_seq), name="project")
        await read.wait()
        log.retain(
            LIMIT, lambda session_id: (b"%d" % counts[session_id], folded[session_id]), name="sessions"
        )
        for number in range(4):
            group.create_task(publish(number), name=f"publish {number}")


if __name__ == "__main__":
    # stdout is for what was acknowledged, and only that.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    asyncio.run(main(*sys.argv[1:]))
