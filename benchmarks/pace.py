"""`python -m benchmarks.pace`: one publisher that sends events of many sessions at an even pace."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import Final

import aiohttp
import uvloop

from benchmarks import story

TICK_S: Final = 0.005
ANSWER_WITHIN_S: Final = 30.0


async def publish(url: str, *, rate: int, sessions: int, seconds: float) -> int:
    """Send, wait for every acknowledgement; returns the newest seq. Raises: RuntimeError where one failed."""
    total = max(4, int(rate * seconds) // sessions) * sessions  # as many as `lives` makes
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{url}/ws?role=publisher&ack=1", max_msg_size=0) as socket,
        asyncio.TaskGroup() as tasks,
    ):
        newest = tasks.create_task(_acknowledged(socket, total), name="read acknowledgements")
        began = time.monotonic()
        for sent, event in enumerate(story.lives(sessions, total)):
            if sent >= (time.monotonic() - began) * rate:
                await asyncio.sleep(TICK_S)
            await socket.send_str(event.decode())
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await newest


async def _acknowledged(socket: aiohttp.ClientWebSocketResponse, total: int) -> int:
    newest = 0
    while total > 0:
        frame = json.loads(await socket.receive_str())
        for answer in frame if isinstance(frame, list) else [frame]:
            if answer.get("type") != "ack":
                raise RuntimeError(f"the server answered {answer}")
            newest = max(newest, answer["seq"])
            total -= 1
    return newest


def main() -> int:
    """Print the newest seq as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pace", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--rate", type=int, default=1000, help="events a second (1000)")
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    newest = uvloop.run(publish(args.url, rate=args.rate, sessions=args.sessions, seconds=args.seconds))
    print(json.dumps({"newest": newest}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
