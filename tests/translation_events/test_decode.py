"""Every rule of the event, and one above all: what is relayed can be read by everyone."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from translation_events import ErrorCode, Event, EventType, InvalidEvent, decode_event
from translation_events.decode import MAX_EVENT_BYTES, event_id_of, read_stored, stored_body, worker_status_of

SEQ, RECEIVED_AT = 41, 1_790_000_000.25


def raw(**fields: Any) -> bytes:
    return json.dumps({"type": "translation_progress", "session_id": "book-1", **fields}).encode()


def relayed(body: bytes, **options: Any) -> dict[str, Any]:
    """What a viewer reads, after the checks that hold for every relayed event."""
    event = decode_event(body, **options)
    line = stored_body(event, SEQ, RECEIVED_AT)
    assert b"\n" not in line
    assert b"\r" not in line
    read: dict[str, Any] = json.loads(line)
    orjson.loads(line)
    assert (read["seq"], read["received_at"]) == (SEQ, RECEIVED_AT)
    stored = read_stored(line)
    assert (stored.seq, stored.received_at, stored.body) == (SEQ, RECEIVED_AT, line)
    assert stored.event.session_id == read["session_id"]
    return read


def refused(body: bytes, **options: Any) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as caught:
        decode_event(body, **options)
    return caught.value


def test_the_session_that_fills_a_missing_one_is_held_to_the_same_rules() -> None:
    """A connection may view the server's own session; what it publishes cannot land there."""
    raw = b'{"type":"translation_progress"}'
    assert decode_event(raw, session_id="book").session_id == "book"
    with pytest.raises(InvalidEvent) as refused:
        decode_event(raw, session_id="_workers")
    assert refused.value.field == "session_id"


def test_the_documented_event_is_relayed_as_it_is() -> None:
    """All fields keep their names and meaning; the server adds `seq` and `received_at`."""
    sent = {
        "type": "translation_progress",
        "session_id": "session-123",
        "step": "translation",
        "message": "Translating line 5/10",
        "progress": 55.0,
        "current_item": "line_5",
        "total_items": 10,
        "timestamp": 1640995200,
        "error": "none",
        "data": {"worker_info": {"host": "localhost", "port": 8444, "type": "ssh-llamacpp"}},
        "worker_info": {"host": "localhost", "port": 8444, "model": "llama-2-7b-chat", "capacity": 10},
    }
    assert relayed(json.dumps(sent).encode()) == sent | {"seq": SEQ, "received_at": RECEIVED_AT}


@pytest.mark.parametrize("kind", [e.value for e in EventType if e is not EventType.SESSION_ENDED])
def test_every_type_is_taken(kind: str) -> None:
    """The types a client may send."""
    data = {"worker": "w", "state": "up"} if kind == "worker_status" else {}
    assert relayed(raw(type=kind, data=data))["type"] == kind


@pytest.mark.parametrize(
    "kind", ["session_ended", "hello", "", "Translation_Started", "translation_started "]
)
def test_other_types_are_refused(kind: str) -> None:
    """`session_ended` comes only from the server; unknown types are an error that names the field."""
    err = refused(raw(type=kind, id="x"))
    assert (err.code, err.field, err.event_id) == (ErrorCode.INVALID_EVENT, "type", "x")


def test_the_server_may_end_a_session() -> None:
    """`session_ended` is appended by the server like any event."""
    body = raw(type="session_ended", status="failed", reason="r")
    assert decode_event(body, internal=True).type == "session_ended"


@pytest.mark.parametrize("missing", ["type", "session_id"])
def test_type_and_session_id_are_required(missing: str) -> None:
    """Required: `type`, `session_id`."""
    body = {"type": "translation_started", "session_id": "s"}
    del body[missing]
    assert refused(json.dumps(body).encode()).field == missing
    assert refused(json.dumps(body | {missing: None}).encode()).field == missing
    assert refused(json.dumps(body | {missing: 5}).encode()).field == missing


