"""`sessions`: the list, one session in full, exports."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cli.export import COLUMNS, csv_lines, csv_row
from tests.monitor_process import MonitorProcess

from .conftest import Run


@pytest.fixture(autouse=True)
async def _with_two_sessions(environ: dict[str, str], monitor: MonitorProcess) -> None:
    environ["MONITOR_URL"] = monitor.url
    events: list[dict[str, Any]] = [
        {"type": "translation_started", "session_id": "done", "total_items": 2},
        {"type": "translation_error", "session_id": "done", "message": '=HYPERLINK("x")', "error": "-1"},
        {"type": "translation_completed", "session_id": "done", "progress": 100, "mine": {"a": 1}},
        {"type": "translation_progress", "session_id": "open", "progress": 42, "message": "глава \x1b[2J"},
    ]
    async with aiohttp.ClientSession() as client, client.post(f"{monitor.url}/events", json=events) as answer:
        assert answer.status == 200, await answer.text()


async def test_the_list_has_the_active_and_the_ended(run: Run) -> None:
    """`sessions` shows what runs and what has ended."""
    ended = await run("sessions")
    assert (ended.code, ended.err) == (0, "")
    header, active, done = ended.out.splitlines()
    assert header.split()[:4] == ["session", "kind", "status", "%"]
    assert active.split()[:4] == ["open", "translation", "running", "42"]
    assert done.split()[:4] == ["done", "translation", "completed_with_failures", "100"]


async def test_the_list_can_be_narrowed(run: Run) -> None:
    """`--status` and `--search` mean the same for active and ended sessions."""
    assert "done" not in (await run("sessions", "--status", "running")).out
    assert "open" not in (await run("sessions", "--status", "completed_with_failures")).out
    found = json.loads((await run("sessions", "--search", "ГЛАВА", "--json")).out)
    assert [session["session_id"] for session in found["sessions"]] == ["open"]
    assert (await run("sessions", "--search", "nothing")).out == "No session matches.\n"


async def test_one_session_is_shown_in_full(run: Run, monitor: MonitorProcess) -> None:
    """`sessions show ID` shows every field; its text cannot steer the terminal."""
    shown = (await run("sessions", "show", "open")).out
    summary = await monitor.get("/sessions/open")
    assert [line.split()[0] for line in shown.splitlines()] == list(summary)
    assert "глава \ufffd[2J" in shown
    assert json.loads((await run("sessions", "show", "done", "--json")).out)["errors"] == 1


async def test_an_unknown_session_is_a_failure(run: Run) -> None:
    """Exit code 1 and one line."""
    for arguments in (("show", "nobody"), ("export", "nobody")):
        ended = await run("sessions", *arguments)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith("translation-monitor: No such session")
        assert len(ended.err.splitlines()) == 1


async def test_exports_hold_the_same_events(run: Run, monitor: MonitorProcess) -> None:
    """JSON, NDJSON and CSV tell the same story, in order."""
    events = (await monitor.get("/sessions/done/events"))["events"]
    whole = json.loads((await run("sessions", "export", "done")).out)
    assert whole["events"] == events
    assert whole["session"]["status"] == "completed_with_failures"
    lines = (await run("sessions", "export", "done", "--format", "ndjson")).out.splitlines()
    assert [json.loads(line) for line in lines] == events
    rows = list(csv.DictReader(io.StringIO((await run("sessions", "export", "done", "--format", "csv")).out)))
    assert [row["type"] for row in rows] == [event["type"] for event in events]
    assert [int(row["seq"]) for row in rows] == [1, 2, 3]
    assert rows[0]["total_items"] == "2"
    assert json.loads(rows[2]["other"]) == {"mine": {"a": 1}}


async def test_the_report_is_the_servers(run: Run, tmp_path: Path) -> None:
    """`--format html` writes one page that needs nothing else."""
    file = tmp_path / "done.html"
    assert await run("sessions", "export", "done", "--format", "html", "-o", str(file)) == (0, "", "")
    page = file.read_text()
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")
    assert "Translation completed with failures" in page
    assert "<script" not in page
    ended = await run("sessions", "export", "nobody", "--format", "html")
    assert (ended.code, ended.out) == (1, "")


async def test_an_export_appears_whole_or_not_at_all(run: Run, tmp_path: Path) -> None:
    """A file is written aside and put in its place at the end."""
    file = tmp_path / "out" / "done.json"
    ended = await run("sessions", "export", "done", "-o", str(file))
    assert ended.code == 1
    assert f"{file} cannot be written: No such file or directory" in ended.err
    file.parent.mkdir()
    assert await run("sessions", "export", "done", "-o", str(file)) == (0, "", "")
    assert len(json.loads(file.read_text())["events"]) == 3
    before = file.read_bytes()
    assert (await run("sessions", "export", "nobody", "-o", str(file))).code == 1
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["done.json"]


async def test_a_long_session_is_exported_page_by_page(run: Run, monitor: MonitorProcess) -> None:
    """More events than one page holds come out complete and in order."""
    many = [{"type": "translation_progress", "session_id": "long"} for _ in range(1500)]
    async with aiohttp.ClientSession() as client, client.post(f"{monitor.url}/events", json=many) as answer:
        assert answer.status == 200
    lines = (await run("sessions", "export", "long", "--format", "ndjson")).out.splitlines()
    seqs = [json.loads(line)["seq"] for line in lines]
    assert seqs == list(range(seqs[0], 1505))
    assert len(seqs) >= 1000


def test_no_cell_is_a_formula() -> None:
    """A spreadsheet must not run what an event says."""
    for start in "=+-@\t\r":
        row = csv_row({"seq": 1, "message": f"{start}cmd|' /C calc'!A0", "step": "a=b", "current_item": -5})
        cells = dict(
            zip(COLUMNS, next(csv.reader(io.StringIO(csv_lines([row]).decode(), newline=""))), strict=True)
        )
        assert cells["message"].startswith(f"'{start}")
        assert (cells["step"], cells["current_item"]) == ("a=b", "-5")
