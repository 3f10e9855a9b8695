"""Processes killed with -9 on either side, with the real monitor server: nothing lost, nothing doubled."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from translation_events import Publisher, deliver_spool
from translation_events.retry import Retry

QUICK = Retry(base_s=0.02, cap_s=0.1)
PRODUCER = """
import sys
from translation_events import Publisher
publisher = Publisher(sys.argv[1], session_id=sys.argv[2], spool_dir=sys.argv[3])
for n in range(10_000_000):
    publisher.emit("translation_progress", current_item=n, id=f"{sys.argv[2]}-{n}")
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()
"""


class RealServer:
    """`python -m service` with its log in a directory; can be killed and started again on the same port."""

    def __init__(self, directory: Path) -> None:
        self._log = f"sqlite:///{directory / 'events.db'}"
        self._process: subprocess.Popen[str] | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until it listens."""
        command = [sys.executable, "-m", "service", "--port", str(self.port), "--event-log", self._log]
        command += ["--log-format", "json"]
        environment = os.environ | {"MONITOR_EVENTS_PER_SESSION": "1000000"}
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        assert self._process.stderr is not None
        for line in self._process.stderr:
            told = json.loads(line)
            if "url" in told:
                self.port = int(told["url"].rpartition(":")[2])
                break
        else:
            pytest.fail("the server ended without a word")
        self._drain = threading.Thread(target=self._process.stderr.read)
        self._drain.start()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._drain.join()
            assert self._process.stderr is not None
            self._process.stderr.close()
            self._process = None

    def events(self, session_id: str) -> list[dict[str, Any]]:
        """All the log holds of a session, page by page."""
        after, events = 0, []
        while True:
            address = f"{self.url}/sessions/{session_id}/events?after={after}&limit=1000"
            with urllib.request.urlopen(address, timeout=20) as answer:  # noqa: S310  # our own server
                page = json.load(answer)
            events += page["events"]
            if not page["events"] or page["next_after"] is None:
                return events
            after = page["next_after"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    server = RealServer(tmp_path)
    yield server
    server.kill()


def produce(url: str, session_id: str, spool: Path, events: int) -> int:
    """Run a producer and kill it with -9 after so many events; returns how many `emit` calls had returned."""
    command = [sys.executable, "-c", PRODUCER, url, session_id, str(spool)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        emitted = 0
        for _ in process.stdout:
            emitted += 1
            if emitted == events:
                process.send_signal(signal.SIGKILL)
                break
        emitted += sum(line.endswith("\n") for line in process.stdout)
    return emitted


def test_a_killed_producer_loses_no_event_that_emit_returned_from(server: RealServer, tmp_path: Path) -> None:
    """Every event that `emit` returned from is on disk or acknowledged when its process dies."""
    emitted = [produce(server.url, f"book-{n}", tmp_path / "spool", 500 * n + 1) for n in range(3)]
    report = deliver_spool(tmp_path / "spool", server.url, retry=QUICK)
    assert report.left == report.busy == report.refused == 0
    for n, count in enumerate(emitted):
        items = [event["current_item"] for event in server.events(f"book-{n}")]
        assert items == list(range(len(items)))
        assert len(items) >= count


def test_a_producer_killed_without_a_monitor_loses_nothing(server: RealServer, tmp_path: Path) -> None:
    """The same while the monitor is away: a later publisher for the same address delivers it, in order."""
    url = server.url
    server.kill()
    emitted = produce(url, "book", tmp_path / "spool", 3000)
    server.start()
    with Publisher(url, session_id="book", spool_dir=tmp_path / "spool", retry=QUICK) as publisher:
        publisher.emit("translation_completed")
        assert publisher.flush(30)
    events = server.events("book")
    items = [event["current_item"] for event in events[:-1]]
    assert items == list(range(len(items)))
    assert len(items) >= emitted
    assert events[-1]["type"] == "translation_completed"


def test_a_server_killed_again_and_again_loses_and_doubles_nothing(
    server: RealServer, tmp_path: Path
) -> None:
    """An outage or a restart of the server loses nothing, and the same ids are one event."""
    chance = random.Random(7)
    ids: list[str] = []
    with Publisher(server.url, session_id="book", spool_dir=tmp_path / "spool", retry=QUICK) as publisher:
        stop = threading.Event()

        def emit() -> None:
            while not stop.wait(0.0005):
                ids.append(publisher.emit("translation_progress", current_item=len(ids)))

        emitter = threading.Thread(target=emit)
        emitter.start()
        try:
            for _ in range(5):
                target = publisher.stats.acked + chance.randrange(1, 400)
                while publisher.stats.acked < target:
                    stop.wait(0.002)
                server.kill()
                server.start()
        finally:
            stop.set()
            emitter.join()
        ids.append(publisher.emit("translation_completed"))
        assert publisher.flush(30)
        assert publisher.stats.reconnects >= 5
    events = server.events("book")
    assert [event["id"] for event in events] == ids
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