@pytest.mark.parametrize("body", [b'{ "type":"translation_started"}', b' {"type" : "translation_started" } '])
def test_a_missing_session_id_is_filled(body: bytes) -> None:
    """A connection's `session_id` fills a missing one."""
    assert relayed(body, session_id="conn")["session_id"] == "conn"
    assert relayed(raw(session_id="own"), session_id="conn")["session_id"] == "own"
    assert refused(raw(session_id=""), session_id="conn").field == "session_id"


@pytest.mark.parametrize("session_id", ["a", "A.b_c:d-9", "x" * 128, "...", "-", "History", "a_"])
def test_session_ids_that_are_taken(session_id: str) -> None:
    """`session_id`: 1–128 characters of `A-Z a-z 0-9 . _ : -`."""
    assert relayed(raw(session_id=session_id))["session_id"] == session_id


@pytest.mark.parametrize(
    "session_id",
    ["", ".", "..", "history", "x" * 129, "a b", "a/b", "ä", "a\n", "a\0", "*", "_workers", "_", "a%2e"],
)
def test_session_ids_that_are_refused(session_id: str) -> None:
    """Not `.`, `..` or `history`; a leading `_` is the server's own."""
    err = refused(raw(session_id=session_id))
    assert (err.code, err.field) == (ErrorCode.INVALID_EVENT, "session_id")


def test_the_service_may_use_its_own_session() -> None:
    """`session_id` is `_workers` from the service."""
    body = raw(type="worker_status", session_id="_workers", data={"worker": "w", "state": "up"})
    assert decode_event(body, internal=True).session_id == "_workers"


