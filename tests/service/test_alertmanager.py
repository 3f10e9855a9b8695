"""`/alerts` and its panel on the page, against a real Alertmanager and against ones that misbehave."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import expect

from service import alertmanager as reader
from service.secret import Secret
from tests.alerting import Server as Program
from tests.alerting import alertmanager, answering, until
from tests.browser import browsing, faults
from tests.monitor_server import StartServer
from tests.otlp_receiver import free_port
from tests.rule_files import ROOT

DOWN = {
    "labels": {"alertname": "TranslationWorkerDown", "severity": "critical", "job": "m", "worker": "gpu-1"},
    "annotations": {
        "summary": "Worker gpu-1 is down",
        "description": "No probe of gpu-1 has passed for 90 s.",
        "runbook_url": "docs/runbooks/TranslationWorkerDown.md",
    },
    "startsAt": "2026-01-02T03:04:05Z",
}
SLOW = {
    "labels": {"alertname": "TranslationWorkerSlow", "severity": "warning", "job": "m", "worker": "gpu-1"},
    "annotations": {"summary": "Worker gpu-1 is slow"},
}
STALLED = {
    "labels": {
        "alertname": "TranslationSessionStalled",
        "severity": "warning",
        "job": "m",
        "session_id": "book",
    },
    "annotations": {
        "summary": "<b>quiet</b>",
        "runbook_url": "javascript:alert(1)",
    },
}
FOREIGN = {"labels": {"alertname": "SomebodyElsesDisk", "severity": "critical"}}
WATCHDOG = {"labels": {"alertname": "TranslationWatchdog", "severity": "none"}}


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reading is a new one; nobody waits for the remembered one to age."""
    monkeypatch.setattr(reader, "FRESH_S", 0.0)


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[Program]:
    """The shipped Alertmanager configuration, which notifies nobody."""
    config = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
    async with alertmanager(tmp_path, config, free_port()) as program:
        yield program


def telemetry(url: str, **more: Any) -> dict[str, Any]:
    """The section that names an Alertmanager."""
    return {"alertmanager_url": Secret(url), **more}


async def test_firing_alerts_are_told_the_worst_first(manager: Program, start: StartServer) -> None:
    """Ours alone, with since when, the runbook's address, worker and session; nothing else's."""
    server = await start(telemetry=telemetry(manager.url, runbooks_url="https://git.example.org/monitor"))
    await manager.post("/api/v2/alerts", [WATCHDOG, STALLED, SLOW, DOWN, FOREIGN])

    async def told() -> Any:
        answer = await server.get("/alerts")
        inhibited = [alert for alert in answer["alerts"] or () if alert["inhibited"]]
        return answer if len(answer["alerts"] or ()) == 4 and inhibited else None

    answer = await until(told, "Alertmanager tells four alerts, one inhibited")
    assert (answer["configured"], answer["reachable"], answer["problem"], answer["left_out"]) == (
        True,
        True,
        None,
        0,
    )
    down, stalled, watchdog, slow = answer["alerts"]
    assert down == {
        "name": "TranslationWorkerDown",
        "severity": "critical",
        "summary": "Worker gpu-1 is down",
        "description": "No probe of gpu-1 has passed for 90 s.",
        "since": 1767323045.0,
        "runbook_url": "https://git.example.org/monitor/docs/runbooks/TranslationWorkerDown.md",
        "silenced": False,
        "inhibited": False,
        "worker": "gpu-1",
    }
    assert (stalled["session_id"], stalled["runbook_url"]) == ("book", None)
    assert watchdog["name"] == "TranslationWatchdog"
    assert (slow["name"], slow["inhibited"]) == ("TranslationWorkerSlow", True)


async def test_a_silenced_alert_says_so(manager: Program, start: StartServer) -> None:
    """Somebody knows already: it is still firing."""
    server = await start(telemetry=telemetry(manager.url))
    await manager.post("/api/v2/alerts", [DOWN])
    silence = {
        "matchers": [{"name": "worker", "value": "gpu-1", "isRegex": False, "isEqual": True}],
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2126-01-01T00:00:00Z",
        "createdBy": "test",
        "comment": "known",
    }
    await manager.post("/api/v2/silences", silence)

    async def silenced() -> bool:
        alerts = (await server.get("/alerts"))["alerts"]
        return [alert["silenced"] for alert in alerts or ()] == [True]

    await until(silenced, "the alert is silenced")


async def test_without_an_address_nothing_is_asked(start: StartServer) -> None:
    """Not configured is neither "no alerts" nor an outage."""
    server = await start()
    assert await server.get("/alerts") == {"configured": False, "reachable": False, "alerts": None}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"not here", 404, "HTTP 404"),
        (b"", 302, "HTTP 302"),
        (b"<html>", 200, "not a list of alerts"),
        (b'[{"labels": {}}]', 200, "not a list of alerts"),
        (b"[" + b" " * reader.MAX_ANSWER_BYTES + b"]", 200, "over 4 MiB"),
    ],
)
async def test_a_wrong_answer_is_never_no_alerts(
    start: StartServer, body: bytes, status: int, said: str
) -> None:
    """What cannot be read is said as such, bounded in size, and no redirect is followed."""
    async with answering(body, status=status) as url:
        server = await start(telemetry=telemetry(url))
        answer = await server.get("/alerts")
    assert (answer["configured"], answer["reachable"], answer["alerts"]) == (True, False, None)
    assert said in answer["problem"]


