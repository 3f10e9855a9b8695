"""The publisher against a scripted monitor: real sockets, a real spool, outages on purpose."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from translation_events import ErrorCode, EventType, InvalidEvent, Publisher, deliver_spool
from translation_events.errors import ConfigError
from translation_events.replies import Reply
from translation_events.retry import Retry

MakePublisher = Callable[..., Publisher]
Monitor = Any  # tests/translation_events/conftest.py: ScriptedMonitor


def test_three_lines_suffice(monitor: Monitor, tmp_path: Path) -> None:
    """Three lines suffice to use it in anyone's pipeline."""
    with Publisher(monitor.url, session_id="book-1", spool_dir=tmp_path) as publisher:
        publisher.emit(
            "translation_progress", step="translation", progress=55.0, current_item=5, total_items=10
        )
    (event,) = monitor.events
    assert event["type"] == "translation_progress"
    assert (event["session_id"], event["step"], event["progress"]) == ("book-1", "translation", 55.0)
    assert (event["current_item"], event["total_items"]) == (5, 10)
    assert publisher.stats.acked == 1


def test_connects_as_a_publisher_that_wants_acknowledgements(
    monitor: Monitor, publish: MakePublisher
) -> None:
    """`ws://…/ws?role=publisher&ack=1&client_id=…&session_id=…`, `batch=1` where the server takes it."""
    publish(client_id="cli-7")
    monitor.wait(lambda: bool(monitor.queries))
    expected = {"role": "publisher", "ack": "1", "batch": "1", "client_id": "cli-7", "session_id": "book-1"}
    assert monitor.queries[0] == expected


def test_gives_every_event_an_id_and_a_time(monitor: Monitor, publish: MakePublisher) -> None:
    """Every event gets a UUIDv7 `id` unless given and a `timestamp`."""
    publisher = publish()
    before = time.time()
    first = publisher.emit("translation_started")
    second = publisher.emit("translation_progress", id="mine", timestamp=1640995200)
    assert publisher.flush(20)
    assert monitor.ids() == [first, second] == [first, "mine"]
    assert uuid.UUID(first).version == 7
    assert before - 1 <= monitor.events[0]["timestamp"] <= time.time() + 1
    assert monitor.events[1]["timestamp"] == 1640995200


def test_keeps_the_order_of_the_calls(monitor: Monitor, publish: MakePublisher) -> None:
    """Order per session is preserved, also where frames carry several events."""
    publisher = publish()
    ids = [publisher.emit("translation_progress", current_item=n) for n in range(3000)]
    assert publisher.flush(20)
    assert monitor.ids() == ids
    assert max(monitor.frames) > 1
    stats = publisher.stats
    assert (stats.sent, stats.acked, stats.dropped, stats.spooled, stats.duplicates) == (3000, 3000, 0, 0, 0)


