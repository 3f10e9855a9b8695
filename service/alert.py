"""One alert as Alertmanager tells it, made into what `/alerts` shows. Pure.

Source: docs/protocol.md, "Shapes".
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from urllib.parse import urljoin

import msgspec

MAX_TEXT: Final = 1000  # rules write a sentence or two
SEVERITIES: Final = ("critical", "warning", "info", "none")


class Alert(msgspec.Struct, frozen=True, omit_defaults=True):
    """A firing alert; `since` is Unix seconds. `session_id` and `worker` are left out where none is meant.

    `severity` is what the rule says ("" where nothing). `silenced`: somebody has asked for silence;
    `inhibited`: another alert says it already. `runbook_url` is an address, or the path of one of our pages
    where it is not known where they can be read.
    """

    name: str
    severity: str
    summary: str
    description: str
    since: float
    runbook_url: str | None
    silenced: bool
    inhibited: bool
    session_id: str | None = None
    worker: str | None = None


class _Status(msgspec.Struct):
    silenced_by: list[str] = msgspec.field(name="silencedBy", default_factory=list)
    inhibited_by: list[str] = msgspec.field(name="inhibitedBy", default_factory=list)


class _Told(msgspec.Struct):
    labels: dict[str, str]
    annotations: dict[str, str]
    since: datetime = msgspec.field(name="startsAt")
    status: _Status


_decode: Final = msgspec.json.Decoder(list[_Told]).decode


def alerts_of(body: bytes, runbooks_url: str | None) -> list[Alert]:
    """The alerts of an answer of Alertmanager, the worst first and of those the newest.

    Raises: msgspec.DecodeError: it is not such an answer.
    """
    return sorted((_alert_of(told, runbooks_url) for told in _decode(body)), key=_order)


def _alert_of(told: _Told, runbooks_url: str | None) -> Alert:
    labels, annotations = told.labels, told.annotations
    return Alert(
        name=labels.get("alertname", "")[:MAX_TEXT],
        severity=labels.get("severity", "")[:MAX_TEXT],
        summary=annotations.get("summary", "")[:MAX_TEXT],
        description=annotations.get("description", "")[:MAX_TEXT],
        since=told.since.timestamp(),
        runbook_url=_runbook(annotations.get("runbook_url", "")[:MAX_TEXT], runbooks_url),
        silenced=bool(told.status.silenced_by),
        inhibited=bool(told.status.inhibited_by),
        session_id=labels.get("session_id"),
        worker=labels.get("worker"),
    )


def _runbook(path: str, base: str | None) -> str | None:
    """Our rules name a page by its path in the project."""
    if path.startswith("docs/") and base:
        return urljoin(f"{base.rstrip('/')}/", path)
    # Anything else but an address or a path could run in the page that links it.
    return path if path.startswith(("docs/", "http://", "https://")) else None


def _order(alert: Alert) -> tuple[bool, int, float, str]:
    # A severity nobody knows is looked at like a warning rather than lost.
    rank = SEVERITIES.index(alert.severity) if alert.severity in SEVERITIES else 1
    return alert.silenced or alert.inhibited, rank, -alert.since, alert.name
