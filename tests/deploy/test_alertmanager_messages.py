"""What people read: the messages of a real Alertmanager to Slack, ntfy and a mail server."""

from __future__ import annotations

import asyncio
import email
import email.policy
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.alerting import alertmanager, until, webhook
from tests.otlp_receiver import free_port
from tests.rule_files import ROOT

ALERT = {
    "labels": {"alertname": "TranslationWorkerDown", "severity": "critical", "job": "m", "worker": "gpu<1>"},
    "annotations": {
        "summary": "Worker gpu<1> is down",
        "description": "No probe of gpu<1> has passed for 90 s (up = 0).",
        "runbook_url": "docs/runbooks/TranslationWorkerDown.md",
    },
}
TITLE = "CRITICAL: Worker gpu<1> is down"
DESCRIPTION = ALERT["annotations"]["description"]
RUNBOOK = "Runbook: https://git.example.org/monitor/docs/runbooks/TranslationWorkerDown.md"


def render(config: Path, environ: dict[str, str]) -> Path:
    """The shipped configuration with receivers, told without the usual wait."""
    script = ROOT / "deploy" / "alertmanager" / "render.sh"
    subprocess.run(
        ("sh", script, config),
        timeout=30,
        check=True,
        env={
            "PATH": "/usr/bin:/bin",
            "MONITOR_ALERT_RUNBOOKS_URL": "https://git.example.org/monitor",
            **environ,
        },
    )
    config.write_text(config.read_text().replace("group_wait: 10s", "group_wait: 100ms"))
    return config


@asynccontextmanager
async def mail_server() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A mail server (RFC 5321) without TLS: its port and the messages it has taken."""
    taken: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org\r\n")
        while line := await reader.readline():
            if line.upper().startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                taken.append((await reader.readuntil(b"\r\n.\r\n")).removesuffix(b".\r\n"))
            writer.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], taken


async def heard(notes: Sequence[object]) -> bool:
    """Whether anything has come."""
    return bool(notes)


@pytest.mark.parametrize("way", ["slack", "ntfy"])
async def test_a_message_over_http_says_what_and_what_to_do(tmp_path: Path, way: str) -> None:
    """Slack gets a title, the description and the runbook's full address; ntfy formats it itself."""
    async with webhook() as received:
        variable = {"slack": "MONITOR_ALERT_SLACK_URL", "ntfy": "MONITOR_ALERT_NTFY_URL"}[way]
        config = render(tmp_path / "alertmanager.yml", {variable: received.url})
        async with alertmanager(tmp_path, config, free_port()) as server:
            await server.post("/api/v2/alerts", [ALERT])
            await until(lambda: heard(received.notes), "a message arrives")
    (note,) = received.notes
    if way == "slack":
        (message,) = note["attachments"]
        assert message["title"] == TITLE
        assert message["text"].splitlines()[0] == DESCRIPTION
        assert message["text"].splitlines()[-1] == RUNBOOK
    else:
        assert received.queries == ["template=alertmanager&priority=urgent"]
        assert note["alerts"][0]["annotations"] == ALERT["annotations"]


async def test_a_mail_says_what_and_what_to_do(tmp_path: Path) -> None:
    """As plain text: nothing in an alert can act as HTML."""
    async with mail_server() as (port, taken):
        environ = {
            "MONITOR_ALERT_EMAIL_TO": "on-call@example.org",
            "MONITOR_ALERT_EMAIL_FROM": "monitor@example.org",
            "MONITOR_ALERT_EMAIL_SMARTHOST": f"127.0.0.1:{port}",
            "MONITOR_ALERT_EMAIL_REQUIRE_TLS": "false",
        }
        config = render(tmp_path / "alertmanager.yml", environ)
        async with alertmanager(tmp_path, config, free_port()) as server:
            await server.post("/api/v2/alerts", [ALERT])
            await until(lambda: heard(taken), "a mail arrives")
    message = email.message_from_bytes(taken[0], policy=email.policy.default)
    assert (message["To"], message["Subject"]) == ("on-call@example.org", TITLE)
    (part,) = message.iter_parts()
    assert part.get_content_type() == "text/plain"
    lines = part.get_content().strip().splitlines()
    assert (lines[0], lines[-1]) == (DESCRIPTION, RUNBOOK)
