"""The event as everything behind the ingest sees it: typed fields beside the producer's own bytes.

Source: docs/protocol.md, "The event".
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

SAFE_INTEGER: Final = 2**53 - 1  # larger integers lose digits in a browser's JSON.parse


class EventType(StrEnum):
    """The closed set of event types; `SESSION_ENDED` comes only from the server."""

    TRANSLATION_STARTED = "translation_started"
    TRANSLATION_PROGRESS = "translation_progress"
    TRANSLATION_COMPLETED = "translation_completed"
    TRANSLATION_ERROR = "translation_error"
    TRANSLATION_CANCELLED = "translation_cancelled"
    STEP_COMPLETED = "step_completed"
    CONVERSION_STARTED = "conversion_started"
    CONVERSION_PROGRESS = "conversion_progress"
    CONVERSION_COMPLETED = "conversion_completed"
    CONVERSION_ERROR = "conversion_error"
    WORKER_STATUS = "worker_status"
    SESSION_ENDED = "session_ended"


class ErrorType(StrEnum):
    """Classes of failure; a producer's unknown one counts as `OTHER`."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    REFUSED = "refused"
    AUTH = "auth"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    SERVER_ERROR = "server_error"
    INVALID_RESPONSE = "invalid_response"
    EMPTY = "empty"
    REFUSAL = "refusal"
    BAD_OUTPUT = "bad_output"
    WORKER_LOST = "worker_lost"
    HOST_KEY = "host_key"
    ENGINE_DOWN = "engine_down"
    DISK_FULL = "disk_full"
    READ_FAILED = "read_failed"
    WRITE_FAILED = "write_failed"
    UNSUPPORTED_FORMAT = "unsupported_format"
    CANCELLED = "cancelled"
    BUDGET = "budget"
    INTERNAL = "internal"
    OTHER = "other"

    @classmethod
    def of(cls, value: str | None) -> ErrorType:
        """The class named `value`, `OTHER` for anything unknown or absent."""
        return _ERROR_TYPES.get(value or "", cls.OTHER)


_ERROR_TYPES: Final = {e.value: e for e in ErrorType}

Count = Annotated[int, Meta(ge=0, le=SAFE_INTEGER)]
Amount = Annotated[float, Meta(ge=0, le=1e9)]  # one absurd value would swamp a sum until the end of time
Name = Annotated[str, Meta(max_length=256)]


class WorkerInfo(msgspec.Struct, gc=False, frozen=True):
    """Which worker did the work; taken at the top level and inside `data`."""

    host: Name | None = None
    port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    type: Name | None = None
    model: Name | None = None
    capacity: Count | None = None
    name: Name | None = None

    @property
    def label(self) -> str | None:
        """The worker's name where no configured one matches: `name`, else `host:port` (22 if absent)."""
        if self.name:
            return self.name
        return f"{self.host}:{self.port or 22}" if self.host else None


class Usage(msgspec.Struct, gc=False, frozen=True):
    """What was consumed since the producer's previous event carrying `usage`; never cumulative."""

    provider: Name | None = None
    model: Name | None = None
    worker: Name | None = None
    requests: Count = 1
    result: Name = "success"
    duration_s: Amount | None = None
    input_tokens: Count = 0
    output_tokens: Count = 0
    prefill_s: Amount | None = None
    decode_s: Amount | None = None
    cost_usd: Amount | None = None
    cache: Literal["hit", "miss", "none"] | None = None


class EventData(msgspec.Struct, gc=False, frozen=True):
    """The parts of `data` that are read here; whatever else it holds is kept and relayed."""

    worker_info: WorkerInfo | None = None
    items_done: Any = None
    items_resumed: Any = None
    engine: Any = None
    model: Any = None


class Slots(msgspec.Struct, gc=False, frozen=True):
    """A worker's slots: how many it offers and how many are busy."""

    capacity: Count | None = None
    active: Count | None = None


