"""A relay as one writes it first with aiohttp: a set of viewers, a send to each."""

from __future__ import annotations

import json
import sys

from aiohttp import WSMsgType, web

VIEWERS = web.AppKey("viewers", set[web.WebSocketResponse])


async def view(request: web.Request) -> web.WebSocketResponse:
    """Keep the viewer until it goes."""
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    viewers = request.app[VIEWERS]
    viewers.add(ws)
    try:
        async for _ in ws:
            pass
    finally:
        viewers.discard(ws)
    return ws


async def publish(request: web.Request) -> web.WebSocketResponse:
    """Parse each event, number it and send it to everyone."""
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    seq = 0
    async for message in ws:
        if message.type is not WSMsgType.TEXT:
            continue
        event = json.loads(message.data)
        if not isinstance(event.get("type"), str) or not isinstance(event.get("session_id"), str):
            continue
        seq += 1
        event["seq"] = seq
        text = json.dumps(event)
        for viewer in tuple(request.app[VIEWERS]):
            await viewer.send_str(text)
    return ws


def main(port: int) -> None:
    """Serve on 127.0.0.1."""
    app = web.Application()
    app[VIEWERS] = set()
    app.router.add_get("/ws", view)
    app.router.add_get("/pub", publish)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None, backlog=1024)


if __name__ == "__main__":
    main(int(sys.argv[1]))