async def test_one_that_is_gone_is_said_with_since_when(start: StartServer) -> None:
    """`since` stays while it is away, and the password in its address is nowhere."""
    server = await start(telemetry=telemetry(f"http://ana:hush@127.0.0.1:{free_port()}"))
    first, second = await server.get("/alerts"), await server.get("/alerts")
    assert first["alerts"] is second["alerts"] is None
    assert first["problem"] == "Alertmanager cannot be reached (Connection refused)."
    assert first["since"] == second["since"]
    assert second["read_at"] > first["read_at"]
    assert "hush" not in str(first)


async def test_a_silent_one_holds_nothing_up(start: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks waits a bounded time; meanwhile events are taken and relayed."""
    monkeypatch.setattr(reader, "TIMEOUT_S", 0.6)
    async with answering(b"[]", delay_s=30) as url:
        server = await start(telemetry=telemetry(url))
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(server.get("/alerts"), name="ask")
            began = time.monotonic()
            status, _ = await server.post({"type": "translation_started", "session_id": "s"})
            assert status == 200
            assert time.monotonic() - began < 0.5
            assert not asked.done()
    assert asked.result()["problem"] == "Alertmanager did not answer within 0.6 s."


async def test_many_who_look_ask_once(start: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pages are open, Alertmanager is asked at most once in a while."""
    monkeypatch.setattr(reader, "FRESH_S", 60.0)
    async with answering(b"[]") as url:
        server = await start(telemetry=telemetry(url))
        answers = await asyncio.gather(*(server.get("/alerts") for _ in range(20)))
    assert {answer["read_at"] for answer in answers} == {answers[0]["read_at"]}
    assert answers[0]["alerts"] == []


@pytest.mark.slow
async def test_the_page_shows_what_is_firing_and_what_it_does_not_know(
    tmp_path: Path, start: StartServer
) -> None:
    """Sorted, as text, with links; a page without an address has no panel, an outage is said in words."""
    plain = await start()
    port = free_port()
    config = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
    server = await start(
        telemetry=telemetry(f"http://127.0.0.1:{port}", runbooks_url="https://git.example.org/m/")
    )
    async with browsing() as open_page, AsyncExitStack() as stack:
        manager = await stack.enter_async_context(alertmanager(tmp_path, config, port))
        await manager.post("/api/v2/alerts", [STALLED, DOWN, SLOW])

        async def inhibited() -> bool:
            alerts = (await server.get("/alerts"))["alerts"]
            return any(alert["inhibited"] for alert in alerts or ())

        await until(inhibited, "one alert covers another")
        without = await open_page(plain.url)
        await expect(without.locator("#alerts")).to_be_hidden()

        page = await open_page(server.url)
        panel = page.get_by_role("region", name="Alerts")
        await expect(panel.locator(".alert .summary")).to_have_text(
            ["Worker gpu-1 is down", "<b>quiet</b>", "Worker gpu-1 is slow"]
        )
        await expect(panel.locator("#alerts-note")).to_contain_text("2 firing · 1 silenced or covered")
        await expect(panel.locator("#alerts-note")).to_contain_text("the watchdog is missing")
        runbook = panel.get_by_role("link", name="Runbook")
        await expect(runbook).to_have_attribute(
            "href", "https://git.example.org/m/docs/runbooks/TranslationWorkerDown.md"
        )
        await expect(panel.get_by_role("link", name="Session book")).to_have_attribute(
            "href", "/monitor?session=book"
        )
        for scheme in ("dark", "light"):
            bare = await open_page(server.url, color_scheme=scheme, bypass_csp=True)
            await expect(bare.locator(".alert")).to_have_count(3)
            assert await faults(bare) == [], scheme
        await panel.get_by_role("button", name="Worker gpu-1").first.click()
        await expect(page.locator("#workers")).to_have_attribute("open", "")
        await stack.aclose()

        page = await open_page(server.url)
        note = page.locator("#alerts-note")
        await expect(note).to_contain_text("Not known which alerts are firing, since")
        await expect(note).to_contain_text("Alertmanager cannot be reached (Connection refused).")
        await expect(page.locator(".alert")).to_have_count(0)


async def test_the_password_in_its_address_is_used(start: StartServer) -> None:
    """`https://NAME:PASSWORD@HOST`, as for any address."""
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.json_response([])

    app = web.Application()
    app.router.add_get("/am/api/v2/alerts", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    server = await start(telemetry=telemetry(f"http://ana:hush@127.0.0.1:{port}/am/"))
    assert (await server.get("/alerts"))["alerts"] == []
    await runner.cleanup()
    assert seen == [f"Basic {base64.b64encode(b'ana:hush').decode()}"]
