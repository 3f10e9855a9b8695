"""Lighthouse on the page: how fast, how accessible, how sound a browser's own auditor finds it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.browser import CHROMIUM, HAS_CHROMIUM, progress
from tests.monitor_process import MonitorProcess
from tests.monitor_server import event
from tests.parts import need

WANTED: Final = 0.95
BEST_OF: Final = 3  # a run beside others is slower than the page is
RUN_WITHIN_S: Final = 75.0
CHROMIUM_FLAGS: Final = "--headless=new --no-sandbox --disable-dev-shm-usage"


@pytest.fixture
async def monitor(tmp_path: Path) -> AsyncIterator[MonitorProcess]:
    """A server with a session at work and one that has failed."""
    process = MonitorProcess(tmp_path / "events.db")
    await process.start()
    worker = {"host": "gpu-1", "port": 22, "type": "ssh"}
    events = [
        progress(3, 9, progress=33, data={"worker_info": worker}),
        event("other", "translation_error", error="No answer", error_type="timeout", fatal=True),
    ]
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{process.url}/events", json=events) as response,
    ):
        assert response.status == 200
    yield process
    await process.stop()


async def audit(url: str, tmp_path: Path, *, preset: str, categories: str) -> Mapping[str, float]:
    """The scores by category, 0 to 1; what lost points stands in the failure's text."""
    found = shutil.which("lighthouse")
    need(HAS_CHROMIUM, f"Chromium at {CHROMIUM}")
    need(found is not None, "Lighthouse on the PATH (npm install --global lighthouse)")
    assert found is not None
    report = tmp_path / "report.json"
    process = await asyncio.create_subprocess_exec(
        *(found, url, "--quiet", "--output=json", f"--output-path={report}"),
        *(f"--only-categories={categories}", "--disable-full-page-screenshot"),
        *(f"--chrome-flags={CHROMIUM_FLAGS}", *([f"--preset={preset}"] if preset else [])),
        env={**os.environ, "CHROME_PATH": str(CHROMIUM)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(RUN_WITHIN_S):
            _, said = await process.communicate()
    except TimeoutError:
        process.terminate()  # it ends its browser
        await process.communicate()
        raise
    assert process.returncode == 0, said.decode()[-2000:]
    result = json.loads(report.read_text())
    print("\n".join(lost(result)))
    return {name: category["score"] or 0.0 for name, category in result["categories"].items()}


def lost(result: Mapping[str, Any]) -> list[str]:
    """Each audit that took points, and what it found."""
    audits = result["audits"]
    return [
        f"{name}: {audits[one['id']]['title']} {audits[one['id']].get('displayValue', '')}"
        for name, category in result["categories"].items()
        for one in category["auditRefs"]
        if one["weight"] and audits[one["id"]]["score"] not in (None, 1)
    ]


@pytest.mark.slow
async def test_lighthouse_gives_the_page_at_least_95_on_a_desktop(
    monitor: MonitorProcess, tmp_path: Path
) -> None:
    """Performance, accessibility and best practices; the best of three."""
    best: dict[str, float] = {}
    for _ in range(BEST_OF):
        scores = await audit(
            f"{monitor.url}/monitor",
            tmp_path,
            preset="desktop",
            categories="performance,accessibility,best-practices",
        )
        best = {name: max(score, best.get(name, 0.0)) for name, score in scores.items()}
        if min(best.values()) >= WANTED:
            return
    pytest.fail(f"{best}")


@pytest.mark.slow
async def test_lighthouse_gives_a_session_at_least_95_on_a_phone(
    monitor: MonitorProcess, tmp_path: Path
) -> None:
    """Accessibility and best practices of the view of one session, as a phone shows it."""
    scores = await audit(
        f"{monitor.url}/monitor?session=book",
        tmp_path,
        preset="",
        categories="accessibility,best-practices",
    )
    assert min(scores.values()) >= WANTED, scores
