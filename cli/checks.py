"""The checks of `doctor`: each says what it found and, where something is wrong, what to do."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from cli.monitor_client import MonitorClient, Unreachable
from service.config import Config, EventLogConfig
from service.eventlog.sqlite_check import check_file
from service.notify.receiver import receivers_of
from service.port import holder_of, is_listening
from service.secret import Secret
from translation_events.errors import ConfigError, MonitorError
from translator.engines.apertium import installed_modes

FEW_FREE_BYTES: Final = 1_000_000_000
TOO_FEW_FREE_BYTES: Final = 50_000_000  # the log and the spool soon refuse events
CONNECT_TIMEOUT_S: Final = 3.0
KEYS: Final = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "DEEPSEEK_API_KEY")
_OTLP_PORTS: Final = {"grpc": 4317, "http/protobuf": 4318}


class State(StrEnum):
    """How a check ended; only `BROKEN` makes the exit code 1."""

    FINE = "fine"
    WARNING = "warning"
    BROKEN = "broken"


class Check(NamedTuple):
    """One finding: what was looked at, what was found, what to do ("" for nothing)."""

    name: str
    state: State
    found: str
    advice: str = ""


async def check_server(config: Config, monitor: MonitorClient) -> Check:
    """Whether our server runs at the configured address, or could."""
    url, port = monitor.address.url, config.server.port
    if port == 0:
        return Check("server", State.FINE, "port 0: any free one")
    try:
        health = await monitor.get("/health")
    except Unreachable:
        health = None
    except MonitorError:
        health = {}
    if health is None and not is_listening(port):
        return Check("server", State.FINE, f"none runs at {url}; the port is free")
    if not isinstance(health, dict) or health.get("component") != "ssh-monitor-server":
        holder = holder_of(port) or "another program"
        return Check(
            "server",
            State.BROKEN,
            f"port {port} is held by {holder}, which is no monitor",
            "stop that one, or choose another port with --port or MONITOR_SERVER_PORT",
        )
    try:
        await monitor.get("/readyz")
    except MonitorError as err:
        return Check(
            "server",
            State.BROKEN,
            f"runs at {url} but is not ready: {err.detail}",
            "read its log for the reason",
        )
    return Check("server", State.FINE, f"runs at {url}, {health.get('websockets')} WebSockets")


def check_event_log(config: EventLogConfig) -> Check:
    """Whether the event log can be written, and is whole."""
    path = config.path
    if path is None:
        return Check("event log", State.WARNING, "memory: everything is forgotten when the server ends")
    if not path.exists():
        folder = _nearest_folder(path.parent)
        if os.access(folder, os.W_OK | os.X_OK):
            return Check("event log", State.FINE, f"{path} does not exist yet and can be made")
        return Check(
            "event log",
            State.BROKEN,
            f"{path} does not exist and {folder} cannot be written",
            "give this account write access there, or another path with --event-log sqlite:///PATH",
        )
    try:
        return Check("event log", State.FINE, f"{path}: {check_file(path)}")
    except MonitorError as err:
        return Check("event log", State.BROKEN, err.detail)


def check_disk(config: EventLogConfig) -> Check:
    """Whether the disk of the event log has room."""
    folder = _nearest_folder(config.path.parent if config.path is not None else Path.cwd())
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB free in {folder}"
    if free < TOO_FEW_FREE_BYTES:
        return Check("disk", State.BROKEN, found, "make room, or put the event log elsewhere (--event-log)")
    if free < FEW_FREE_BYTES:
        return Check(
            "disk", State.WARNING, found, "make room before it is full: a full disk stops publishers"
        )
    return Check("disk", State.FINE, found)


def check_keys(environ: Mapping[str, str]) -> Iterator[Check]:
    """Which keys are set; never what they are."""
    for name in KEYS:
        key = environ.get(name)
        if not key:
            yield Check(name, State.FINE, "not set")
        elif key != key.strip():
            yield Check(name, State.BROKEN, "set, with white space around it", "set it again without")
        else:
            yield Check(name, State.FINE, "set")


def check_engines(environ: Mapping[str, str]) -> Check:
    """Which engines `translate` finds."""
    found = []
    if environ.get("OPENAI_API_KEY") or environ.get("OPENAI_BASE_URL"):
        found.append(f"llm at {_shown(environ.get('OPENAI_BASE_URL')) or 'the OpenAI API'}")
    if modes := installed_modes():
        found.append(f"apertium ({', '.join(sorted(modes)[:8])}{' …' if len(modes) > 8 else ''})")
    found.append("glossary (a small word list, to try things out)")
    advice = "" if len(found) > 1 else "set OPENAI_BASE_URL or OPENAI_API_KEY, or install apertium and a pair"
    return Check("engines", State.FINE if len(found) > 1 else State.WARNING, "; ".join(found), advice)


def check_otlp(otlp: Mapping[str, str]) -> Check:
    """Whether something takes connections where traces go."""
    if otlp.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Check("traces", State.FINE, "OTEL_SDK_DISABLED is true: none are sent")
    endpoint = otlp.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or otlp.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if not endpoint:
        return Check("traces", State.FINE, "no OTLP endpoint is set: none are sent")
    protocol = (
        otlp.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or otlp.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "grpc"
    )
    try:
        parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
        host, port = parts.hostname, parts.port or _OTLP_PORTS.get(protocol, 4317)
    except ValueError:
        host, port = None, 0
    if host is None:
        return Check(
            "traces",
            State.BROKEN,
            "the OTLP endpoint is not an address",
            "use one like http://127.0.0.1:4317",
        )
    advice = "start the collector, or correct OTEL_EXPORTER_OTLP_ENDPOINT"
    return _check_port("traces", f"the OTLP endpoint {host}:{port}", host, port, advice)


def _check_port(name: str, what: str, host: str, port: int, advice: str) -> Check:
    """Whether `what` takes connections; `advice` is for where it does not."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as err:
        return Check(name, State.BROKEN, f"{what} takes no connection ({err.strerror or err})", advice)
    return Check(name, State.FINE, f"{what} takes connections")


def check_alertmanager(address: Secret | None) -> Check:
    """Whether something takes connections where alerts are read."""
    if not address:
        return Check("alerts", State.FINE, "no Alertmanager is set: the page shows no alerts")
    parts = urlsplit(address.reveal())
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    advice = "start it, or correct MONITOR_ALERTMANAGER_URL"
    return _check_port("alerts", f"Alertmanager at {host}:{port}", host, port, advice)


def check_notify(addresses: Sequence[Secret]) -> Check:
    """Whether people can be told at these addresses; sends nothing."""
    if not addresses:
        return Check("notify", State.FINE, "no address is set: nobody is told")
    try:
        receivers = receivers_of(addresses)
    except ConfigError as err:
        return Check("notify", State.BROKEN, err.detail, "correct it: the server will not start")
    return Check("notify", State.FINE, f"people are told at {', '.join(one.name for one in receivers)}")


def check_spool(folder: Path) -> Check:
    """Whether publishers have left events behind."""
    sizes = [path.stat().st_size for path in folder.glob("*/*/*.ndjson")] if folder.is_dir() else []
    if not sum(sizes):
        return Check("spool", State.FINE, "nothing waits")
    return Check(
        "spool",
        State.WARNING,
        f"up to {max(1, sum(sizes) // 1000)} kB of events wait in {folder}",
        f"a publisher that runs delivers them; else: translation-monitor emit --spool {folder}",
    )


def _nearest_folder(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _shown(url: str | None) -> str:
    """An address without what may be secret in it."""
    if not url:
        return ""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
