"""Bytes to `Event`: decoded and validated once, in one pass, on the way in, and numbered on the way out.

The relayed body is the producer's own object with the server's fields spliced in, so unknown fields survive.
Source: docs/protocol.md, "The event".
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec
import orjson

from translation_events.errors import ErrorCode, InvalidEvent
from translation_events.event import Event, EventType, SessionEnd, StoredEvent, WorkerStatus

MAX_NESTING: Final = 32
MAX_EVENT_BYTES: Final = 64 * 1024
MILLISECONDS_ABOVE: Final = 1e11  # Unix seconds reach 1e11 in the year 5138; anything above is milliseconds
LATEST_TIMESTAMP_S: Final = 253_402_300_799.0  # 9999-12-31, the last one RFC 3339 can write

SESSION_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
RESERVED_SESSION_IDS: Final = frozenset({".", "..", "history"})
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_WORKER_STATUS: Final = EventType.WORKER_STATUS.value
_CLIENT_TYPES: Final = frozenset(e.value for e in EventType if e is not EventType.SESSION_ENDED)
_FROM_CLIENTS: Final = ", ".join(e.value for e in EventType if e is not EventType.SESSION_ENDED)

_decode: Final = msgspec.json.Decoder(Event).decode
_decode_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_status: Final = msgspec.json.Decoder(WorkerStatus).decode
_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"missing required field `(?P<name>[^`]*)`")
_STRUCTURE: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


def decode_event(
    raw: bytes | bytearray | memoryview,
    *,
    session_id: str | None = None,
    max_bytes: int = MAX_EVENT_BYTES,
    internal: bool = False,
) -> Event:
    """Decode and validate one event; `session_id` fills a missing one, `internal` lifts server-only rules.

    Raises: InvalidEvent: `too_large`, `invalid_json` or `invalid_event` with the field at fault.
    Cost: about 3 µs for an event of 340 bytes.  Source: docs/protocol.md, "The event".
    """
    raw = bytes(raw)
    if len(raw) > max_bytes:
        raise InvalidEvent(
            ErrorCode.TOO_LARGE,
            f"The event has {len(raw)} bytes; at most {max_bytes} are allowed.",
        )
    try:
        # Counting openings bounds the depth from above; only a suspicious event pays for the exact walk.
        if raw.count(b"{") + raw.count(b"[") > MAX_NESTING and _nests_too_deep(raw):
            raise InvalidEvent(ErrorCode.INVALID_JSON, f"The event nests deeper than {MAX_NESTING} levels.")
        # Unknown fields are relayed as they came, so all must be what a strict reader takes: UTF-8, whole
        # surrogate pairs, numbers that a double can hold. A third of the cost.
        orjson.loads(raw)
        event = _decode(raw)
        _check(event, internal=internal, session_id=session_id)
        timestamp = None if event.timestamp is None else unix_seconds(event.timestamp)
        if event.type == _WORKER_STATUS:
            _check_worker_status(raw)
    except orjson.JSONDecodeError as err:
        raise _unreadable(raw, err) from err
    except msgspec.ValidationError as err:
        raise _explain(err, raw) from err
    except (msgspec.DecodeError, RecursionError) as err:
        raise InvalidEvent(ErrorCode.INVALID_JSON, f"The event is not a JSON object: {err}.") from err
    except InvalidEvent as err:
        err.event_id = err.event_id or event_id_of(raw)
        raise
    if raw.find(10) >= 0 or raw.find(13) >= 0 or raw.find(9) >= 0:
        # Valid JSON has these only between tokens (escaped inside strings), so dropping them changes nothing.
        raw = raw.translate(None, b"\n\r\t")  # `in` would first try its bytes as a number, for 0.1 µs each
    raw = raw.strip(b" ")
    if not event.session_id and session_id is not None:
        event.session_id = session_id
        raw = b'{"session_id":"%s",%s' % (session_id.encode(), raw.lstrip(b"{ "))
    if timestamp != event.timestamp or (timestamp is None and b'"timestamp"' in raw):
        members = _decode_members(raw)
        if timestamp is None:
            members.pop("timestamp", None)  # an explicit null: the server's time takes its place
        else:
            members["timestamp"] = msgspec.Raw(msgspec.json.encode(timestamp))
        raw = msgspec.json.encode(members)
        event.timestamp = timestamp
    event.raw = raw
    return event


def stored_body(event: Event, seq: int, received_at: float) -> bytes:
    """The JSON object as relayed: the producer's own with the server's fields spliced in at its end."""
    return spliced_body(event, seq, seconds_text(received_at))


def spliced_body(event: Event, seq: int, received_at: bytes) -> bytes:
    """The same, `received_at` written by `seconds_text`: a group of events writes it once."""
    members = event.json[:-1]
    if event.timestamp is None:
        return b'%b,"timestamp":%b,"seq":%d,"received_at":%b}' % (members, received_at, seq, received_at)
    return b'%b,"seq":%d,"received_at":%b}' % (members, seq, received_at)


def seconds_text(seconds: float) -> bytes:
    """Unix seconds to the microsecond, as relayed."""
    return b"%.6f" % seconds


class _StoredEventWire(Event, gc=False, kw_only=True, rename={"raw": "\ue000"}):
    seq: int  # type: ignore[assignment]  # what a client may not set, the log's own body carries
    received_at: float  # type: ignore[assignment]


_decode_stored: Final = msgspec.json.Decoder(_StoredEventWire).decode


def read_stored(body: bytes, *, node: str = "") -> StoredEvent:
    """Decode a body that `stored_body` made. Raises: msgspec.DecodeError if the bytes are damaged."""
    event = _decode_stored(body)
    return StoredEvent(event.seq, event.received_at, node, event, body)


def session_end_of(body: bytes) -> SessionEnd:
    """The verdict in a `session_ended` event's body."""
    return msgspec.json.decode(body, type=SessionEnd)