@pytest.mark.parametrize(
    ("field", "good"),
    [
        ("progress", [0, 100, 55.5, 0.0, 1e2, None]),
        ("total_items", [0, 10, 2**53 - 1, None]),
        ("current_item", ["line_5", "", 5, 0, -1, None]),
        ("step", ["translation", "", "x" * 256, None]),
        ("message", ["ü\u2028", "", None]),
        ("error", ["Connection timeout", None]),
        ("data", [{}, {"a": [1, {"b": None}]}, None]),
        ("worker_info", [{}, {"host": "h", "extra": 1}, None]),
        ("id", ["1", "x" * 128, "ж" * 128, None]),
        ("traceparent", ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None]),
        ("usage", [{}, [], [{}] * 64, {"cost_usd": 0.0, "cache": "none", "result": "anything"}, None]),
        ("error_type", ["timeout", "no such class", "", None]),
        ("fatal", [True, False, None]),
        ("failed_items", [0, 3, None]),
    ],
)
def test_values_that_are_taken(field: str, good: list[Any]) -> None:
    """Each field's type and range."""
    for value in good:
        assert relayed(raw(**{field: value}))[field] == value


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("progress", [-0.1, 100.001, "50", True, [], {}]),
        ("total_items", [-1, 1.5, "10", True, 2**53, []]),
        ("current_item", [1.5, True, [], {}, 2**53, -(2**53), 10**30]),
        ("step", [5, "x" * 257, [], True]),
        ("message", [5, {}, []]),
        ("error", [True, {}]),
        ("data", [[], "x", 5, True]),
        ("worker_info", [[], "x", 5]),
        ("id", [5, "", "x" * 129, [], True]),
        (
            "traceparent",
            [
                5,
                "",
                "00-x",
                "00-" + "0" * 32 + "-b7ad6b7169203331-01",
                "ff-" + "1" * 32 + "-" + "1" * 16 + "-01",
            ],
        ),
        ("usage", ["x", 5, [{}] * 65, True]),
        ("error_type", [5, []]),
        ("fatal", [1, "true", 0]),
        ("failed_items", [-1, 1.5, "3"]),
        ("seq", [1, "x", None]),
        ("received_at", [1.5, None]),
        ("timestamp", [True, [], {}, "yesterday", "", -1, 1e300, "2026-01-01", "12:00"]),
    ],
)
def test_values_that_are_refused(field: str, bad: list[Any]) -> None:
    """A field of the wrong type or out of range, or a client's own `seq`, names the field at fault."""
    for value in bad:
        err = refused(raw(**{"id": "e1", field: value}))
        assert (err.code, err.field) == (ErrorCode.INVALID_EVENT, field), value
        assert field == "id" or err.event_id == "e1"
        assert field in err.detail


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"worker_info": {"port": "x"}}, "worker_info.port"),
        ({"worker_info": {"port": 65536}}, "worker_info.port"),
        ({"worker_info": {"capacity": -1}}, "worker_info.capacity"),
        ({"data": {"worker_info": {"host": 5}}}, "data.worker_info.host"),
        ({"usage": {"requests": -1}}, "usage.requests"),
        ({"usage": {"cache": "maybe"}}, "usage.cache"),
        ({"usage": [{}, {"duration_s": "x"}]}, "usage[1].duration_s"),
        ({"usage": {"cost_usd": -0.1}}, "usage.cost_usd"),
    ],
)
def test_an_error_inside_an_object_names_the_path(fields: dict[str, Any], field: str) -> None:
    """An error that names the field, however deep."""
    assert refused(raw(**fields)).field == field


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [
        (1640995200, 1640995200),
        (1640995200.5, 1640995200.5),
        (0, 0),
        (99_999_999_999, 99_999_999_999),
        (1640995200123, 1640995200.123),
        ("2022-01-01T00:00:00Z", 1640995200),
        ("2022-01-01t00:00:00z", 1640995200),
        ("2022-01-01 00:00:00Z", 1640995200),
        ("2022-01-01T02:00:00+02:00", 1640995200),
        ("2021-12-31T23:30:00.250-00:30", 1640995200.25),
        ("2022-01-01T00:00:00.123456789Z", 1640995200.123456),
    ],
)
def test_a_timestamp_has_three_forms(timestamp: Any, seconds: float) -> None:
    """Unix seconds; also milliseconds (> 1e11) and RFC 3339 text; relayed as Unix seconds."""
    read = relayed(raw(timestamp=timestamp, big=10**25))
    assert read["timestamp"] == pytest.approx(seconds, abs=1e-6)
    assert isinstance(read["timestamp"], int | float)
    assert read["big"] == 10**25


@pytest.mark.parametrize("body", [raw(), raw(timestamp=None)])
def test_without_a_timestamp_it_is_the_servers_time(body: bytes) -> None:
    """Absent: the server's time; the name stands once."""
    assert relayed(body)["timestamp"] == RECEIVED_AT
    assert stored_body(decode_event(body), SEQ, RECEIVED_AT).count(b'"timestamp"') == 1


def test_unknown_fields_are_kept_byte_for_byte() -> None:
    """Unknown top-level fields are kept and relayed: huge integers, long fractions, escapes as they came."""
    extra = b'"n":123456789012345678901234567890,"f":0.10000000000000000555111,"s":"\\u00e9\\/","e":1E+2'
    for head in (
        b'{"type":"translation_progress","session_id":"s",',
        b'{"type":"translation_progress",',
        b'{"type":"translation_progress","timestamp":1640995200123,',
    ):
        event = decode_event(head + extra + b"}", session_id="s")
        assert extra in event.json
        assert extra in stored_body(event, 1, 2.0)


def test_a_repeated_name_means_its_last_value() -> None:
    """What is checked is what a viewer reads: like everyone's JSON reader, the last of equal names counts."""
    body = b'{"type":"nonsense","session_id":"s","progress":1,"type":"translation_progress","progress":2}'
    assert decode_event(body).progress == relayed(body)["progress"] == 2
    assert refused(b'{"type":"translation_progress","session_id":"s","type":"nonsense"}').field == "type"


