"""The sections of the configuration: one struct each, every field with its name, range, default and help."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from service.secret import Secret
from service.setting import Setting
from service.web_address import WEB_ADDRESS, is_public_address, is_trace_address, is_web_address

DEFAULT_PORT: Final = 8090
_SQLITE: Final = "sqlite:///"
_ORIGIN: Final = re.compile(r"https?://[^/\s@*]+|null")
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_PLANNED: Final = "Known from earlier files."

_NotNegative = Annotated[float, Meta(ge=0)]
_Count = Annotated[int, Meta(ge=0)]


def _is_event_log_url(url: str) -> bool:
    return url == "memory:" or (url.startswith(_SQLITE) and len(url) > len(_SQLITE))


def _are_origins(origins: tuple[str, ...]) -> bool:
    return all(_ORIGIN.fullmatch(origin) for origin in origins)


def _is_address(text: str) -> bool:
    return _ADDRESS.fullmatch(text) is not None


def _level_name(level: object) -> object:
    if not isinstance(level, str):
        return level
    return {"warn": "warning"}.get(level.lower(), level.lower())


class ServerConfig(msgspec.Struct, frozen=True):
    """Where the server listens and what it takes."""

    host: Annotated[
        str,
        Meta(min_length=1),
        Setting(
            help="Address to listen on. One that is not loopback needs `server.insecure` as well, "
            "because there is no authentication yet.",
            env="MONITOR_HOST",
            flag="--host",
            allowed="a host name or an IP address",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Meta(ge=0, le=65535),
        Setting(help="Port to listen on; 0 takes any free one.", env="MONITOR_SERVER_PORT", flag="--port"),
    ] = DEFAULT_PORT
    max_connections: Annotated[
        int,
        Meta(ge=1, le=1_000_000),
        Setting(
            help="WebSocket connections at a time; a tenth of the places is kept for publishers.",
            env="MONITOR_MAX_CONNECTIONS",
            flag="--max-connections",
        ),
    ] = 100
    max_event_bytes: Annotated[
        int,
        Meta(ge=1024, le=16 * 1024 * 1024),
        Setting(help="Bytes of one event and of one WebSocket frame.", env="MONITOR_MAX_EVENT_BYTES"),
    ] = 64 * 1024
    public_url: Annotated[
        str | None,
        Setting(
            help="Where people reach the monitor, for the links on traces and in notifications; without it `http://HOST:PORT`.",
            env="MONITOR_PUBLIC_URL",
            check=is_web_address,
            allowed=WEB_ADDRESS,
        ),
    ] = None
    allowed_hosts: Annotated[
        tuple[str, ...],
        Setting(
            help="Names by which the server may be addressed (`Host`), besides loopback and `server.host`.",
            env="MONITOR_ALLOWED_HOSTS",
        ),
    ] = ()
    insecure: Annotated[
        bool,
        Setting(
            help="Listen on an address that is not loopback although anyone who can reach it may read "
            "and publish.",
            env="MONITOR_INSECURE",
            flag="--insecure",
        ),
    ] = False

    @property
    def is_loopback(self) -> bool:
        """True where only this machine can reach `host`."""
        return is_loopback(self.host)


class SecurityConfig(msgspec.Struct, frozen=True):
    """Who may ask."""

    cors_origins: Annotated[
        tuple[str, ...],
        Setting(
            help="Origins whose pages may talk to the server besides its own.",
            env="MONITOR_CORS_ORIGINS",
            check=_are_origins,
            allowed='a list of origins like "https://monitor.example.org" or "null"; "*" is not allowed',
        ),
    ] = ()
    enable_auth: Annotated[
        bool, Setting(help="Not available yet: `true` stops the start instead of pretending.")
    ] = False
    jwt_secret: Annotated[
        Secret | None,
        Setting(help=_PLANNED, env="MONITOR_JWT_SECRET", is_secret=True, in_force=False),
    ] = None
    api_key_header: Annotated[str | None, Setting(help=_PLANNED, in_force=False)] = None
    rate_limit_rps: Annotated[_NotNegative | None, Setting(help=_PLANNED, in_force=False)] = None
    rate_limit_burst: Annotated[_Count | None, Setting(help=_PLANNED, in_force=False)] = None


class EventLogConfig(msgspec.Struct, frozen=True):
    """Where events are kept, and for how long. Times are seconds."""

    url: Annotated[
        str,
        Setting(
            help="The event log. `sqlite:///events.db` is a path relative to the working directory, "
            "`sqlite:////var/lib/events.db` (four slashes) an absolute one; `memory:` forgets at the end. "
            "Default: `translation-monitor/events.db` under `$XDG_STATE_HOME` or `~/.local/state`.",
            env="MONITOR_EVENT_LOG",
            flag="--event-log",
            check=_is_event_log_url,
            allowed="sqlite:///PATH or memory: (nats:// is not available yet)",
        ),
    ] = ""
    events_per_session: Annotated[
        int,
        Meta(ge=1, le=10_000_000),
        Setting(
            help="The newest events of a session that are always kept; older ones go in the background.",
            env="MONITOR_EVENTS_PER_SESSION",
        ),
    ] = 1000
    session_timeout_s: Annotated[
        float,
        Meta(gt=0),
        Setting(
            help="A session without an event for this long is ended as `timed_out`.",
            env="MONITOR_SESSION_TIMEOUT",
            key="session_timeout",
            is_duration=True,
        ),
    ] = 86_400.0
    stalled_after_s: Annotated[
        float,
        Meta(gt=0),
        Setting(
            help="A running session without an event for this long is shown as `stalled`.",
            env="MONITOR_STALLED_AFTER",
            key="stalled_after",
            is_duration=True,
        ),
    ] = 300.0
    retention_s: Annotated[
        float,
        Meta(gt=0),
        Setting(
            help="An ended session is forgotten this long after its end.",
            env="MONITOR_HISTORY_RETENTION",
            key="retention",
            is_duration=True,
        ),
    ] = 604_800.0

    @property
    def path(self) -> Path | None:
        """The file of an SQLite log; None for `memory:`."""
        return Path(self.url.removeprefix(_SQLITE)).expanduser() if self.url.startswith(_SQLITE) else None


class TelemetryConfig(msgspec.Struct, frozen=True):
    """What goes out and what is looked at beside the events.

    `otlp` are the standard `OTEL_*` variables as they are (headers may be secret: never shown).
    """

    otlp: Mapping[str, str] = {}
    alertmanager_url: Annotated[
        Secret | None,
        Setting(
            help="Alertmanager, whose firing alerts the monitor page then shows. Secret, as it may hold a "
            "name and a password (`https://NAME:PASSWORD@HOST`).",
            env="MONITOR_ALERTMANAGER_URL",
            is_secret=True,
            check=is_web_address,
            allowed=WEB_ADDRESS,
        ),
    ] = None
    runbooks_url: Annotated[
        str | None,
        Setting(
            help="Where this project's files can be read; put before `docs/runbooks/…` in the links of "
            "alerts. Without it the page shows the path alone.",
            env="MONITOR_ALERT_RUNBOOKS_URL",
            check=is_web_address,
            allowed=WEB_ADDRESS,
        ),
    ] = None
    grafana_url: Annotated[
        str | None,
        Setting(
            help="Where people reach Grafana with the dashboards: the page then links sessions there.",
            env="MONITOR_GRAFANA_URL",
            check=is_public_address,
            allowed=f"{WEB_ADDRESS} and holds no name and password",
        ),
    ] = None
    trace_url: Annotated[
        str | None,
        Setting(
            help="Where people see one trace, with `{trace_id}` in its place, such as "
            "`http://127.0.0.1:16686/trace/{trace_id}` for Jaeger: the page then links sessions there.",
            env="MONITOR_TRACE_URL",
            check=is_trace_address,
            allowed="an address that begins with http:// or https:// and holds {trace_id}",
        ),
    ] = None

    notify: Annotated[
        tuple[Secret, ...],
        Setting(
            help="Where people are told that a session has ended, failed or gone quiet or a worker is down: "
            "addresses of Apprise, like `ntfys://ntfy.sh/TOPIC` "
            "([notifications](notifications.md)); needs the extra `notify`. The flag may be repeated.",
            env="MONITOR_NOTIFY",
            flag="--notify",
            is_secret=True,
            check=_is_address,
            allowed="addresses like ntfys://ntfy.sh/TOPIC (in an environment variable: separated by commas "
            "or white space)",
        ),
    ] = ()

    def __repr__(self) -> str:
        return f"TelemetryConfig(otlp=<{', '.join(sorted(self.otlp)) or 'nothing set'}>)"


class LoggingConfig(msgspec.Struct, frozen=True):
    """What the server's own log looks like."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Setting(
            help="The least severe record that is written.",
            env="LOG_LEVEL",
            flag="--log-level",
            normalise=_level_name,
        ),
    ] = "info"
    format: Annotated[
        Literal["text", "json"],
        Setting(
            help="Text for people or one JSON object a line.", env="MONITOR_LOG_FORMAT", flag="--log-format"
        ),
    ] = "text"


def is_loopback(host: str) -> bool:
    """True for `localhost` and the loopback addresses (127.0.0.0/8, ::1)."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
