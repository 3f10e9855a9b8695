"""The image of the monitor, built and run by a real container engine as docker-compose.yml runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import aiohttp
import pytest

from tests.container_engine import (
    HOOK,
    ROOT,
    Container,
    ContainerEngine,
    container_engine,
    published,
    volume,
)
from tests.sshd import free_port

REVISION = "0123abc"
DATA = "/var/lib/translation-monitor"
# Run inside, as whoever the image runs as.
LOOK = """
import os, pathlib, shutil

assert os.getuid() == os.getgid() == 10001
compilers = ("cc", "gcc", "g++", "clang", "as", "ld", "make", "cargo", "go")
assert not [name for name in compilers if shutil.which(name)]
writable = [where for where in ("/", "/opt", "/opt/translation-monitor", "/etc") if os.access(where, os.W_OK)]
assert writable == [], writable
size_bytes = sum(path.lstat().st_size for path in pathlib.Path("/opt/translation-monitor").rglob("*"))
assert size_bytes < 150e6, size_bytes
"""

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


async def answer(port: int, path: str, event: Mapping[str, object] | None = None) -> str:
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


async def test_the_container_tells_people(engine: ContainerEngine, image: str) -> None:
    """`serve --notify` works in the image: what it needs is installed, and it needs nothing to write to."""
    port, flags = published(engine)
    hook = str(free_port())
    monitor = Container(engine, image, flags, ["serve", "--notify", f"json://127.0.0.1:{hook}/"])
    try:
        monitor.start()
        monitor.until_healthy()
        for event in (
            {"type": "translation_started", "session_id": "book"},
            {"type": "translation_error", "session_id": "book", "error": "gone", "fatal": True},
        ):
            assert json.loads(await answer(port, "/events", event))["accepted"] == 1
        # It comes later than the message, which is tried again until it is taken.
        words = "Translation failed: book"
        told = engine("exec", monitor.name, "python3", "-c", HOOK, "127.0.0.1", hook, words, timeout_s=60)
        assert json.loads(told)["title"] == words, monitor.log()
        assert monitor.stop() == 0, monitor.log()
    finally:
        monitor.remove()


def test_the_image_has_no_compiler_and_no_root(engine: ContainerEngine, image: str) -> None:
    """It runs as a user by number and owns nothing it is made of; no compiler, 150 MB at most on its base."""
    config = json.loads(engine("image", "inspect", "--format", "{{json .Config}}", image))
    assert config["User"] == "10001:10001"
    assert config["Labels"]["org.opencontainers.image.revision"] == REVISION
    engine("run", "--rm", "--network=none", "--entrypoint=python3", image, "-c", LOOK)


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
