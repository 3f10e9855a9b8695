"""What a delivery says about its monitor: once an outage and once a kind of fault, never once an attempt."""

from __future__ import annotations

from translation_events.client_log import client_log
from translation_events.replies import Reply


class OutageLog:
    """Remembers what has been said; `monitor` and `spool` are named in each line."""

    def __init__(self, monitor: str, spool: str) -> None:
        self._monitor = monitor
        self._spool = spool
        self._said: str | None = None
        self._faults: set[tuple[str, str | None]] = set()

    def outage(self, what: str, **fields: object) -> None:
        """Something keeps events from the monitor; they wait in the spool."""
        if self._said != what:
            self._said = what
            client_log().warning(
                f"{what}, events wait in the spool", monitor=self._monitor, spool=self._spool, **fields
            )

    def over(self, waiting: int) -> None:
        """The monitor takes events (again)."""
        if self._said is not None:
            self._said = None
            client_log().info("monitor reached again", monitor=self._monitor, waiting=waiting)

    def dropped(self, reply: Reply | None) -> None:
        """The monitor refused an event for good, or (None) a line of the spool is damaged."""
        code, field = ("damaged", None) if reply is None else (reply.code, reply.field)
        if (code, field) in self._faults:
            return
        self._faults.add((code, field))
        detail = "A line of the spool could not be read." if reply is None else reply.detail
        client_log().warning("event refused for good", code=code, field=field, detail=detail)
