"""Runs the load client on its own core and reads its one line of JSON."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks import build
from benchmarks.machine import CLIENT_CORE, busy_s, pinned
from benchmarks.server import Server

Figures = Mapping[str, float]


def run(mode: str, server: Server, options: Sequence[str], *, timeout_s: float = 120.0) -> Figures:
    """What one run measured. Raises: RuntimeError with what the client said where it failed."""
    command = _command(mode, server, options)
    began, busy = time.monotonic(), busy_s()
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    took, busy = time.monotonic() - began, busy_s() - busy
    if done.returncode != 0:
        raise RuntimeError(f"load client: {done.stderr.strip()[-300:]}")
    figures: dict[str, float] = json.loads(done.stdout)
    ours = figures["cpu_s"] + figures["client_cores"] * figures["seconds"]
    # What else ran meanwhile: above a few tenths, only ratios of the same minute mean anything.
    return {**figures, "others_cores": round(max(0.0, busy - ours) / took, 2)}


@contextmanager
def held(server: Server, options: Sequence[str]) -> Iterator[Figures]:
    """Idle viewers, connected while the block runs."""
    with subprocess.Popen(
        _command("hold", server, options), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        assert client.stdin is not None
        line = client.stdout.readline()
        if not line:
            raise RuntimeError("load client: the viewers could not connect")
        yield json.loads(line)
        client.stdin.close()


def _command(mode: str, server: Server, options: Sequence[str]) -> list[Any]:
    kind = server.kind
    command = [
        *(str(build.load_client()), mode, "--port", str(server.port), "--server-pid", str(server.pid)),
        *("--viewer-path", kind.viewer_path, "--publisher-path", kind.publisher_path),
    ]
    if kind.hello is not None:
        command += ["--hello", kind.hello]
    return pinned([*command, *options], CLIENT_CORE)