def test_works_from_many_threads(monitor: Monitor, publish: MakePublisher) -> None:
    """`emit` is thread-safe: nothing is lost and each thread's order is kept."""
    publisher = publish()

    def work(name: str) -> None:
        for n in range(300):
            publisher.emit("translation_progress", session_id=name, current_item=n)

    threads = [threading.Thread(target=work, args=(f"s{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert publisher.flush(20)
    for name in ("s0", "s1", "s2", "s3"):
        items = [event["current_item"] for event in monitor.events if event["session_id"] == name]
        assert items == list(range(300))


def test_emits_from_a_signal_handler(monitor: Monitor, publish: MakePublisher) -> None:
    """A handler may emit while the very same thread is inside `emit`: no deadlock, no event lost."""
    publisher = publish()
    ids: list[str] = []

    def interrupt(number: int, frame: object) -> None:
        ids.append(publisher.emit(EventType.TRANSLATION_PROGRESS, message="from the handler"))

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        while len(ids) < 200:
            publisher.emit("translation_progress", message="from the program")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert publisher.flush(20)
    handled = [event["id"] for event in monitor.events if event["message"] == "from the handler"]
    assert sorted(handled) == sorted(ids)  # a handler may itself be interrupted
    assert publisher.stats.acked == len(monitor.events)


async def test_works_from_asyncio(monitor: Monitor, tmp_path: Path) -> None:
    """Works from asyncio code: the loop goes on while the publisher closes."""
    monitor.silent = True
    ticks = 0
    async with asyncio.TaskGroup() as tasks:

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticker = tasks.create_task(tick(), name="ticker")
        async with Publisher(monitor.url, session_id="s", spool_dir=tmp_path, exit_wait_s=0.5) as publisher:
            publisher.emit("translation_started")
        ticker.cancel()
    assert ticks > 10
    assert publisher.stats.spooled == 1


def test_one_frame_one_event_where_the_server_takes_no_arrays(
    monitor: Monitor, publish: MakePublisher
) -> None:
    """`batch=1` is used when the server accepts it; one that does not gets single events, none lost."""
    monitor.takes_arrays = False
    monitor.stop()
    publisher = publish()
    ids = [publisher.emit("translation_progress", current_item=n) for n in range(50)]
    monitor.start()
    assert publisher.flush(20)
    assert monitor.ids() == ids
    assert "batch" not in monitor.queries[-1]


def test_at_most_1000_unacknowledged(monitor: Monitor, publish: MakePublisher) -> None:
    """At most 1,000 unacknowledged."""
    monitor.silent = True
    publisher = publish(exit_wait_s=0.0)
    for n in range(2500):
        publisher.emit("translation_progress", current_item=n)
    monitor.wait(lambda: monitor.received >= 1000)
    assert publisher.flush(0.3) is False
    assert monitor.most_unanswered == 1000


def test_an_outage_loses_nothing_and_keeps_the_order(monitor: Monitor, publish: MakePublisher) -> None:
    """An outage or a restart of the server loses nothing; spool before live; the same ids are sent again."""
    publisher = publish()
    ids = [publisher.emit("translation_progress", current_item=n) for n in range(100)]
    assert publisher.flush(20)
    monitor.stop()
    ids += [publisher.emit("translation_progress", current_item=n) for n in range(100, 5000)]
    assert publisher.stats.spooled > 0
    monitor.start()
    ids += [publisher.emit("translation_progress", current_item=n) for n in range(5000, 5200)]
    assert publisher.flush(20)
    assert monitor.ids() == ids
    assert publisher.stats.reconnects >= 1
    assert publisher.stats.acked == 5200


def test_cuts_at_any_moment_neither_lose_nor_double(monitor: Monitor, publish: MakePublisher) -> None:
    """Resends under the same ids: what had arrived before the cut is acknowledged as a duplicate."""
    publisher = publish()
    ids = []
    for n in range(2000):
        ids.append(publisher.emit("translation_progress", current_item=n))
        if n % 200 == 100:
            monitor.cut()
    assert publisher.flush(20)
    assert monitor.ids() == ids


@pytest.mark.parametrize("code", [1001, 1013])
def test_comes_back_after_going_away_and_try_again_later(
    monitor: Monitor, publish: MakePublisher, code: int
) -> None:
    """Live connections close with 1001 server going away, 1013 try again later: the publisher comes back."""
    publisher = publish()
    first = publisher.emit("translation_started")
    assert publisher.flush(20)
    monitor.hang_up(code)
    second = publisher.emit("translation_completed")
    assert publisher.flush(20)
    assert monitor.ids() == [first, second]


def test_policy_backs_off_long_and_tells(monitor: Monitor, publish: MakePublisher) -> None:
    """1008 policy: told, and asked again only rarely."""
    publisher = publish(retry=Retry(base_s=0.001, cap_s=0.001, refused_s=600))
    publisher.emit("translation_started")
    assert publisher.flush(20)
    with capture_logs() as logs:
        monitor.hang_up(1008)
        publisher.emit("translation_completed")
        assert publisher.flush(0.5) is False
    assert [log["reason"] for log in logs] == ["policy"]
    assert len(monitor.queries) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_refused_before_the_upgrade_tells_once_and_keeps_spooling(
    monitor: Monitor, publish: MakePublisher, status: int
) -> None:
    """HTTP 401 and 403: told once, the events wait, and are delivered once the refusal is lifted."""
    monitor.refusals = [(status, {})] * 3
    with capture_logs() as logs:
        publisher = publish(retry=Retry(refused_s=0.02))
        event_id = publisher.emit("translation_started")
        assert publisher.flush(20)
    told = [log for log in logs if log["log_level"] == "warning"]
    assert [log["status"] for log in told] == [status]
    assert monitor.ids() == [event_id]


def test_retry_after_is_honoured(monitor: Monitor, publish: MakePublisher) -> None:
    """503 with `Retry-After`: not asked again before."""
    monitor.refusals = [(503, {"Retry-After": "1"})]
    started = time.monotonic()
    publisher = publish()
    publisher.emit("translation_started")
    assert publisher.flush(20)
    assert time.monotonic() - started >= 1.0
    assert len(monitor.queries) == 2


@pytest.mark.parametrize("code", ["invalid_json", "invalid_event", "too_large"])
def test_final_replies_drop_the_event_and_no_other(
    monitor: Monitor, publish: MakePublisher, code: str
) -> None:
    """`invalid_*` and `too_large` are final: dropped, counted, told once."""
    monitor.judge = lambda event: {"code": code, "field": "data"} if event["current_item"] % 2 else None
    with capture_logs() as logs:
        publisher = publish()
        ids = [publisher.emit("translation_progress", current_item=n) for n in range(10)]
        assert publisher.flush(20)
    assert monitor.ids() == ids[::2]
    assert (publisher.stats.acked, publisher.stats.dropped) == (5, 5)
    assert [(log["code"], log["field"]) for log in logs] == [(code, "data")]


@pytest.mark.parametrize("code", ["rate_limited", "log_unavailable"])
def test_passing_refusals_are_sent_again(monitor: Monitor, publish: MakePublisher, code: str) -> None:
    """`rate_limited` and `log_unavailable` are worth a resend: later, in order, with the connection kept."""
    refused = 0

    def judge(event: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal refused
        if refused < 40:
            refused += 1
            return {"code": code}
        return None

    monitor.judge = judge
    publisher = publish()
    ids = [publisher.emit("translation_progress", current_item=n) for n in range(30)]
    assert publisher.flush(20)
    assert sorted(monitor.ids()) == sorted(ids)
    assert (publisher.stats.acked, publisher.stats.dropped) == (30, 0)
    assert len(monitor.queries) == 1


def test_a_log_that_is_away_for_a_while_keeps_the_order(monitor: Monitor, publish: MakePublisher) -> None:
    """While the log cannot be written publishers get `log_unavailable`; afterwards all arrives, in order."""
    monitor.judge = lambda event: {"code": "log_unavailable"}
    publisher = publish()
    ids = [publisher.emit("translation_progress", current_item=n) for n in range(500)]
    monitor.wait(lambda: monitor.received > 10)
    monitor.judge = None
    assert publisher.flush(20)
    assert len(monitor.ids()) == len(ids)
    assert set(monitor.ids()) == set(ids)


@pytest.mark.parametrize("code", ["unauthorized", "read_only"])
def test_a_barred_publisher_keeps_its_events(monitor: Monitor, publish: MakePublisher, code: str) -> None:
    """`unauthorized` and `read_only` say nothing against the event: it waits for somebody to lift the bar."""
    monitor.judge = lambda event: {"code": code}
    publisher = publish(retry=Retry(refused_s=0.05))
    event_id = publisher.emit("translation_started")
    monitor.wait(lambda: monitor.received > 0)
    assert publisher.stats.dropped == 0
    monitor.judge = None
    assert publisher.flush(20)
    assert monitor.ids() == [event_id]


def test_a_frame_the_server_finds_too_big_costs_that_event_alone(
    monitor: Monitor, publish: MakePublisher
) -> None:
    """1009 frame over its limit: the event at fault is found and dropped, the others arrive."""
    monitor.max_frame = 2000
    publisher = publish()
    ids = [publisher.emit("translation_progress", message="x" * (5000 if n == 7 else 10)) for n in range(20)]
    assert publisher.flush(20)
    assert monitor.ids() == ids[:7] + ids[8:]
    assert (publisher.stats.acked, publisher.stats.dropped) == (19, 1)


def test_a_monitor_that_stays_silent_is_left(monitor: Monitor, publish: MakePublisher) -> None:
    """Every network wait is under a timeout: an event without a reply is sent again over a new connection."""
    monitor.silent = True
    publisher = publish(retry=Retry(base_s=0.01, cap_s=0.01, answer_s=0.2))
    event_id = publisher.emit("translation_started")
    monitor.wait(lambda: len(monitor.queries) > 1)
    monitor.silent = False
    assert publisher.flush(20)
    assert monitor.ids() == [event_id]


def test_an_invalid_event_is_told_once_counted_and_dropped(monitor: Monitor, publish: MakePublisher) -> None:
    """`emit` never raises: an invalid event is logged once with the field, counted and dropped."""
    publisher = publish()
    with capture_logs() as logs:
        for _ in range(3):
            publisher.emit("translation_progress", progress=101)
        publisher.emit("translation_progress", data={"x": object()})
        publisher.emit("no_such_type")
        publisher.emit("translation_progress", message="\ud800")
        good = publisher.emit("translation_progress", progress=100)
    assert [log.get("field") for log in logs if log["event"] == "invalid event dropped"] == [
        "progress",
        None,
        "type",
    ]
    assert publisher.flush(20)
    assert monitor.ids() == [good]
    assert publisher.stats.dropped == 6


def test_strict_raises_for_an_invalid_event(publish: MakePublisher) -> None:
    """`strict=True` raises InvalidEvent, naming the field."""
    publisher = publish(strict=True, session_id=None)
    with pytest.raises(InvalidEvent) as caught:
        publisher.emit("translation_started")
    assert (caught.value.code, caught.value.field) == (ErrorCode.INVALID_EVENT, "session_id")


def test_publishes_json_as_it_stands(monitor: Monitor, publish: MakePublisher) -> None:
    """Unknown fields are kept: a whole event given as bytes or a mapping goes out with what was missing."""
    publisher = publish()
    publisher.publish(b'{"type":"translation_progress","id":null,"n":123456789012345678901234567890}')
    publisher.publish({"type": "translation_progress", "session_id": "other", "big": 2**70})
    assert publisher.flush(20)
    assert [event["session_id"] for event in monitor.events] == ["book-1", "other"]
    assert all(event["id"] and event["timestamp"] for event in monitor.events)


def test_replies_come_back_in_order(monitor: Monitor, publish: MakePublisher) -> None:
    """The caller may learn each event's `seq`: replies are passed on in the order of the events."""
    replies: list[Reply] = []
    publisher = publish(on_reply=replies.append)
    ids = [publisher.emit("translation_progress", current_item=n) for n in range(300)]
    assert publisher.flush(20)
    publisher.close()
    assert [reply.id for reply in replies] == ids
    assert [reply.seq for reply in replies] == list(range(1, 301))


def test_a_callback_that_raises_stops_nothing(monitor: Monitor, publish: MakePublisher) -> None:
    """Never kills the translation it reports on, whatever the caller's own code does."""

    def on_reply(reply: Reply) -> None:
        raise RuntimeError("mine")

    publisher = publish(on_reply=on_reply)
    publisher.emit("translation_started")
    publisher.emit("translation_completed")
    assert publisher.flush(20)
    assert publisher.stats.acked == 2


def test_at_exit_it_waits_then_leaves_the_spool_and_says_so(
    monitor: Monitor, publish: MakePublisher, tmp_path: Path
) -> None:
    """At exit it waits 5 s at most, then leaves the spool and says so; the next publisher delivers it."""
    monitor.stop()
    publisher = publish(exit_wait_s=0.3)
    ids = [publisher.emit("translation_progress", current_item=n) for n in range(20)]
    started = time.monotonic()
    with capture_logs() as logs:
        publisher.close()
    assert 0.3 <= time.monotonic() - started < 3
    (told,) = [log for log in logs if log["event"] == "events wait in the spool"]
    assert told["events"] == 20
    assert told["deliver"].startswith(f"translation-monitor emit --spool {told['spool']} --monitor http")
    assert Path(told["spool"]).is_dir()
    monitor.start()
    successor = publish()
    last = successor.emit("translation_completed")
    assert successor.flush(20)
    assert monitor.ids() == [*ids, last]


def test_nothing_stays_behind_once_all_is_delivered(
    monitor: Monitor, publish: MakePublisher, tmp_path: Path
) -> None:
    """A publisher whose events are all acknowledged leaves no file."""
    publisher = publish()
    for n in range(10):
        publisher.emit("translation_progress", current_item=n)
    publisher.close()
    assert len(monitor.events) == 10
    assert not [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]


def test_an_event_after_the_close_is_told(monitor: Monitor, publish: MakePublisher) -> None:
    """`emit` never raises: after the close an event is counted as dropped and told."""
    publisher = publish()
    publisher.close()
    with capture_logs() as logs:
        publisher.emit("translation_started")
    assert publisher.stats.dropped == 1
    assert [log["event"] for log in logs] == ["event dropped: the publisher is closed"]


def test_a_spool_is_delivered_by_command(monitor: Monitor, publish: MakePublisher, tmp_path: Path) -> None:
    """`emit --spool DIR` delivers what publishers left behind, in the directory of all spools or this one."""
    monitor.stop()
    ids = []
    for n in range(2):
        publisher = publish(exit_wait_s=0.0)
        ids += [publisher.emit("translation_progress", current_item=n) for n in range(700 * n, 700 * (n + 1))]
        publisher.close()
    monitor.start()
    replies: list[Reply] = []
    report = deliver_spool(tmp_path / "spool", monitor.url, on_reply=replies.append)
    assert report == (1400, 0, 0, 0, 0)
    assert monitor.ids() == ids == [reply.id for reply in replies]
    (folder,) = (tmp_path / "spool").iterdir()
    assert deliver_spool(folder, monitor.url) == (0, 0, 0, 0, 0)


def test_one_process_at_a_time_delivers_a_spool(
    monitor: Monitor, publish: MakePublisher, tmp_path: Path
) -> None:
    """One process at a time: what a running publisher has in its hands is left to it."""
    monitor.silent = True
    publisher = publish(exit_wait_s=0.0)
    event_id = publisher.emit("translation_started")
    monitor.wait(lambda: monitor.received == 1)
    report = deliver_spool(tmp_path / "spool", monitor.url, patience_s=1)
    assert (report.delivered, report.left, report.busy) == (0, 0, 1)
    other = publish(exit_wait_s=0.0, session_id="book-2")
    monitor.silent = False
    second = other.emit("translation_started")
    assert other.flush(20)
    assert monitor.ids() == [second]
    publisher.close()
    assert deliver_spool(tmp_path / "spool", monitor.url).delivered == 1
    assert monitor.ids() == [second, event_id]


def test_an_undeliverable_spool_is_left_and_counted(
    publish: MakePublisher, monitor: Monitor, tmp_path: Path
) -> None:
    """Delivery gives up after its patience; everything is still there."""
    monitor.stop()
    publisher = publish(exit_wait_s=0.0)
    publisher.emit("translation_started")
    publisher.close()
    report = deliver_spool(tmp_path / "spool", monitor.url, patience_s=0.2)
    assert (report.delivered, report.left) == (0, 1)
    with pytest.raises(ConfigError):
        deliver_spool(tmp_path / "nowhere", monitor.url)


def test_the_environment_names_monitor_and_spool(
    monitor: Monitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`MONITOR_URL` and `MONITOR_SPOOL_DIR` are read by `Publisher.from_environment()`."""
    monkeypatch.setenv("MONITOR_URL", monitor.url.replace("http", "ws") + "/ws")
    monkeypatch.setenv("MONITOR_SPOOL_DIR", str(tmp_path / "elsewhere"))
    with Publisher.from_environment(session_id="s") as publisher:
        event_id = publisher.emit("translation_started")
    assert monitor.ids() == [event_id]
    assert (tmp_path / "elsewhere").is_dir()


def test_a_directory_that_cannot_be_used_leaves_memory(
    monitor: Monitor, publish: MakePublisher, tmp_path: Path
) -> None:
    """Never kills the translation: without a usable spool the events wait in memory, told once."""
    (tmp_path / "file").write_text("in the way")
    with capture_logs() as logs:
        publisher = publish(spool_dir=tmp_path / "file")
        ids = [publisher.emit("translation_progress", current_item=n) for n in range(1500)]
        assert publisher.flush(20)
    assert [log["event"] for log in logs] == ["spool not usable, events wait in memory"]
    assert monitor.ids() == ids


def test_memory_is_bounded_without_a_disk(monitor: Monitor, publish: MakePublisher, tmp_path: Path) -> None:
    """Memory is bounded: the oldest progress events go first, lifecycle stays."""
    monitor.stop()
    (tmp_path / "file").write_text("in the way")
    publisher = publish(spool_dir=tmp_path / "file", exit_wait_s=0.2)
    first = publisher.emit("translation_started")
    ids = [publisher.emit("translation_progress", current_item=n) for n in range(5000)]
    last = publisher.emit("translation_completed")
    assert publisher.stats.spooled == 2000
    assert publisher.stats.dropped == 3002
    monitor.start()
    assert publisher.flush(20)
    assert monitor.ids() == [first, *ids[-1998:], last]
    assert monitor.events[0]["type"] == "translation_started"


@pytest.mark.parametrize(
    "url", ["ftp://x", "127.0.0.1:8090", "http://", "http://a:b", "http://user:secret@host/"]
)
def test_a_wrong_address_is_a_config_error(url: str, tmp_path: Path) -> None:
    """http, https, ws and wss are taken; anything else is named, a password never."""
    with pytest.raises(ConfigError) as caught:
        Publisher(url, spool_dir=tmp_path)
    assert "secret" not in caught.value.detail


def test_emit_does_not_wait_for_the_monitor(monitor: Monitor, publish: MakePublisher) -> None:
    """`emit` is non-blocking: a silent monitor costs the caller nothing."""
    monitor.silent = True
    publisher = publish(exit_wait_s=0.0)
    started = time.monotonic()
    for n in range(3000):
        publisher.emit("translation_progress", current_item=n)
    assert time.monotonic() - started < 3.0
