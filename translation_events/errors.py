"""The errors people and programs meet, each with a stable code.

Errors carry data; the edge that shows one (WebSocket frame, HTTP problem, terminal line) turns it into words.
Source: docs/protocol.md, "Errors".
"""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """Stable codes of an error frame, a problem document and `translation_events_rejected_total{reason}`."""

    INVALID_JSON = "invalid_json"
    INVALID_EVENT = "invalid_event"
    TOO_LARGE = "too_large"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    READ_ONLY = "read_only"
    LOG_UNAVAILABLE = "log_unavailable"

    @property
    def final(self) -> bool:
        """True where sending the same event again cannot help."""
        return self not in (ErrorCode.RATE_LIMITED, ErrorCode.LOG_UNAVAILABLE)


class MonitorError(Exception):
    """Root of all errors this project raises on purpose.

    `code` is stable and for programs; `detail` is one sentence for people, free of secrets, paths of other
    people's machines and document text.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class InvalidEvent(MonitorError):
    """An event that can never be taken. `field` names the part at fault, `event_id` the producer's own id."""

    def __init__(
        self, code: ErrorCode, detail: str, *, field: str | None = None, event_id: str | None = None
    ) -> None:
        super().__init__(code, detail)
        self.field = field
        self.event_id = event_id


class LogUnavailable(MonitorError):
    """The event log cannot be written or read just now; `since` is Unix seconds. Worth a resend."""

    def __init__(self, detail: str, *, since: float) -> None:
        super().__init__(ErrorCode.LOG_UNAVAILABLE, detail)
        self.since = since


class LogDamaged(MonitorError):
    """The event log on disk cannot be used at all; `detail` says what is wrong and what to do."""

    def __init__(self, detail: str) -> None:
        super().__init__("log_damaged", detail)


class ConfigError(MonitorError):
    """A setting is wrong: `detail` names it, what was found and what is allowed."""

    def __init__(self, detail: str) -> None:
        super().__init__("bad_config", detail)
