"""docs/configuration.md, made from the settings themselves: `python -m service.config_reference > FILE`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from service.config import SECTIONS, WorkerConfig
from service.config_distributed import EngineConfig
from service.secret import Secret
from service.setting import KnownSetting, settings_of

HEAD: Final = """\
# Configuration

<!-- Made by `python -m service.config_reference > FILE` from the settings; change those, not this page. -->

A value is looked for on the command line, then in the environment, then in the configuration file, then the
default holds. The file is JSON and is named by `--config FILE` or `MONITOR_CONFIG`; its keys are the names
below, `section.key`. An empty environment variable counts as not set. Durations are seconds (`300`) or text
(`90s`, `24h`, `7d`); lists in the environment are separated by commas.

A wrong value stops the start and says where it stands, what was found and what is allowed. So does an unknown
key inside a known section; other sections are ignored with one warning. A secret is never shown; wherever a
variable holds one, `NAME_FILE` may name a file that holds it instead.

Under Kubernetes, a service called `monitor-server` makes the cluster set `MONITOR_SERVER_PORT` to an address
(`tcp://…`): call it something else, or set `enableServiceLinks: false`.
"""

TAIL: Final = """\
## Traces

The standard `OTEL_*` variables are taken as they are (`OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_EXPORTER_OTLP_PROTOCOL`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, …). The file may hold the
same names as texts under `telemetry.otlp`; the environment wins. Without an endpoint nothing is sent.

## The build

`MONITOR_REVISION` is the commit that the server was built from; the container image sets it. It is the label
`revision` of the metric `translation_build_info`, and `unknown` where it is not set.

## Read by the commands, not by the server

| environment | flag | what it is |
| --- | --- | --- |
| `MONITOR_CONFIG` | `--config` | the configuration file |
| `MONITOR_URL` | `--monitor` | the monitor to publish to or look at; `http://127.0.0.1:8090` unless set |
| `MONITOR_SPOOL_DIR` | `emit --spool` | where a publisher keeps what could not be delivered yet |
"""


def render() -> str:
    """The whole page."""
    sections = [_section(name, struct) for name, struct in SECTIONS.items() if settings_of(struct, name)]
    return "\n".join([HEAD, *sections, TAIL])


def _section(name: str, struct: type[msgspec.Struct]) -> str:
    lines = [f"## {name}", "", *_table(settings_of(struct, name))]
    if name == "distributed":
        lines += [
            "",
            "Each worker, `distributed.workers.ID` (the variables are those of the worker `default`):",
            "",
            *_table(settings_of(WorkerConfig, "…ID")),
            "",
            "Its engine, `distributed.workers.ID.engine`, is an object of:",
            "",
            *_table(settings_of(EngineConfig, "…ID.engine")),
        ]
    return "\n".join([*lines, ""])


def _table(settings: Sequence[KnownSetting]) -> Iterator[str]:
    yield "| key | environment | flag | default | allowed | what it does |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for known in settings:
        setting = known.setting
        env = f"`{setting.env}`" if setting.env else "–"
        if setting.env and setting.is_secret:
            env += f" `{setting.env}_FILE`"
        flag = f"`{setting.flag}`" if setting.flag else "–"
        does = setting.help if setting.in_force else f"{setting.help} Not in force yet."
        cells = (f"`{known.path}`", env, flag, _default(known), known.allowed, does)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(known: KnownSetting) -> str:
    default = known.default
    if default is msgspec.NODEFAULT:
        return "must be given"
    if default in (None, "", (), {}) or isinstance(default, Secret | Mapping):
        return "–"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


if __name__ == "__main__":
    sys.stdout.write(render())
