"""The image of the monitor, built and run by a real container engine as docker-compose.yml runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import aiohttp
import pytest

from tests.container_engine import ROOT, Container, ContainerEngine, container_engine, published, volume

REVISION = "0123abc"
DATA = "/var/lib/translation-monitor"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def engine() -> ContainerEngine:
    """The engine of this machine."""
    return container_engine()


@pytest.fixture(scope="module")
def image(engine: ContainerEngine) -> Iterator[str]:
    """The image, built from the Dockerfile of the project."""
    tag = "translation-monitor-under-test"
    dockerfile = ROOT / "Dockerfile"
    engine.build(dockerfile, tag, MONITOR_REVISION=REVISION, **engine.base(dockerfile))
    yield tag
    engine("image", "rm", "--force", tag)


async def answer(port: int, path: str, event: dict[str, str] | None = None) -> str:
    """What a GET, or a POST of an event, is answered; it must succeed."""
    method = "GET" if event is None else "POST"
    async with (
        aiohttp.ClientSession() as client,
        client.request(method, f"http://127.0.0.1:{port}{path}", json=event) as response,
    ):
        text = await response.text()
        assert response.status == 200, text
        return text


async def test_the_container_publishes_stops_cleanly_and_remembers(
    engine: ContainerEngine, image: str
) -> None:
    """Read-only and without a capability it is healthy, takes an event, ends with 0 and still knows it."""
    port, flags = published(engine)
    with volume(engine) as data:
        flags.append(f"--volume={data}:{DATA}")
        monitor = Container(engine, image, flags)
        try:
            monitor.start()
            monitor.until_healthy()
            event = {"type": "translation_started", "session_id": "in-a-container"}
            assert json.loads(await answer(port, "/events", event))["accepted"] == 1
            assert "in-a-container" in await answer(port, "/sessions")
            assert f'revision="{REVISION}"' in await answer(port, "/metrics")
            assert monitor.stop() == 0, monitor.log()
            assert "not known and is ignored" not in monitor.log()

            monitor.remove()  # so that nothing but the volume can remember
            monitor.start()
            monitor.until_healthy()
            assert "in-a-container" in await answer(port, "/sessions")
            assert monitor.stop() == 0, monitor.log()
        finally:
            monitor.remove()


def test_the_image_has_no_compiler_and_no_root(engine: ContainerEngine, image: str) -> None:
    """It runs as a user by number, holds no compiler, and what it is made of belongs to somebody else."""
    config = json.loads(engine("image", "inspect", "--format", "{{json .Config}}", image))
    assert config["User"] == "10001:10001"
    assert config["Labels"]["org.opencontainers.image.revision"] == REVISION
    script = (
        "import os, shutil\n"
        "assert os.getuid() == os.getgid() == 10001\n"
        "assert not [name for name in ('cc', 'gcc', 'clang', 'make', 'cargo') if shutil.which(name)]\n"
        "writable = [where for where in ('/', '/opt', '/opt/translation-monitor', '/etc')"
        " if os.access(where, os.W_OK)]\n"
        "assert writable == [], writable\n"
    )
    engine("run", "--rm", "--network=none", "--entrypoint=python3", image, "-c", script)


def test_a_start_without_a_decision_says_what_is_missing(engine: ContainerEngine, image: str) -> None:
    """The image listens on all addresses of its container, and so asks for `MONITOR_INSECURE` in words."""
    monitor = Container(engine, image, ["--network=none"])
    try:
        monitor.start()
        engine("wait", monitor.name)
        assert monitor.state()["ExitCode"] != 0
        assert "insecure" in monitor.log()
    finally:
        monitor.remove()


def test_it_can_tell_people_outside_of_the_page(engine: ContainerEngine, image: str) -> None:
    """The library behind `MONITOR_NOTIFY` is in it: an address is refused for what it is."""
    monitor = Container(
        engine,
        image,
        ["--network=none", "--env=MONITOR_INSECURE=true", "--env=MONITOR_NOTIFY=nobody-knows://here"],
    )
    try:
        monitor.start()
        engine("wait", monitor.name)
        assert "is not one that Apprise understands" in monitor.log()
        assert monitor.state()["ExitCode"] == 2
    finally:
        monitor.remove()
