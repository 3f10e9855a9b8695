"""A server under test: started on its own core, waited for, and ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

from benchmarks.machine import SERVER_CORE, pinned

START_WITHIN_S: Final = 60.0
STOP_WITHIN_S: Final = 20.0
RELAY: Final = "relay"


class Kind(NamedTuple):
    """What to start and how to speak to it; `command` takes the port and may raise Missing."""

    name: str
    command: Callable[[int], Sequence[str]]
    viewer_path: str = "/ws"
    publisher_path: str = "/pub"
    hello: str | None = None
    environ: Mapping[str, str] = {}


class Server:
    """A running server; a context manager that ends it."""

    def __init__(self, kind: Kind, *, log: Path, ready_path: str | None = None) -> None:
        """Start it and wait until it answers. Raises: Missing: its tools are not here."""
        self.kind = kind
        self.port = free_port()
        command = pinned(kind.command(self.port), SERVER_CORE)
        began = time.monotonic()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, env=os.environ | dict(kind.environ), stdout=output, stderr=output
            )
        try:
            self._wait(ready_path)
        except BaseException:
            self.kill()
            raise
        self.started_in_s = time.monotonic() - began

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id; `taskset` becomes what it starts, so this is the server itself."""
        return self._process.pid

    def stop(self) -> None:
        """End it as a user does, with SIGTERM; then without asking."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it without asking."""
        self._process.kill()
        self._process.wait()

    def _wait(self, ready_path: str | None) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self.kind.name} ended with {self._process.returncode} at its start")
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                    if ready_path is None or _answers(connection, ready_path):
                        return
            except OSError:
                pass
            time.sleep(0.01)
        raise RuntimeError(f"{self.kind.name} did not answer within {START_WITHIN_S:g} s")


def relay(directory: Path, *, connections: int = 2000, environ: Mapping[str, str] | None = None) -> Kind:
    """The monitor as a user starts it, its event log in `directory`."""

    def command(port: int) -> list[str]:
        return [
            *(str(Path(sys.executable).parent / "translation-monitor"), "serve", "--port", str(port)),
            *("--event-log", f"sqlite:///{directory / 'events.db'}"),
            *("--max-connections", str(connections), "--log-level", "warning"),
        ]

    return Kind(
        RELAY,
        command,
        viewer_path="/ws?session_id=s1&role=viewer",
        publisher_path="/ws?role=publisher",
        environ=environ or {},
    )


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(connection: socket.socket, path: str) -> bool:
    connection.settimeout(5.0)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    return b" 200 " in connection.recv(64)
