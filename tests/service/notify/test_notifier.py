"""People are told over real HTTP by a real server: once, through outages, restarts and kills."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from service.config_distributed import WorkerConfig
from service.notify import notifier, receiver
from service.notify.receiver import receivers_of
from service.secret import Secret
from tests import alerting
from tests.monitor_process import MonitorProcess
from tests.monitor_server import Server, StartServer, config_with, event, running, until
from tests.push_service import PushService, push_service
from tests.sshd import Sshd
from translation_events.errors import ConfigError


@pytest.fixture
async def push() -> AsyncIterator[PushService]:
    """A service that tells people."""
    async with push_service() as service:
        yield service


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again soon."""
    monkeypatch.setattr(notifier, "FIRST_BACKOFF_S", 0.05)
    monkeypatch.setattr(notifier, "MAX_BACKOFF_S", 0.2)
    monkeypatch.setattr(notifier, "LOOK_EVERY_S", 0.05)


def telling(*urls: str) -> dict[str, Any]:
    """The section that names whom to tell."""
    return {"notify": tuple(map(Secret, urls))}


def failing(session_id: str) -> list[dict[str, Any]]:
    """A session that fails."""
    return [
        event(session_id, "translation_started", total_items=9),
        event(session_id, "translation_error", error="secret", error_type="timeout", fatal=True),
    ]


async def until_counted(server: Server, outcome: str, count: int) -> None:
    """Wait until the metrics say so: the receiver knows before the server does."""
    wanted = f'translation_notifications_total{{outcome="{outcome}"}} {count:.1f}'

    async def counted() -> bool:
        return wanted in await server.metrics()

    await alerting.until(counted, wanted, 10.0)


def waiting(page: str) -> dict[str, int]:
    """How many notices the metrics say are waiting, by receiver."""
    found = re.findall(r'^translation_notifications_waiting\{receiver="(.+?)"\} (\d+)', page, re.MULTILINE)
    return {receiver: int(count) for receiver, count in found}


async def test_an_end_is_told_to_a_webhook_and_over_ntfy(push: PushService, start: StartServer) -> None:
    """Both get the same message once, with the password of the address and the public link."""
    server = await start(
        telemetry=telling(push.json_url, push.ntfy_url), server={"public_url": "https://m.example.org/"}
    )
    await server.post(failing("book"))
    await until(lambda: len(push.messages) == 2, "both are told")
    (title, body), other = push.messages
    assert (title, body) == other
    assert title == "Translation failed: book"
    assert body.splitlines()[-1] == "https://m.example.org/monitor?session=book"
    assert "secret" not in body
    assert push.authorization == {"Basic YW5hOmh1c2g="}
    await until_counted(server, "sent", 2)


@pytest.mark.usefixtures("_impatient")
async def test_a_stall_and_its_end_are_told_once_each(push: PushService, start: StartServer) -> None:
    """Stalled, running again, completed: three messages."""
    server = await start(telemetry=telling(push.json_url), event_log={"stalled_after_s": 0.3})
    await server.post(event("book", "translation_started"))
    await until(lambda: push.titles == ["Translation stalled: book"], "the stall is told")
    await server.post(event("book"))
    await until(lambda: push.titles[1:] == ["Running again: book"], "that it runs is told")
    await server.post(event("book", "translation_completed", failed_items=0))
    await until(lambda: push.titles[2:] == ["Translation completed: book"], "the end is told")


@pytest.mark.usefixtures("_impatient")
async def test_a_worker_down_and_up_again_is_told(push: PushService, sshd: Sshd, start: StartServer) -> None:
    """A real worker that is stopped and started."""
    worker = WorkerConfig(
        host="127.0.0.1",
        port=sshd.port,
        user=sshd.account.user,
        key_file=(str(sshd.account.key),),
        remote_dir=str(sshd.remote_dir),
        max_capacity=4,
    )
    await start(
        telemetry=telling(push.json_url),
        distributed={
            "known_hosts": str(sshd.known_hosts),
            "enabled": True,
            "workers": {"gpu-1": worker},
            "health_check_interval": 0.5,
        },
    )
    sshd.cut()
    await until(lambda: push.titles == ["Worker down: gpu-1"], "the worker is told down")
    assert push.messages[0][1].endswith("/enhanced-monitor.html#workers")
    sshd.start()
    await until(lambda: push.titles[1:] == ["Worker up again: gpu-1"], "the worker is told up")


