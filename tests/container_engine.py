"""A container engine, where one runs: builds our images and runs them as docker-compose.yml does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.parts import need
from tests.sshd import free_port, until

ROOT = Path(__file__).parent.parent
PULL_WITHIN_S = 120.0
BUILD_WITHIN_S = 600.0
# A webhook for whoever is in reach of a container, run by the monitor's image with ADDRESS PORT WORDS: prints
# the first body that has the words, and ends.
HOOK = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

address, port, words = sys.argv[1:]
found = []

class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if words in body:
            found.append(body)
        self.send_response(200)
        self.end_headers()

with HTTPServer((address, int(port)), Hook) as server:
    while not found:
        server.handle_request()
print(found[0])
"""
# What docker-compose.yml allows a container, as flags.
CONTAINED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true")


@dataclass(frozen=True)
class ContainerEngine:
    """Docker, or Podman under the same commands."""

    program: str

    def __call__(self, *command: str | Path, timeout_s: float = 60.0) -> str:
        """Run one command; returns what it prints."""
        done = subprocess.run(
            [self.program, *command], capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout.strip()

    def has(self, kind: str, name: str) -> bool:
        """Whether there is an image, a network, a volume of this name."""
        done = subprocess.run([self.program, kind, "inspect", name], capture_output=True, check=False)
        return done.returncode == 0

    @property
    def network(self) -> tuple[str, ...]:
        """Flags for an engine without a bridge (one in a container, say): the host's network."""
        return () if self.has("network", "bridge") or self.has("network", "podman") else ("--network=host",)

    def build(self, dockerfile: Path, tag: str, **arguments: str) -> None:
        """Build an image of the project."""
        flags = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        flags += ["--tag", tag, "--file", str(dockerfile), str(ROOT)]
        self("build", *self.network, *flags, timeout_s=BUILD_WITHIN_S)

    def base(self, dockerfile: Path) -> dict[str, str]:
        """Build arguments for the base image: none if the pinned one is to be had, else one of its tag.

        The calling test needs one of them.
        """
        found = re.search(r"^ARG (\w+_IMAGE)=(\S+)$", dockerfile.read_text(), re.MULTILINE)
        assert found is not None
        name, pinned = found.groups()
        if self.has("image", pinned):
            return {}
        tagged = pinned.partition("@")[0]
        if self.has("image", tagged):
            return {name: tagged}
        try:
            self("pull", "--quiet", pinned, timeout_s=PULL_WITHIN_S)
        except (AssertionError, subprocess.TimeoutExpired) as err:
            need(False, f"the base image {pinned} cannot be pulled: {err}")
        return {}


def container_engine() -> ContainerEngine:
    """The engine of this machine; the calling test needs it, unless CI found that the machine allows none."""
    if refused := os.environ.get("TESTS_WITHOUT_CONTAINERS"):
        pytest.skip(refused)
    found = [program for program in ("docker", "podman") if _answers(program)]
    need(bool(found), "no container engine answers here (docker, podman)")
    return ContainerEngine(found[0])


def _answers(program: str) -> bool:
    if shutil.which(program) is None:
        return False
    return subprocess.run([program, "info"], capture_output=True, timeout=30, check=False).returncode == 0


@dataclass
class Container:
    """One container that is kept when it stops, so that it can be asked how it ended."""

    engine: ContainerEngine
    image: str
    flags: Sequence[str] = ()
    command: Sequence[str] = ()
    name: str = field(default_factory=lambda: f"tm-test-{uuid.uuid4().hex[:12]}")

    def start(self) -> None:
        """Start it, or start it again."""
        if self.engine.has("container", self.name):
            self.engine("start", self.name)
        else:
            self.engine(
                "run", "--detach", "--name", self.name, *CONTAINED, *self.flags, self.image, *self.command
            )

    def state(self) -> Any:
        """What the engine knows of its state."""
        return json.loads(self.engine("inspect", "--format", "{{json .State}}", self.name))

    def until_healthy(self) -> None:
        """Wait for its own HEALTHCHECK."""

        def healthy() -> bool:
            state = self.state()
            assert state["Running"], self.log()
            return bool(state["Health"]["Status"] == "healthy")

        until(healthy, timeout_s=60.0)

    def stop(self) -> int:
        """SIGTERM as the image asks for; returns the exit code, 137 if it had to be killed."""
        self.engine("stop", "--time", "15", self.name)
        return int(self.state()["ExitCode"])

    def log(self) -> str:
        """What it wrote."""
        done = subprocess.run(
            [self.engine.program, "logs", self.name], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def remove(self) -> None:
        """Whatever its state."""
        self.engine("rm", "--force", "--volumes", self.name)


@contextmanager
def volume(engine: ContainerEngine) -> Iterator[str]:
    """A named volume, gone afterwards."""
    name = f"tm-test-{uuid.uuid4().hex[:12]}"
    engine("volume", "create", name)
    try:
        yield name
    finally:
        engine("volume", "rm", "--force", name)


def published(engine: ContainerEngine) -> tuple[int, list[str]]:
    """(port, flags) that put the monitor on a free port of loopback."""
    port = free_port()
    if engine.network:
        flags = [*engine.network, f"--env=MONITOR_SERVER_PORT={port}", "--env=MONITOR_HOST=127.0.0.1"]
    else:
        flags = [f"--publish=127.0.0.1:{port}:8090", "--env=MONITOR_INSECURE=true"]
    return port, [*flags, "--tmpfs=/tmp:size=16m"]
