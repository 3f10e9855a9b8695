"""The event, its life and the client library: `from translation_events import Publisher`."""

from translation_events.decode import decode_event
from translation_events.errors import ErrorCode, InvalidEvent, LogUnavailable, MonitorError
from translation_events.event import ErrorType, Event, EventType, StoredEvent
from translation_events.publisher import Publisher, PublisherStats
from translation_events.spool_delivery import SpoolReport, deliver_spool
from translation_events.version import __version__

__all__ = [
    "ErrorCode",
    "ErrorType",
    "Event",
    "EventType",
    "InvalidEvent",
    "LogUnavailable",
    "MonitorError",
    "Publisher",
    "PublisherStats",
    "SpoolReport",
    "StoredEvent",
    "__version__",
    "decode_event",
    "deliver_spool",
]