def worker_status_of(body: bytes) -> WorkerStatus:
    """`data` of a `worker_status` event's body."""
    return _decode_status(_decode_members(body)["data"])


def event_id_of(raw: bytes) -> str | None:
    """The producer's id of an event that was refused, if one can be made out (never raises)."""
    try:
        value = msgspec.json.decode(_decode_members(raw)["id"])
    except (msgspec.DecodeError, KeyError, UnicodeDecodeError, RecursionError):
        return None
    return value[:128] if isinstance(value, str) else None


def check_session_id(session_id: str, *, internal: bool = False) -> None:
    """Raises: InvalidEvent naming `session_id` and what is allowed."""
    if not _may_name_a_session(session_id):
        raise InvalidEvent(
            ErrorCode.INVALID_EVENT,
            "session_id must be 1 to 128 characters of A-Z a-z 0-9 . _ : - and not '.', '..' or 'history'.",
            field="session_id",
        )
    if session_id[0] == "_" and not internal:
        raise InvalidEvent(
            ErrorCode.INVALID_EVENT,
            "A session_id that begins with '_' is the server's own; choose another.",
            field="session_id",
        )


@lru_cache(maxsize=4096)
def _may_name_a_session(session_id: str) -> bool:
    """Remembered, because most events belong to a session that has had one before: 0.06 instead of 0.3 µs."""
    return SESSION_ID.fullmatch(session_id) is not None and session_id not in RESERVED_SESSION_IDS


def unix_seconds(timestamp: int | float | str) -> int | float:
    """Unix seconds of a timestamp in any of its three forms (seconds, milliseconds, RFC 3339 text).

    Raises: InvalidEvent naming `timestamp`.
    """
    seconds: int | float
    if isinstance(timestamp, str):
        try:
            moment = datetime.fromisoformat(timestamp.upper())  # RFC 3339 allows t and z
        except ValueError as err:
            raise _bad_timestamp() from err
        if len(timestamp) < len("2026-01-01T00:00:00") or timestamp[10] not in "Tt ":
            raise _bad_timestamp()
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    else:
        seconds = timestamp / 1000 if timestamp > MILLISECONDS_ABOVE else timestamp
    if not 0 <= seconds <= LATEST_TIMESTAMP_S:
        raise _bad_timestamp()
    return seconds


