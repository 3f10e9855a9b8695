"""docker-compose.yml itself, started and ended by `make up` and `make down` on a real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.container_engine import PULL_WITHIN_S, ROOT, ContainerEngine, container_engine
from tests.parts import need
from tests.rule_files import alerts
from tests.sshd import free_port, until

COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILES = {"service": ROOT / "Dockerfile", "worker": ROOT / "deploy/worker/Dockerfile"}
# Without one of these there is nothing to look at; the others are left out where their image cannot be had.
NEEDED = {"prometheus", "alertmanager"}
BUILD_WITHIN_S = 600
WELL_WITHIN_S = 120.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def answer(port: int, path: str, event: dict[str, str] | None = None) -> Any:
    """The JSON that a GET, or a POST of an event, is answered."""
    body = None if event is None else json.dumps(event).encode()
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
        done = subprocess.run(
            ["make", "--no-print-directory", *target],
            cwd=ROOT, env=self.environ, capture_output=True, text=True, timeout=BUILD_WITHIN_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]

    def query(self, query: str, at: float | None = None) -> list[dict[str, Any]]:
        """What Prometheus answers, now or as of a Unix time."""
        asked = {"query": query} | ({} if at is None else {"time": str(at)})
        path = f"/api/v1/query?{urllib.parse.urlencode(asked)}"
        found: list[dict[str, Any]] = answer(self.prometheus, path)["data"]["result"]
        return found

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
    lines = ["services:"]
    for name, one in services.items():
        if name in absent:
            lines.append(f"  {name}: !reset null")
            continue
        changes = []
        if "build" in one:
            dockerfile = DOCKERFILES["service" if name == "service" else "worker"]
            build = {"args": engine.base(dockerfile)} | ({"network": "host"} if engine.network else {})
            changes.append(f"    build: {json.dumps(build)}")
        if absent & set(one.get("depends_on", {})):
            kept = {other: how for other, how in one["depends_on"].items() if other not in absent}
            changes.append(f"    depends_on: !override {json.dumps(kept)}")
        lines += [f"  {name}:", *changes] if changes else []
    return "\n".join(lines) + "\n"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Nothing runs yet; afterwards nothing of it is left, volumes and images included."""
    engine = container_engine()
    scripts = Path(sysconfig.get_path("scripts"))
    need((scripts / "docker-compose").exists(), "docker-compose is not installed")
    changed = tmp_path / "override.yml"
    changed.write_text(override(engine))
    ports = {name: free_port() for name in ("SERVICE", "PROMETHEUS", "ALERTMANAGER", "GRAFANA")}
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MONITOR_", "COMPOSE", "GRAFANA_", "MAKE"))
    }
    environ = {
        **inherited,
        **{f"{name}_PORT": str(port) for name, port in ports.items()},
        "PATH": f"{scripts}:{os.environ['PATH']}",
        "COMPOSE_FILE": f"{COMPOSE}:{changed}",
        "COMPOSE_PROJECT_NAME": f"tm-test-{uuid.uuid4().hex[:12]}",
        "COMPOSE_DISABLE_ENV_FILE": "1",
    }
    try:
        yield Stack(environ, ports["SERVICE"], ports["PROMETHEUS"], ports["ALERTMANAGER"])
    finally:
        subprocess.run(
            ["docker-compose", "down", "--volumes", "--timeout", "20"],
            cwd=ROOT,
            env={**environ, "COMPOSE_PROFILES": "workers"},
            capture_output=True,
            timeout=120,
            check=True,
        )
        built = engine("image", "ls", "--quiet", f"--filter=reference={environ['COMPOSE_PROJECT_NAME']}-*")
        if built:
            engine("image", "rm", "--force", *sorted(set(built.split())))


def test_one_command_starts_everything_connected_and_what_it_recorded_stays(stack: Stack) -> None:
    """`make up WORKERS=1` starts it scraped, with rules and two workers; `make down` forgets nothing."""
    stack.make("up", "WORKERS=1")
    eventually(lambda: all(map(stack.is_up, ("translation-monitor", "alertmanager", "prometheus"))))

    def workers() -> set[str]:
        found = stack.query("translation_worker_up == 1")
        return {series["metric"]["worker"] for series in found}

    eventually(lambda: workers() == {"worker-1", "worker-2"})
    seen = {one["id"]: one["probe_result"] for one in answer(stack.service, "/workers")["workers"]}
    assert seen == {"worker-1": "success", "worker-2": "success"}
    groups = answer(stack.prometheus, "/api/v1/rules")["data"]["groups"]
    loaded = {rule["name"] for group in groups for rule in group["rules"] if rule["type"] == "alerting"}
    assert loaded == {rule["alert"] for rule in alerts()}
    # Always firing, and so what tells that the way from Prometheus to Alertmanager is open.
    watchdog = "/api/v2/alerts?" + urllib.parse.urlencode({"filter": 'alertname="TranslationWatchdog"'})
    eventually(lambda: len(answer(stack.alertmanager, watchdog)) == 1)
    event = {"type": "translation_started", "session_id": "before-the-end"}
    assert answer(stack.service, "/events", event)["accepted"] == 1
    before = time.time()
    stack.make("down")

    stack.make("up", "WORKERS=1")
    eventually(lambda: "before-the-end" in json.dumps(answer(stack.service, "/sessions")))
    eventually(lambda: len(stack.query('up{job="translation-monitor"} == 1', at=before)) == 1)
    eventually(lambda: workers() == {"worker-1", "worker-2"})
    stack.make("down")
