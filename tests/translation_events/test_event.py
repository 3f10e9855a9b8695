"""The event's typed fields: where a worker stands, what usage is, what an unknown class of error becomes."""

from __future__ import annotations

import pytest

from translation_events import ErrorType, EventType, decode_event
from translation_events.event import WorkerInfo
from translation_events.ids import new_event_id

HEAD = b'{"type":"translation_progress","session_id":"s"'


def test_the_types_are_those_of_the_protocol() -> None:
    """The closed set of event types."""
    assert {e.value for e in EventType} == {
        "translation_started",
        "translation_progress",
        "translation_completed",
        "translation_error",
        "step_completed",
        "conversion_started",
        "conversion_progress",
        "conversion_completed",
        "conversion_error",
        "translation_cancelled",
        "worker_status",
        "session_ended",
    }


@pytest.mark.parametrize(
    "body",
    [
        b',"worker_info":{"host":"gpu-1","port":22,"model":"m"}}',
        b',"data":{"worker_info":{"host":"gpu-1","port":22,"model":"m"}}}',
    ],
)
def test_worker_info_is_taken_at_both_places(body: bytes) -> None:
    """`worker_info` is taken at the top level and inside `data` and relayed where the producer put it."""
    event = decode_event(HEAD + body)
    assert event.worker == WorkerInfo(host="gpu-1", port=22, model="m")
    assert event.json == HEAD + body


def test_worker_info_at_the_top_level_wins() -> None:
    """Where both places are filled, the top level is meant."""
    event = decode_event(HEAD + b',"worker_info":{"host":"a"},"data":{"worker_info":{"host":"b"}}}')
    assert event.worker is not None
    assert event.worker.host == "a"


@pytest.mark.parametrize(
    ("info", "label"),
    [
        (WorkerInfo(name="Thinker", host="h", port=8444), "Thinker"),
        (WorkerInfo(host="h", port=8444), "h:8444"),
        (WorkerInfo(host="h"), "h:22"),
        (WorkerInfo(model="m"), None),
    ],
)
def test_a_worker_is_called_by_its_name_or_host_and_port(info: WorkerInfo, label: str | None) -> None:
    """An unknown worker is `host:port`; `port` is 22 if absent."""
    assert info.label == label


def test_usage_is_an_object_or_a_list() -> None:
    """`usage`: an object or a list, with `requests=1` and `result=success` where absent."""
    one = decode_event(HEAD + b',"usage":{"provider":"openai","input_tokens":7,"cache":"hit"}}').usages
    two = decode_event(HEAD + b',"usage":[{"requests":2},{"result":"timeout"}]}').usages
    assert [(u.provider, u.input_tokens, u.requests, u.result, u.cache) for u in one] == [
        ("openai", 7, 1, "success", "hit")
    ]
    assert [(u.requests, u.result) for u in two] == [(2, "success"), (1, "timeout")]
    assert decode_event(HEAD + b"}").usages == ()


@pytest.mark.parametrize(("value", "expected"), [(e.value, e) for e in ErrorType])
def test_every_class_of_error_is_known(value: str, expected: ErrorType) -> None:
    """The classes of `error_type`."""
    assert ErrorType.of(value) is expected


@pytest.mark.parametrize("value", ["", None, "TIMEOUT", "no such class", "timeout "])
def test_an_unknown_class_of_error_is_other(value: str | None) -> None:
    """Anything else becomes `other`."""
    assert ErrorType.of(value) is ErrorType.OTHER


def test_ids_sort_by_time_and_never_repeat() -> None:
    """The client library makes a UUIDv7: 10,000 of them are distinct and in the order of their time."""
    ids = [new_event_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert [i[:13] for i in ids] == sorted(i[:13] for i in ids)
    assert all(i[14] == "7" and i[19] in "89ab" for i in ids)
