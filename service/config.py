"""The configuration: everything the server may be told, checked once, before anything is opened.

The only module of the service that reads the environment (given as a mapping). Command line before
environment before file before default. Source: docs/configuration.md, which is made from the sections.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from service.config_distributed import (
    DistributedConfig,
    TranslationConfig,
    WorkerConfig,
    read_distributed,
    read_translation,
)
from service.config_sections import (
    DEFAULT_PORT,
    EventLogConfig,
    LoggingConfig,
    SecurityConfig,
    ServerConfig,
    TelemetryConfig,
    is_loopback,
)
from service.config_sources import Sources, open_sources
from service.setting import settings_of
from translation_events.errors import ConfigError

__all__ = [
    "DEFAULT_PORT",
    "SECTIONS",
    "Config",
    "DistributedConfig",
    "EventLogConfig",
    "LoggingConfig",
    "SecurityConfig",
    "ServerConfig",
    "TelemetryConfig",
    "TranslationConfig",
    "WorkerConfig",
    "default_event_log",
    "is_loopback",
    "load_config",
]


class Config(msgspec.Struct, frozen=True):
    """The whole configuration; `warnings` are sentences to show once at the start."""

    server: ServerConfig = ServerConfig()
    security: SecurityConfig = SecurityConfig()
    event_log: EventLogConfig = EventLogConfig(url="memory:")
    telemetry: TelemetryConfig = TelemetryConfig()
    translation: TranslationConfig = TranslationConfig()
    distributed: DistributedConfig = DistributedConfig()
    logging: LoggingConfig = LoggingConfig()
    revision: str = "unknown"
    warnings: tuple[str, ...] = ()


SECTIONS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "server": ServerConfig,
    "security": SecurityConfig,
    "event_log": EventLogConfig,
    "telemetry": TelemetryConfig,
    "translation": TranslationConfig,
    "distributed": DistributedConfig,
    "logging": LoggingConfig,
}


def load_config(
    *, environ: Mapping[str, str], argv_overrides: Mapping[str, Any] | None = None, file: Path | None = None
) -> Config:
    """Read and check the configuration; `argv_overrides` maps `section.key` to a value (None: not given).

    Without `file`, `MONITOR_CONFIG` names it.
    Raises: ConfigError naming the setting, what was found and what is allowed.
    """
    sources = open_sources(SECTIONS, environ=environ, overrides=argv_overrides or {}, file=file)
    url_default = {"url": f"sqlite:///{default_event_log(environ)}"}
    config = Config(
        server=sources.read(ServerConfig, "server"),
        security=sources.read(SecurityConfig, "security"),
        event_log=sources.read(EventLogConfig, "event_log", defaults=url_default),
        telemetry=_read_telemetry(sources),
        translation=read_translation(sources),
        distributed=read_distributed(sources),
        logging=sources.read(LoggingConfig, "logging"),
    )
    _check(config)
    return msgspec.structs.replace(
        config,
        revision=environ.get("MONITOR_REVISION") or "unknown",
        warnings=tuple(sources.all_warnings()),
    )


def default_event_log(environ: Mapping[str, str]) -> Path:
    """Where the event log lives unless told otherwise (XDG: a relative `XDG_STATE_HOME` is ignored)."""
    state = Path(environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        state = Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    return state / "translation-monitor" / "events.db"


def _check(config: Config) -> None:
    if config.security.enable_auth:
        raise ConfigError(
            "security.enable_auth is true, but authentication is not available yet; set it to false and "
            "listen on loopback (reach it through an SSH tunnel or a proxy that authenticates)."
        )
    if not config.server.is_loopback and not config.server.insecure:
        raise ConfigError(
            f"server.host is {config.server.host!r}: anyone who can reach it could read and publish, because "
            "there is no authentication yet. Listen on 127.0.0.1, or accept that with --insecure."
        )


def _read_telemetry(sources: Sources) -> TelemetryConfig:
    settings = settings_of(TelemetryConfig, "telemetry")
    given = sources.section("telemetry", known=("otlp", *(known.key for known in settings)))
    try:
        otlp = msgspec.convert(given.get("otlp", {}), dict[str, str])
    except msgspec.ValidationError as err:
        raise ConfigError("telemetry.otlp is wrong; allowed: an object of OTEL_* names and texts.") from err
    if unknown := [name for name in otlp if not name.startswith("OTEL_")]:
        raise ConfigError(f"telemetry.otlp.{unknown[0]} is not known; allowed: names that begin with OTEL_.")
    from_environ = {name: value for name, value in sources.environ.items() if name.startswith("OTEL_")}
    telemetry = sources.build(TelemetryConfig, "telemetry", given)
    return msgspec.structs.replace(telemetry, otlp={**otlp, **from_environ})