class ProbeReport(msgspec.Struct, gc=False, frozen=True):
    """How a worker's last probe ended, and the seconds it took."""

    result: Name
    duration_s: Amount | None = None


class Phases(msgspec.Struct, gc=False, frozen=True):
    """An engine's own counters since its start, by phase."""

    prefill: Annotated[float, Meta(ge=0)] | None = None
    decode: Annotated[float, Meta(ge=0)] | None = None


class GpuReport(msgspec.Struct, gc=False, frozen=True):
    """One GPU of a worker's host."""

    index: Count
    utilization_ratio: Annotated[float, Meta(ge=0, le=1)] | None = None
    memory_used_bytes: Annotated[float, Meta(ge=0)] | None = None
    memory_total_bytes: Annotated[float, Meta(ge=0)] | None = None


class WorkerStatus(msgspec.Struct, gc=False, frozen=True):
    """`data` of a `worker_status` event."""

    worker: Annotated[str, Meta(min_length=1, max_length=256)]
    state: Literal["up", "degraded", "wedged", "draining", "down", "unknown"]
    reason: str | None = None
    since: float | None = None
    layer: str | None = None
    probe: ProbeReport | None = None
    slots: Slots | None = None
    tokens_total: Phases | None = None
    busy_s_total: Phases | None = None
    gpu: Annotated[list[GpuReport], Meta(max_length=64)] | None = None


class SessionEnd(msgspec.Struct, gc=False, frozen=True):
    """What the server says in `session_ended`."""

    status: Literal["failed", "timed_out", "lost"]
    reason: str = ""


class Event(msgspec.Struct, gc=False, rename={"raw": "\ue000"}):
    """One event as a producer sent it, validated.

    `raw` is the producer's own JSON object on one line, its `timestamp` already Unix seconds; `timestamp` is
    Unix seconds or None (the server's time is then used). Unknown fields live in `raw` alone.
    """

    type: str
    session_id: Annotated[str, Meta(min_length=1)] = ""
    step: Name | None = None
    message: str | None = None
    progress: Annotated[float, Meta(ge=0, le=100)] | None = None
    current_item: str | Annotated[int, Meta(ge=-SAFE_INTEGER, le=SAFE_INTEGER)] | None = None
    total_items: Count | None = None
    timestamp: int | float | str | None = None
    error: str | None = None
    data: EventData | None = None
    worker_info: WorkerInfo | None = None
    id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    traceparent: str | None = None
    usage: Usage | Annotated[list[Usage], Meta(max_length=64)] | None = None
    error_type: str | None = None
    fatal: bool | None = None
    failed_items: Count | None = None
    # Not the producer's to set; declared so that setting one is an error which names it.
    seq: UnsetType = UNSET
    received_at: UnsetType = UNSET
    # Filled here, never from JSON: a key of one private-use character is refused or overwritten.
    raw: bytes | UnsetType = UNSET

    @property
    def worker(self) -> WorkerInfo | None:
        """`worker_info` wherever the producer put it; the top level wins."""
        if self.worker_info is not None:
            return self.worker_info
        return self.data.worker_info if self.data is not None else None

    @property
    def usages(self) -> Sequence[Usage]:
        """`usage` as a list, empty if absent."""
        if self.usage is None:
            return ()
        return self.usage if isinstance(self.usage, list) else (self.usage,)

    @property
    def json(self) -> bytes:
        """The producer's object as bytes of JSON on one line."""
        return self.raw if isinstance(self.raw, bytes) else b""


class StoredEvent(NamedTuple):
    """An event the log holds: durable, numbered, encoded once.

    `body` is the JSON object as relayed (the producer's plus `seq`, `received_at` and, if it was absent,
    `timestamp`); `received_at` is Unix seconds; `node` names the replica that took the event in.
    """

    seq: int
    received_at: float
    node: str
    event: Event
    body: bytes
