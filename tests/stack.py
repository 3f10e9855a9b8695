"""The compose file under the commands of the Makefile: a project of its own, on ports of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.container_engine import PULL_WITHIN_S, ROOT, ContainerEngine, container_engine
from tests.parts import need
from tests.sshd import free_port, until

COMPOSE = ROOT / "docker-compose.yml"
# Without one of these there is nothing to look at. The others are left out where their image cannot be had,
# but for the collector: a receiver takes its place that answers the monitor and keeps nothing.
NEEDED = {"prometheus", "alertmanager"}
COLLECTOR = "otel-collector"
OTLP_RECEIVER = """
from concurrent.futures import ThreadPoolExecutor
import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer, add_TraceServiceServicer_to_server,
)

class Receiver(TraceServiceServicer):
    def Export(self, request, context):
        return ExportTraceServiceResponse()

server = grpc.server(ThreadPoolExecutor(2))
add_TraceServiceServicer_to_server(Receiver(), server)
server.add_insecure_port("0.0.0.0:4317")
server.start()
server.wait_for_termination()
"""
BUILD_WITHIN_S = 600
WELL_WITHIN_S = 180.0
HOOK_PORT = 8099  # in the container of the service, on the network of Alertmanager


def answer(port: int, path: str, said: dict[str, Any] | None = None) -> Any:
    """The JSON that a GET, or a POST of `said`, is answered."""
    body = None if said is None else json.dumps(said).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as given:  # noqa: S310 - loopback
        return json.load(given)


def eventually(what: Callable[[], bool]) -> None:
    """Wait until it is so; a port where nobody answers yet is not."""

    def so() -> bool:
        try:
            return what()
        except (OSError, json.JSONDecodeError):
            return False

    until(so, timeout_s=WELL_WITHIN_S)


@dataclass
class Stack:
    """A project of its own on ports of its own, under the commands of the Makefile."""

    environ: dict[str, str]
    service: int
    prometheus: int
    alertmanager: int

    def make(self, *target: str) -> None:
        """As a user types it."""
        self._run(self.environ, "make", "--no-print-directory", *target)

    def compose(self, *command: str) -> str:
        """Run Compose itself on all services, those of the profile too; returns what it prints."""
        return self._run({**self.environ, "COMPOSE_PROFILES": "workers"}, "docker-compose", *command)

    def _run(self, environ: dict[str, str], *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=BUILD_WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout

    def health(self) -> dict[str, str]:
        """What the engine thinks of each running container, by service; "" where nothing is asked."""
        lines = self.compose("ps", "--format", "json").splitlines()
        return {one["Service"]: one["Health"] for one in map(json.loads, lines)}

    def query(self, query: str, at: float | None = None) -> list[dict[str, Any]]:
        """What Prometheus answers, now or as of a Unix time."""
        asked = {"query": query} | ({} if at is None else {"time": str(at)})
        path = f"/api/v1/query?{urllib.parse.urlencode(asked)}"
        found: list[dict[str, Any]] = answer(self.prometheus, path)["data"]["result"]
        return found

    def workers(self) -> set[str]:
        """Those that Prometheus has heard to be up."""
        return {series["metric"]["worker"] for series in self.query("translation_worker_up == 1")}

    def is_up(self, job: str) -> bool:
        """Whether Prometheus has scraped it."""
        return [series["value"][1] for series in self.query(f'up{{job="{job}"}}')] == ["1"]


def to_be_had(engine: ContainerEngine, image: str) -> bool:
    """Whether the engine has the image, or can pull it."""
    if engine.has("image", image):
        return True
    try:
        engine("pull", "--quiet", image, timeout_s=PULL_WITHIN_S)
    except (AssertionError, subprocess.TimeoutExpired):
        return False
    return True


def override(engine: ContainerEngine) -> str:
    """What has to differ where some images cannot be had or builds have no bridge; nothing else does."""
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    absent = {
        name for name, one in services.items() if "image" in one and not to_be_had(engine, one["image"])
    }
    need(not absent & NEEDED, f"no image of {', '.join(sorted(absent & NEEDED))} can be had")
    left_out = absent - {COLLECTOR}
    host = {"network": "host"} if engine.network else {}
    changed: dict[str, list[str]] = {name: [] for name in services}
    for name, one in services.items():
        if "build" in one:
            build = {"args": engine.base(ROOT / one["build"].get("dockerfile", "Dockerfile")), **host}
            changed[name].append(f"build: {json.dumps(build)}")
        if gone := left_out & set(one.get("depends_on", {})):
            kept = {other: how for other, how in one["depends_on"].items() if other not in gone}
            changed[name].append(f"depends_on: !override {json.dumps(kept)}")
    if COLLECTOR in absent:
        # The monitor's image brings all that a receiver needs.
        build = {"context": str(ROOT), "args": engine.base(ROOT / "Dockerfile"), **host}
        changed[COLLECTOR] += [
            "image: !reset null",
            f"build: {json.dumps(build)}",
            f"entrypoint: {json.dumps(['python3', '-c', OTLP_RECEIVER])}",
            "command: !reset null",
            "init: true",
            "healthcheck: {disable: true}",
        ]
    lines = ["services:"]
    for name, changes in changed.items():
        if name in left_out:
            lines.append(f"  {name}: !reset null")
        elif changes:
            lines += [f"  {name}:", *(f"    {change}" for change in changes)]
    return "\n".join(lines) + "\n"


@contextmanager
def started(folder: Path, *variables: str) -> Iterator[Stack]:
    """By `make up` with these variables; afterwards nothing of it is left, volumes and images included."""
    engine = container_engine()
    scripts = Path(sysconfig.get_path("scripts"))
    need((scripts / "docker-compose").exists(), "docker-compose is not installed")
    changed = folder / "override.yml"
    changed.write_text(override(engine))
    ports = {name: free_port() for name in ("SERVICE", "PROMETHEUS", "ALERTMANAGER", "GRAFANA")}
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MONITOR_", "COMPOSE", "GRAFANA_", "MAKE"))
    }
    project = f"tm-test-{uuid.uuid4().hex[:12]}"
    environ = {
        **inherited,
        **{f"{name}_PORT": str(port) for name, port in ports.items()},
        "PATH": f"{scripts}:{os.environ['PATH']}",
        "COMPOSE_FILE": f"{COMPOSE}:{changed}",
        "COMPOSE_PROJECT_NAME": project,
        "COMPOSE_DISABLE_ENV_FILE": "1",
        "MONITOR_ALERT_WEBHOOK_URL": f"http://service:{HOOK_PORT}/",
    }
    stack = Stack(environ, ports["SERVICE"], ports["PROMETHEUS"], ports["ALERTMANAGER"])
    try:
        stack.make("up", *variables)
        yield stack
    finally:
        stack.compose("down", "--volumes", "--timeout", "20")
        built = engine("image", "ls", "--quiet", f"--filter=reference={project}-*")
        if built:
            engine("image", "rm", "--force", *sorted(set(built.split())))
