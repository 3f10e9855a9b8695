"""The `websockets` library's own `broadcast`, with its defaults: permessage-deflate for whoever offers it."""

from __future__ import annotations

import asyncio
import json
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve


async def main(port: int) -> None:
    """Serve on 127.0.0.1 until killed."""
    viewers: set[ServerConnection] = set()
    seq = 0

    async def handle(ws: ServerConnection) -> None:
        nonlocal seq
        if ws.request is not None and ws.request.path.startswith("/ws"):
            viewers.add(ws)
            try:
                await ws.wait_closed()
            finally:
                viewers.discard(ws)
            return
        async for message in ws:
            event = json.loads(message)
            if not isinstance(event.get("type"), str) or not isinstance(event.get("session_id"), str):
                continue
            seq += 1
            event["seq"] = seq
            broadcast(viewers, json.dumps(event))

    async with serve(handle, "127.0.0.1", port, backlog=1024):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
