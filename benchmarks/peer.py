"""The peers: other relays, started only where their tools are at hand. They keep no log and count nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks import build
from benchmarks.machine import Missing
from benchmarks.server import Kind

AIOHTTP: Final = "aiohttp"
WEBSOCKETS: Final = "websockets"
NODE: Final = "node ws"
GORILLA: Final = "gorilla"
CENTRIFUGE: Final = "centrifuge"
NODE_PATH: Final = f"{build.BUILD / 'node_modules'}:/usr/share/nodejs"


def _python_peer(module: str, needs: str) -> Callable[[int], Sequence[str]]:
    def command(port: int) -> list[str]:
        found = subprocess.run([sys.executable, "-c", f"import {needs}"], capture_output=True, check=False)
        if found.returncode != 0:
            raise Missing(f"needs the Python package {needs}")
        return [sys.executable, str(build.HERE / "peers" / f"{module}.py"), str(port)]

    return command


def _node_peer(port: int) -> list[str]:
    environ = {**os.environ, "NODE_PATH": NODE_PATH}
    try:
        found = subprocess.run(
            ["node", "-e", "require('ws')"], env=environ, capture_output=True, timeout=30, check=False
        )
    except FileNotFoundError:
        raise Missing("needs Node.js (Debian: nodejs)") from None
    if found.returncode != 0:
        raise Missing("needs Node's ws: npm install --prefix benchmarks/build ws (or Debian's node-ws)")
    return ["node", str(build.HERE / "peers" / "node_ws.js"), str(port)]


def _go_peer(name: str) -> Callable[[int], Sequence[str]]:
    return lambda port: [str(build.go_peer(name)), str(port)]


def _all_peers() -> dict[str, Kind]:
    one_core = {"GOMAXPROCS": "1"}
    kinds = (
        Kind(AIOHTTP, _python_peer("aiohttp_hub", "aiohttp")),
        Kind(WEBSOCKETS, _python_peer("websockets_broadcast", "websockets")),
        Kind(NODE, _node_peer, environ={"NODE_PATH": NODE_PATH}),
        Kind(GORILLA, _go_peer("gorilla_hub"), environ=one_core),
        Kind(CENTRIFUGE, _go_peer("centrifuge_relay"), hello='{"id":1,"params":{}}', environ=one_core),
    )
    return {kind.name: kind for kind in kinds}


PEERS: Final = _all_peers()