def test_whitespace_between_tokens_does_not_reach_the_stream() -> None:
    """One JSON object a frame, on one line; text inside strings is untouched."""
    body = b' \r\n{\n\t"type" : "translation_progress",\n "session_id":"s",\r\n"message":"a\\nb\\tc  d" }\n'
    assert relayed(body)["message"] == "a\nb\tc  d"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"null",
        b"5",
        b'"x"',
        b"[]",
        b"{}x",
        b"{'a':1}",
        b'{"a":1,}',
        b"\xff",
        b'{"a":NaN}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    """A JSON object, valid UTF-8."""
    assert refused(body).code in (ErrorCode.INVALID_JSON, ErrorCode.INVALID_EVENT)


@pytest.mark.parametrize("value", [b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\xaf"', b'"\xf5\x80\x80\x80"'])
def test_invalid_utf8_is_refused(value: bytes) -> None:
    """Valid UTF-8, in unknown fields too."""
    err = refused(b'{"type":"translation_progress","session_id":"s","x":' + value + b"}")
    assert err.code == ErrorCode.INVALID_JSON
    assert "UTF-8" in err.detail


@pytest.mark.parametrize(
    "value", [b"1e999", b"-1e999", b"9" * 400, b"9" * 5000, b"1e5000000000", b'[{"y":1e309}]']
)
def test_a_number_nobody_can_hold_is_refused(value: bytes) -> None:
    """Everything relayed can be read: a number beyond a double stops JSON readers, so the field is named."""
    err = refused(b'{"type":"translation_progress","session_id":"s","id":"e1","x":' + value + b"}")
    assert (err.code, err.field, err.event_id) == (ErrorCode.INVALID_EVENT, "x", "e1")


@pytest.mark.parametrize("value", [b'"\\ud800"', b'"\\udc00\\ud800"', b'"\x01"', b'"a\nb"', b"01", b'"\\x"'])
def test_text_that_is_not_text_is_refused(value: bytes) -> None:
    """Lone surrogates and raw control characters are not JSON that everyone reads."""
    assert (
        refused(b'{"type":"translation_progress","session_id":"s","x":' + value + b"}").code == "invalid_json"
    )


@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}")])
def test_nesting_up_to_32(open_: str, close: str) -> None:
    """Nesting ≤ 32, the event itself counted; brackets in strings do not count."""

    def nested(depth: int) -> bytes:
        inner = open_ * (depth - 1) + "1" + close * (depth - 1)
        return ('{"type":"translation_progress","session_id":"s","x":' + inner + "}").encode()

    relayed(nested(32))
    assert refused(nested(33)).code == ErrorCode.INVALID_JSON
    assert refused(nested(30_000)).code in (ErrorCode.INVALID_JSON, ErrorCode.TOO_LARGE)
    relayed(raw(message="[{" * 100 + '"\\'))
    relayed(raw(x=[[]] * 100))


def test_an_event_is_at_most_64_kib() -> None:
    """64 KiB an event: `too_large`."""
    room = MAX_EVENT_BYTES - len(raw(message=""))
    relayed(raw(message="x" * room))
    assert refused(raw(message="x" * (room + 1))).code == ErrorCode.TOO_LARGE
    assert refused(raw(), max_bytes=10).code == ErrorCode.TOO_LARGE


def test_bytes_in_any_form_are_taken() -> None:
    """Frames arrive as bytes, bytearray or memoryview."""
    for form in (bytes, bytearray, memoryview):
        assert decode_event(form(raw())).session_id == "book-1"


def test_a_worker_status_needs_a_worker_and_a_state() -> None:
    """`worker_status`: `data` holds `worker` and one of the known states."""
    good = {
        "worker": "w1",
        "state": "wedged",
        "reason": "r",
        "slots": {"capacity": 4, "active": 1},
        "gpu": [],
    }
    status = worker_status_of(stored_body(decode_event(raw(type="worker_status", data=good)), 1, 2.0))
    assert (status.worker, status.state, status.reason) == ("w1", "wedged", "r")
    for data, field in (
        (None, "data"),
        ({}, "data.worker"),
        ({"worker": "w1"}, "data.state"),
        ({"worker": "w1", "state": "sleepy"}, "data.state"),
        ({"worker": "", "state": "up"}, "data.worker"),
        ({"worker": "w1", "state": "up", "slots": {"active": -1}}, "data.slots.active"),
    ):
        err = refused(raw(type="worker_status", data=data, id="e1"))
        assert (err.code, err.field, err.event_id) == (ErrorCode.INVALID_EVENT, field, "e1")
    assert refused(raw(type="worker_status")).field == "data"


@given(st.binary(max_size=200))
@example(b'{"id":"x"')
def test_finding_an_id_never_raises(body: bytes) -> None:
    """The id of a refused event is told if it can be made out."""
    assert event_id_of(body) is None or isinstance(event_id_of(body), str)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner, max_size=4)
    ),
    max_leaves=15,
)
KNOWN = set(Event.__struct_fields__) - {"raw"}
unknown_fields = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10).filter(
        lambda k: k not in KNOWN and k != "\ue000"
    ),
    json_values,
    max_size=6,
)