@pytest.mark.usefixtures("_impatient")
async def test_a_receiver_that_refuses_is_tried_again(push: PushService, start: StartServer) -> None:
    """In order, counted, logged once without the address; another receiver does not wait for it."""
    push.status = 500
    async with push_service() as fine:
        with capture_logs() as logs:
            server = await start(telemetry=telling(push.json_url, fine.json_url))
            await server.post([*failing("a"), *failing("b")])
            await until(lambda: len(fine.messages) == 2, "the other is told")
            await until(lambda: push.tries >= 3, "it is tried again")
            assert waiting(await server.metrics()) == {"1 (json)": 2, "2 (json)": 0}
            push.status = 200
            await until(lambda: len(push.messages) == 2, "it is told")
        assert push.titles == fine.titles == ["Translation failed: a", "Translation failed: b"]
    warnings = [line for line in logs if line["event"].startswith("notice not taken")]
    assert [(line["receiver"], line["why"]) for line in warnings] == [("1 (json)", "HTTP 500")]
    assert "hush" not in str(logs)
    await until_counted(server, "sent", 4)
    assert waiting(await server.metrics()) == {"1 (json)": 0, "2 (json)": 0}
    assert 'translation_notifications_total{outcome="failed"} 0.0' not in await server.metrics()


@pytest.mark.usefixtures("_impatient")
async def test_a_restart_repeats_nothing_and_loses_nothing(push: PushService, tmp_path: Path) -> None:
    """Told stays told; what waited is told by the next life, to whom it was not told before."""
    config = config_with(tmp_path / "events.db", telemetry=telling(push.json_url))
    async with running(config) as server:
        await server.post(failing("told"))
        await until(lambda: push.titles == ["Translation failed: told"], "the first is told")
        await push.stop()
        await server.post(failing("waits"))
    await push.start()
    async with running(config) as server:
        await until(lambda: push.titles[1:] == ["Translation failed: waits"], "the second is told")
        await server.post(failing("new"))
        await until(lambda: push.titles[2:] == ["Translation failed: new"], "the third is told")
    async with running(config):
        pass
    assert len(push.messages) == 3


async def test_what_was_there_before_is_no_news(push: PushService, tmp_path: Path) -> None:
    """Who switches notifications on is not told a week of history."""
    path = tmp_path / "events.db"
    async with running(config_with(path)) as server:
        await server.post(failing("old"))
    async with running(config_with(path, telemetry=telling(push.json_url))) as server:
        await server.post(failing("new"))
        await until(lambda: bool(push.messages), "the new one is told")
    assert push.titles == ["Translation failed: new"]


async def test_a_kill_repeats_nothing_and_loses_nothing(push: PushService, tmp_path: Path) -> None:
    """`kill -9` between an end and its message, and after a message."""
    monitor = MonitorProcess(tmp_path / "events.db", environ={"MONITOR_NOTIFY": push.json_url})
    await monitor.start()
    await publish(monitor, failing("told"))
    await until(lambda: push.titles == ["Translation failed: told"], "the first is told")
    await push.stop()
    # Its delivery has been noted by the time the next one is tried.
    await publish(monitor, failing("waits"))
    await until(lambda: any("notice not taken" in line for line in monitor.log_lines), "it was tried")
    await monitor.kill()
    await push.start()
    await monitor.start()
    await until(lambda: push.titles[1:] == ["Translation failed: waits"], "the second is told")
    assert await monitor.stop() == 0
    assert len(push.messages) == 2
    assert "hush" not in "".join(monitor.log_lines)


async def publish(monitor: MonitorProcess, events: list[dict[str, Any]]) -> None:
    """Events over HTTP."""
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{monitor.url}/events", json=events) as answer,
    ):
        assert answer.status == 200


async def test_a_receiver_that_hangs_holds_up_neither_events_nor_the_end(
    push: PushService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread is left alone: events are answered at once, and the server ends in time."""
    monkeypatch.setattr(receiver, "TIMEOUT_S", 0.5)
    push.delay_s = 3.0
    async with running(config_with(telemetry=telling(push.json_url))) as server:
        await server.post(failing("book"))
        await until(lambda: push.tries == 1, "it is tried")
        began = time.monotonic()
        assert (await server.post(failing("other")))[0] == 200
        assert time.monotonic() - began < 0.5
        began = time.monotonic()
    assert time.monotonic() - began < 2.0


@pytest.mark.usefixtures("_impatient")
async def test_a_slow_receiver_is_told_once(
    push: PushService, start: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that answers after our patience has ended has taken the notice, and does not get it again."""
    monkeypatch.setattr(receiver, "TIMEOUT_S", 0.3)
    push.delay_s = 1.0
    server = await start(telemetry=telling(push.json_url))
    await server.post(failing("slow"))
    await until_counted(server, "sent", 1)
    assert 'translation_notifications_total{outcome="failed"} 0.0' not in await server.metrics()
    push.delay_s = 0.0
    await server.post(failing("next"))
    await until_counted(server, "sent", 2)
    assert push.titles == ["Translation failed: slow", "Translation failed: next"]
    assert push.tries == 2


def test_an_address_nobody_knows_stops_the_start() -> None:
    """By its number and kind, never the address."""
    with pytest.raises(ConfigError, match=r"address 1 \(pigeon://…\)") as caught:
        receivers_of([Secret("pigeon://hush")])
    assert "hush" not in caught.value.detail


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    with pytest.raises(ConfigError, match=r"pip install 'translation-monitor\[notify\]'"):
        receivers_of([Secret("json://127.0.0.1")])
    assert receivers_of([]) == []