def _bad_timestamp() -> InvalidEvent:
    return InvalidEvent(
        ErrorCode.INVALID_EVENT,
        "timestamp must be Unix seconds, Unix milliseconds (above 1e11) or RFC 3339 text, from 1970 to 9999.",
        field="timestamp",
    )


def _check(event: Event, *, internal: bool, session_id: str | None) -> None:
    if event.type not in _CLIENT_TYPES and not (internal and event.type == EventType.SESSION_ENDED):
        raise InvalidEvent(ErrorCode.INVALID_EVENT, f"type must be one of {_FROM_CLIENTS}.", field="type")
    if event.session_id:
        check_session_id(event.session_id, internal=internal)
    elif session_id is None:
        raise InvalidEvent(ErrorCode.INVALID_EVENT, "session_id is missing.", field="session_id")
    else:  # the one that fills it is the client's as well: it may view `_workers`, not write there
        check_session_id(session_id, internal=internal)
    if event.traceparent is not None and not _TRACEPARENT.fullmatch(event.traceparent):
        raise InvalidEvent(
            ErrorCode.INVALID_EVENT,
            "traceparent must have the W3C form 00-<32 hex digits>-<16 hex digits>-<2 hex digits>.",
            field="traceparent",
        )


def _unreadable(raw: bytes, err: orjson.JSONDecodeError) -> InvalidEvent:
    """Why a strict reader refuses the bytes: not UTF-8, not JSON, or a number that no double holds."""
    try:
        raw.decode()
        members = _decode_members(raw)
    except UnicodeDecodeError as fault:
        return InvalidEvent(ErrorCode.INVALID_JSON, f"The event is not valid UTF-8 (byte {fault.start}).")
    except (msgspec.DecodeError, RecursionError):
        return InvalidEvent(ErrorCode.INVALID_JSON, f"The event is not a JSON object: {err}.")
    field = next((name for name, member in members.items() if not _readable(bytes(member))), None)
    return InvalidEvent(
        ErrorCode.INVALID_EVENT,
        f"{field or 'The event'} holds a number out of range.",
        field=field,
        event_id=event_id_of(raw),
    )


def _readable(member: bytes) -> bool:
    try:
        orjson.loads(member)
    except orjson.JSONDecodeError:
        return False
    return True


def _check_worker_status(raw: bytes) -> None:
    members = _decode_members(raw)
    if "data" not in members:
        raise InvalidEvent(ErrorCode.INVALID_EVENT, "A worker_status event needs data.", field="data")
    try:
        _decode_status(members["data"])
    except msgspec.ValidationError as err:
        raise _explain(err, raw, within="data") from err


def _explain(err: msgspec.ValidationError, raw: bytes, within: str = "") -> InvalidEvent:
    match = _AT.match(str(err))
    what, path = (match["what"], match["path"] or "") if match else (str(err), "")
    if missing := _MISSING.search(what):
        path = ".".join(filter(None, (path, missing["name"])))
        what = "is missing"
    elif path in ("seq", "received_at"):
        what = "is set by the server and may not be sent"
    else:
        what = what.replace("`", "").removesuffix(".")
        what = f"is wrong: {what[:1].lower()}{what[1:]}"
    if path == "\ue000":
        path = "\\ue000"
    field = ".".join(filter(None, (within, path))) or None
    return InvalidEvent(
        ErrorCode.INVALID_EVENT,
        f"{field} {what}." if field else "The event must be a JSON object.",
        field=field,
        event_id=event_id_of(raw),
    )


def _nests_too_deep(raw: bytes) -> bool:
    depth = 0
    for token in _STRUCTURE.finditer(raw):
        first = raw[token.start()]
        if first in b"[{":
            depth += 1
            if depth > MAX_NESTING:
                return True  # at once: 64 KiB of brackets take 20 ms to the end
        elif first in b"]}":
            depth -= 1
    return False