@given(unknown_fields, st.booleans(), st.sampled_from([None, 0, 2]))
@settings(max_examples=300, deadline=None)
def test_unknown_fields_survive(fields: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    """Unknown top-level fields are kept and relayed, however they are written and whatever they hold."""
    body = json.dumps(
        {**fields, "type": "translation_progress", "session_id": "s"}, ensure_ascii=ascii_only, indent=indent
    ).encode()
    read = relayed(body)
    for name, value in fields.items():
        assert read[name] == value
        assert type(read[name]) is type(value)


fragments = st.sampled_from(
    [
        *rb"""{ } [ ] , : " \ \u d800 \n 1e999 - . 01 NaN Infinity true null "x":1 "seq":1, e""".split(),
        *(b"\n", b"\t", b"\0", b" ", b"\xff", b"\xed\xa0\x80", b"\xc3\xa9"),
    ]
)


@given(st.data())
@settings(max_examples=500, deadline=None)
def test_mangled_events_are_refused_or_read_by_all(data: st.DataObject) -> None:
    """Whatever the bytes, there are two outcomes: refused, or relayed and read by everyone."""
    fields = data.draw(unknown_fields)
    body = bytearray(raw(message='né\\"', data={"items_done": 3}, progress=5.5, **fields))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        cut = data.draw(st.integers(0, 3))
        body[at : at + cut] = data.draw(fragments)
    try:
        event = decode_event(body, session_id="conn")
    except InvalidEvent:
        return
    reference = json.loads(bytes(body))
    read = json.loads(stored_body(event, SEQ, RECEIVED_AT))
    assert orjson.loads(stored_body(event, SEQ, RECEIVED_AT)).keys() == read.keys()
    for name, value in reference.items():
        if name not in ("timestamp", "session_id"):
            assert read[name] == value or math.isnan(value)


@given(json_values, st.sampled_from(sorted(KNOWN)))
@settings(max_examples=300, deadline=None)
def test_any_value_in_a_known_field_is_taken_or_named(value: Any, field: str) -> None:
    """A field of the wrong type or out of range is an error that names the field."""
    body = raw(**{field: value})
    fault: InvalidEvent | None = None
    try:
        read = relayed(body)
    except InvalidEvent as err:
        fault = err
    if fault is not None:
        assert fault.code == ErrorCode.INVALID_EVENT
        assert (fault.field or "").startswith(field)
    elif field not in ("timestamp", "session_id"):
        assert read[field] == value


def test_a_damaged_body_is_an_error() -> None:
    """A torn or corrupt body in the log is not taken for an event."""
    body = stored_body(decode_event(raw()), 1, 2.0)
    for damaged in (body[:-5], b"", body.replace(b'"seq":1', b'"seq":"x"')):
        with pytest.raises(msgspec.DecodeError):
            read_stored(damaged)
