"""From the address in the configuration to an event log."""

from __future__ import annotations

from service.eventlog.memory import MemoryEventLog
from service.eventlog.sqlite import SqliteEventLog
from translation_events.errors import ConfigError
from translation_events.log import EventLog

_SQLITE = "sqlite:///"


async def open_log(url: str, *, node: str = "local") -> EventLog:
    """Open the log that `url` names: `sqlite:///PATH` or `memory:`.

    `sqlite:////var/lib/events.db` is absolute, `sqlite:///events.db` relative to the working directory.
    Raises: ConfigError: another address. LogDamaged: the file cannot be used; `detail` says what to do.
    """
    if url in ("memory:", "memory://"):
        return MemoryEventLog(node=node)
    path = url.removeprefix(_SQLITE)
    if path == url or not path.strip("/") or path.endswith("/"):
        raise ConfigError(
            f"event_log.url (--event-log, MONITOR_EVENT_LOG) is {url!r}; allowed are memory: and "
            "sqlite:///PATH (an absolute one has four slashes: sqlite:////var/lib/events.db)."
        )
    return await SqliteEventLog.open(path, node=node)
