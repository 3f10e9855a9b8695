"""The life of a session, rule by rule, and the promise that a replay ends where the first run did."""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translation_events.decode import decode_event, read_stored, stored_body
from translation_events.event import EventType, StoredEvent
from translation_events.fold import MAX_MILESTONES, apply, event_time
from translation_events.items import eta_s
from translation_events.session import (
    Change,
    Checkpoint,
    Ended,
    ErrorCounted,
    ItemsDone,
    Kind,
    Session,
    Started,
    Status,
    StepEnded,
)
from translation_events.trace_ids import attempt_span

LOG = "log-1"
T0 = 1_790_000_000.0


class Life:
    """A session told event by event; each comes 1 s after the last unless `after_s` says otherwise."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.told: list[StoredEvent] = []
        self.changes: list[Change] = []
        self.now = T0

    def tell(self, kind: str, *, after_s: float = 1.0, **fields: Any) -> list[Change]:
        self.now += after_s
        body = json.dumps({"type": kind, "session_id": "s", **fields}).encode()
        stored = read_stored(stored_body(decode_event(body, internal=True), len(self.told) + 1, self.now))
        self.told.append(stored)
        self.session, changes = apply(self.session, stored, LOG)
        self.changes += changes
        return changes

    @property
    def attempt(self) -> Any:
        assert self.session is not None
        return self.session.attempt

    @property
    def status(self) -> Status:
        assert self.session is not None
        return self.session.status(self.now, 300)


def ends(changes: list[Change]) -> list[tuple[Kind, Status]]:
    return [(change.kind, change.result) for change in changes if isinstance(change, Ended)]


def items(changes: list[Change]) -> int:
    return sum(change.items for change in changes if isinstance(change, ItemsDone))


def told(*events: tuple[str, dict[str, Any]]) -> Life:
    life = Life()
    for kind, fields in events:
        life.tell(kind, **fields)
    return life


# --- kind ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        ("translation_started", Kind.TRANSLATION),
        ("translation_progress", Kind.TRANSLATION),
        ("translation_error", Kind.TRANSLATION),
        ("conversion_started", Kind.CONVERSION),
        ("conversion_progress", Kind.CONVERSION),
        ("conversion_error", Kind.CONVERSION),
    ],
)
def test_the_kind_is_that_of_the_first_event_of_a_kind(first: str, kind: Kind) -> None:
    """The kind is that of an attempt's first `translation_*` or `conversion_*` event, for good."""
    life = Life()
    assert [c for c in life.tell("step_completed", step="reading") if isinstance(c, Started)] == []
    assert life.attempt.kind is None
    assert [(c.kind) for c in life.tell(first) if isinstance(c, Started)] == [kind]
    assert [c for c in life.tell(first) if isinstance(c, Started)] == []
    assert life.attempt.kind is kind
    assert life.status is Status.RUNNING


# --- ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["translation", "conversion"])
def test_an_attempt_ends_when_its_kind_is_completed(kind: str) -> None:
    """An attempt ends at `{kind}_completed`."""
    life = told((f"{kind}_started", {}))
    assert ends(life.tell(f"{kind}_completed", message="done")) == [(Kind(kind), Status.COMPLETED)]
    assert (life.status, life.attempt.progress, life.attempt.duration_s) == (Status.COMPLETED, 100.0, 1.0)


@pytest.mark.parametrize("kind", ["translation", "conversion"])
def test_an_attempt_ends_when_cancelled(kind: str) -> None:
    """`translation_cancelled` ends an attempt of either kind."""
    life = told((f"{kind}_started", {}))
    assert ends(life.tell("translation_cancelled")) == [(Kind(kind), Status.CANCELLED)]
    assert life.attempt.number == 1


@pytest.mark.parametrize("kind", ["translation", "conversion"])
def test_a_fatal_error_ends_it(kind: str) -> None:
    """A `{kind}_error` with `"fatal": true` ends it as failed and counts one error."""
    life = told((f"{kind}_started", {}))
    changes = life.tell(
        f"{kind}_error", fatal=True, error="disk full", error_type="disk_full", step="writing"
    )
    assert ends(changes) == [(Kind(kind), Status.FAILED)]
    assert [c for c in changes if isinstance(c, ErrorCounted)] == [ErrorCounted("writing", "disk_full")]
    assert (life.attempt.errors, life.attempt.last_error) == (1, "disk full")


def test_a_lost_worker_is_lost() -> None:
    """`lost` is a fatal error whose `error_type` is `worker_lost`."""
    life = told(("translation_started", {}))
    assert ends(life.tell("translation_error", error_type="worker_lost")) == []
    assert ends(life.tell("translation_error", error_type="worker_lost", fatal=True)) == [
        (Kind.TRANSLATION, Status.LOST)
    ]


@pytest.mark.parametrize("fatal", [{}, {"fatal": False}, {"fatal": None}])
def test_an_error_that_is_not_fatal_ends_nothing(fatal: dict[str, Any]) -> None:
    """A `{kind}_error` without `fatal` counts one error and ends nothing ("Failed to translate line 5")."""
    life = told(("translation_started", {}))
    changes = life.tell(
        "translation_error", message="Failed to translate line 5", error="Connection timeout", **fatal
    )
    assert ends(changes) == []
    assert (life.attempt.errors, life.attempt.last_error) == (1, "Connection timeout")
    assert life.attempt.last_error_type == "other"
    assert life.status is Status.RUNNING


@pytest.mark.parametrize("status", ["failed", "timed_out", "lost"])
def test_the_server_ends_a_session(status: str) -> None:
    """`session_ended {"status", "reason"}` ends the attempt, so that log, metrics and trace agree."""
    life = told(("translation_started", {}))
    assert ends(life.tell("session_ended", status=status, reason="silence")) == [
        (Kind.TRANSLATION, Status(status))
    ]
    assert life.attempt.reason == "silence"


def test_the_server_ends_a_session_that_never_had_a_kind() -> None:
    """Every attempt that ends has started: the counters of starts and ends agree."""
    life = told(("step_completed", {"step": "reading"}))
    changes = life.tell("session_ended", status="timed_out", reason="24 h")
    assert [type(c) for c in changes] == [Started, Ended]


@pytest.mark.parametrize(
    ("errors", "fields", "status"),
    [
        (0, {}, Status.COMPLETED),
        (0, {"failed_items": 0}, Status.COMPLETED),
        (0, {"failed_items": 2}, Status.COMPLETED_WITH_FAILURES),
        (3, {}, Status.COMPLETED_WITH_FAILURES),
        (3, {"failed_items": 0}, Status.COMPLETED),
        (3, {"failed_items": 1}, Status.COMPLETED_WITH_FAILURES),
    ],
)
def test_failures_show_in_the_status(errors: int, fields: dict[str, Any], status: Status) -> None:
    """`failed_items` > 0, or absent while there were errors: `completed_with_failures`, else `completed`."""
    life = told(("translation_started", {}), *[("translation_error", {"error": "e"})] * errors)
    life.tell("translation_completed", **fields)
    assert life.status is status


def test_only_the_count_on_the_completion_outweighs_errors() -> None:
    """`failed_items` belongs on `{kind}_completed`: an earlier 0 does not hide later errors."""
    life = told(("translation_progress", {"failed_items": 0}), ("translation_error", {}))
    life.tell("translation_completed")
    assert life.status is Status.COMPLETED_WITH_FAILURES


# --- attempts -----------------------------------------------------------------------------------------------


def test_conversion_events_are_steps_of_a_translation() -> None:
    """In a translation session `conversion_*` events are steps and end nothing, fatal or not."""
    life = told(("translation_started", {}), ("translation_progress", {"progress": 10, "current_item": 1}))
    for kind, fields in (
        ("conversion_started", {"step": "conversion"}),
        ("conversion_progress", {"progress": 90, "current_item": 70, "total_items": 80}),
        ("conversion_error", {"fatal": True}),
        ("conversion_completed", {"failed_items": 9}),
    ):
        assert ends(life.tell(kind, **fields)) == []
    assert (life.attempt.number, life.attempt.kind) == (1, Kind.TRANSLATION)
    assert (life.attempt.progress, life.attempt.items_done, life.attempt.total_items) == (10, 1, None)
    life.tell("translation_completed", failed_items=0)
    assert life.status is Status.COMPLETED


@pytest.mark.parametrize("kind", ["translation_started", "translation_progress", "translation_error"])
def test_a_translation_after_a_conversion_is_the_next_attempt(kind: str) -> None:
    """In a conversion session a later `translation_*` event begins the next attempt."""
    life = told(("conversion_started", {}), ("conversion_progress", {"progress": 50}))
    first = life.attempt
    changes = life.tell(kind)
    assert (life.attempt.number, life.attempt.kind) == (2, Kind.TRANSLATION)
    assert [type(c) for c in changes[:2]] == [Ended, Started]
    assert ends(changes) == [(Kind.CONVERSION, Status.FAILED)]
    assert first.ended
    assert life.attempt.first_seq == 3


@pytest.mark.parametrize(
    "kind",
    [
        "translation_started",
        "translation_progress",
        "translation_error",
        "step_completed",
        "conversion_started",
    ],
)
def test_any_event_after_the_end_is_the_next_attempt(kind: str) -> None:
    """So does any event but `worker_status` after the end; the new attempt begins with nothing of the old."""
    life = told(
        ("translation_started", {"step": "a", "total_items": 9}),
        ("translation_error", {"error": "e"}),
        ("translation_progress", {"current_item": 5, "usage": {"input_tokens": 5}}),
        ("translation_completed", {}),
    )
    life.tell(kind)
    attempt = life.attempt
    assert (attempt.number, attempt.first_seq, attempt.ended) == (2, 5, False)
    assert (attempt.items_done, attempt.total_items, attempt.usage.input_tokens) == (None, None, 0)
    assert attempt.errors == (1 if kind.endswith("error") else 0)
    assert attempt.root == attempt_span(LOG, "s", 5)
    assert life.session is not None
    assert life.session.first_seq == 1


def test_an_ended_attempt_does_not_change_any_more() -> None:
    """`Ended.attempt` is what the trace is made from: later events leave it alone."""
    life = told(("translation_started", {}))
    (end,) = [c for c in life.tell("translation_completed") if isinstance(c, Ended)]
    before = copy.deepcopy(end.attempt)
    life.tell("translation_started", step="again", total_items=3)
    life.tell("translation_progress", current_item=2)
    assert end.attempt == before


# --- items --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "done"),
    [
        ({"data": {"items_done": 3}, "current_item": 5, "progress": 90}, 3),
        ({"current_item": 5, "progress": 90}, 5),
        ({"current_item": "line_5", "progress": 90}, 5),
        ({"current_item": "chapter 2, line 07", "progress": 90}, 7),
        ({"current_item": "5 of 10x", "progress": 90}, 9),
        ({"current_item": "title", "progress": 55.0}, 5),
        ({"progress": 59.99}, 5),
        ({"progress": 100}, 10),
        ({"progress": 0}, 0),
        ({"data": {"items_done": 3.0}, "current_item": 5}, 3),
        ({"data": {"items_done": 3.5}, "current_item": 4}, 4),
        ({"data": {"items_done": "3"}, "current_item": 4}, 4),
        ({"data": {"items_done": True}, "current_item": 4}, 4),
        ({"data": {"items_done": -1}, "current_item": 4}, 4),
        ({"current_item": -1, "progress": 20}, 2),
        ({"current_item": 400}, 10),
    ],
)
def test_items_done(fields: dict[str, Any], done: int) -> None:
    """`data.items_done`, else integer `current_item`, else its trailing digits, else from `progress`."""
    life = told(("translation_progress", {"total_items": 10, **fields}))
    assert life.attempt.items_done == done


@given(st.integers(1, 20_000), st.data())
def test_a_percentage_of_whole_items_gives_them_back(total: int, data: st.DataObject) -> None:
    """floor(progress/100 × total) is a matter of arithmetic, not of floats: done/total × 100 gives `done`."""
    done = data.draw(st.integers(0, total))
    life = told(("translation_progress", {"total_items": total, "progress": done / total * 100}))
    assert life.attempt.items_done == done


@given(st.lists(st.integers(0, 60), min_size=1, max_size=30))
def test_items_done_never_falls(numbers: list[int]) -> None:
    """It never falls within an attempt, and the items counted add up to it."""
    life = Life()
    highest = 0
    for number in numbers:
        life.tell("translation_progress", current_item=number, total_items=50)
        highest = max(highest, min(number, 50))
        assert life.attempt.items_done == highest
    assert items(life.changes) == highest


def test_resumed_items_are_left_out_of_rates() -> None:
    """`data.items_resumed` is left out of rates: neither counted as done now nor timed."""
    life = Life()
    assert (
        items(life.tell("translation_started", total_items=100, data={"items_done": 60, "items_resumed": 60}))
        == 0
    )
    assert items(life.tell("translation_progress", current_item=61)) == 1
    assert life.attempt.items_done == 61
    assert life.attempt.item_seconds == [1.0]


def test_the_time_between_a_killed_run_and_its_resumption_is_no_items() -> None:
    """The same attempt goes on hours later: neither a rate nor the estimate sees the hours."""
    life = told(("translation_started", {"total_items": 100}))
    for n in range(1, 4):
        life.tell("translation_progress", current_item=n)
    resumed = {"items_done": 4, "items_resumed": 4}
    assert items(life.tell("translation_progress", after_s=7200.0, data=resumed)) == 0
    for n in range(5, 9):
        assert items(life.tell("translation_progress", data={"items_done": n, "items_resumed": 4})) == 1
    assert life.attempt.item_seconds == [1.0] * 7
    assert eta_s(life.attempt) == (92.0, 92.0)


def test_an_item_that_failed_is_not_done() -> None:
    """An error names an item without finishing it."""
    life = told(
        ("translation_progress", {"current_item": 4}), ("translation_error", {"current_item": "line_5"})
    )
    assert (life.attempt.items_done, life.attempt.current_item) == (4, "line_5")


def test_completion_finishes_all_items_but_the_failed() -> None:
    """At the end, progress is 100 and what has not failed is done."""
    life = told(("translation_started", {"total_items": 10}), ("translation_completed", {"failed_items": 2}))
    assert (life.attempt.progress, life.attempt.items_done, items(life.changes)) == (100.0, 8, 8)


# --- eta ----------------------------------------------------------------------------------------------------


def test_no_eta_before_five_items() -> None:
    """`eta_s` is null before 5."""
    life = told(("translation_started", {"total_items": 10}))
    for n in range(1, 5):
        life.tell("translation_progress", current_item=n)
        assert eta_s(life.attempt) is None
    life.tell("translation_progress", current_item=5)
    assert eta_s(life.attempt) == (5.0, 5.0)


def test_eta_is_a_range_of_the_newest_50_items() -> None:
    """Remaining × p25 and p75 of seconds per item over the newest 50 items."""
    life = told(("translation_started", {"total_items": 200}))
    for n in range(1, 51):
        life.tell("translation_progress", current_item=n, after_s=1000)
    for n in range(51, 101):
        life.tell("translation_progress", current_item=n, after_s=1 if n % 2 else 3)
    assert len(life.attempt.item_seconds) == 50
    assert eta_s(life.attempt) == pytest.approx((100 * 1, 100 * 3))


def test_several_items_at_once_share_the_time() -> None:
    """Seconds per item, also where a producer reports every tenth."""
    life = told(
        ("translation_started", {"total_items": 100}),
        ("translation_progress", {"current_item": 10, "after_s": 20}),
    )
    assert life.attempt.item_seconds == [2.0] * 10
    assert eta_s(life.attempt) == (180.0, 180.0)


def test_what_the_first_event_brings_along_says_nothing_about_the_rest() -> None:
    """Items done before anyone looked took a time nobody has seen: no ETA of 0 from them."""
    life = told(("translation_progress", {"current_item": 6, "total_items": 10}))
    assert (life.attempt.items_done, items(life.changes)) == (6, 6)
    assert (life.attempt.item_seconds, eta_s(life.attempt)) == ([], None)


@pytest.mark.parametrize(
    "last",
    [("translation_completed", {}), ("translation_cancelled", {}), ("translation_error", {"fatal": True})],
)
def test_no_eta_after_the_end(last: tuple[str, dict[str, Any]]) -> None:
    """What has ended is not awaited."""
    life = told(*[("translation_progress", {"current_item": n, "total_items": 90}) for n in range(10)], last)
    assert eta_s(life.attempt) is None


def test_no_eta_without_a_total() -> None:
    """Without a total there is no remaining."""
    life = told(*[("translation_progress", {"current_item": n}) for n in range(10)])
    assert eta_s(life.attempt) is None


# --- steps --------------------------------------------------------------------------------------------------


def test_a_step_lasts_from_its_first_naming_to_its_completion() -> None:
    """A step lasts from the attempt's first event naming it to its `step_completed`."""
    life = told(
        ("translation_started", {"step": "reading"}),
        ("translation_progress", {"step": "translation"}),
        ("translation_progress", {"step": "reading"}),
    )
    changes = life.tell("step_completed", step="reading")
    (ended,) = [c for c in changes if isinstance(c, StepEnded)]
    assert (ended.step, ended.start_at, ended.end_at, ended.seq) == ("reading", T0 + 1, T0 + 4, 4)
    (ended,) = [c for c in life.tell("step_completed", step="translation") if isinstance(c, StepEnded)]
    assert (ended.start_at, ended.end_at) == (T0 + 2, T0 + 5)
    assert life.attempt.open_steps == {}


def test_a_step_that_was_never_named_has_no_length() -> None:
    """A `step_completed` out of nowhere is a step of length 0; without `step` it means the current one."""
    life = told(("translation_started", {}))
    (ended,) = [c for c in life.tell("step_completed", step="x") if isinstance(c, StepEnded)]
    assert ended.start_at == ended.end_at
    life.tell("translation_progress", step="y")
    (ended,) = [c for c in life.tell("step_completed") if isinstance(c, StepEnded)]
    assert (ended.step, ended.end_at - ended.start_at) == ("y", 1.0)


def test_steps_of_the_next_attempt_are_its_own() -> None:
    """A step left open by an attempt is not measured from there in the next."""
    life = told(
        ("translation_started", {"step": "a"}),
        ("translation_completed", {}),
        ("translation_started", {"step": "a"}),
    )
    (ended,) = [c for c in life.tell("step_completed", step="a") if isinstance(c, StepEnded)]
    assert ended.start_at == T0 + 3


# --- time ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("skew", "believed"),
    [(0, True), (-3600, True), (86_400, True), (-86_400, True), (86_401, False), (-(10**8), False)],
)
def test_a_timestamp_is_believed_within_a_day(skew: float, believed: bool) -> None:
    """Used for times and durations when within 24 h of `received_at`, else `received_at`, the skew kept."""
    life = told(("translation_started", {"timestamp": T0 + 1 + skew}))
    assert event_time(life.told[0]) == (T0 + 1 + skew if believed else T0 + 1)
    assert life.attempt.started_at == event_time(life.told[0])
    assert life.attempt.skew_s == skew
    assert life.attempt.started_received == T0 + 1


def test_durations_are_never_negative() -> None:
    """A clock that jumps back gives a duration of 0, not less."""
    life = told(
        ("translation_started", {"timestamp": T0 + 100}), ("translation_completed", {"timestamp": T0})
    )
    assert life.attempt.duration_s == 0.0


def test_rates_use_the_servers_clock() -> None:
    """ETA and rates use `received_at`, whatever the producer's clock says."""
    life = told(("translation_started", {"total_items": 10, "timestamp": T0}))
    for n in range(1, 6):
        life.tell("translation_progress", current_item=n, timestamp=T0, after_s=2.0)
    assert life.attempt.item_seconds == [2.0] * 5


def test_stalled_is_a_matter_of_when_one_looks() -> None:
    """`stalled` after 300 s without an event; an ended session never is."""
    life = told(("translation_started", {}))
    assert life.session is not None
    assert life.session.status(life.now + 300, 300) is Status.RUNNING
    assert life.session.status(life.now + 301, 300) is Status.STALLED
    life.tell("translation_completed")
    assert life.session.status(life.now + 9999, 300) is Status.COMPLETED


# --- what a summary shows -----------------------------------------------------------------------------------


def test_usage_adds_up() -> None:
    """`usage` is what was consumed since the previous event carrying it: the totals are sums."""
    life = told(
        ("translation_started", {}),
        (
            "translation_progress",
            {"usage": {"provider": "p", "model": "m", "worker": "w1", "input_tokens": 5}},
        ),
        (
            "translation_progress",
            {"usage": [{"output_tokens": 7, "cost_usd": 0.5, "cache": "hit"}, {"result": "timeout"}]},
        ),
        (
            "translation_error",
            {"usage": {"requests": 3, "result": "quota", "duration_s": 1.5, "cache": "miss"}},
        ),
    )
    usage = life.attempt.usage
    assert (usage.requests, usage.failed_requests) == (6, 4)
    assert (usage.input_tokens, usage.output_tokens, usage.cost_usd, usage.duration_s) == (5, 7, 0.5, 1.5)
    assert (usage.cache_hits, usage.cache_misses) == (1, 1)
    assert (life.attempt.engine, life.attempt.model, life.attempt.workers) == ("p", "m", ["w1"])


def test_workers_are_remembered_the_newest_last() -> None:
    """`workers` of a session, from either place of `worker_info`, each once."""
    life = told(
        ("translation_started", {"worker_info": {"host": "a", "type": "ssh-llamacpp", "model": "m"}}),
        ("translation_progress", {"data": {"worker_info": {"name": "b"}}}),
        ("translation_progress", {"worker_info": {"host": "a", "port": 22}}),
    )
    assert life.attempt.workers == ["b", "a:22"]
    assert (life.attempt.engine, life.attempt.model) == ("ssh-llamacpp", "m")


def test_a_producers_trace_is_joined() -> None:
    """`traceparent` of the first event is the parent; others are linked, each once."""
    one = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    two = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"
    life = told(
        ("translation_started", {"traceparent": one}),
        ("translation_progress", {"traceparent": two}),
        ("translation_progress", {"traceparent": two}),
        ("translation_progress", {"traceparent": one}),
    )
    assert life.attempt.root.trace_id == one.split("-")[1]
    assert life.attempt.parent_span_id == one.split("-")[2]
    assert [link.span_id for link in life.attempt.links] == [two.split("-")[2]]


def test_what_a_session_keeps_is_bounded() -> None:
    """A session of any length stays small; the end still has its milestone."""
    life = Life()
    for n in range(500):
        life.tell("translation_error", step=f"step-{n}", worker_info={"name": f"w{n}"}, error="e")
    life.tell("translation_completed")
    assert len(life.attempt.milestones) == MAX_MILESTONES
    assert life.attempt.milestones[-1].name == "completed_with_failures"
    assert len(life.attempt.open_steps) <= 64
    assert len(life.attempt.workers) == 32
    assert life.attempt.errors == 500


def test_a_checkpoint_comes_every_ten_percent_and_ten_minutes() -> None:
    """Another 10 % or 10 minutes of an attempt have passed; checkpoints join without gaps."""
    life = told(("translation_started", {}))
    for n in range(1, 100):
        life.tell("translation_progress", progress=n)
    life.tell("translation_progress", after_s=600)
    points = [c for c in life.changes if isinstance(c, Checkpoint)]
    assert [p.progress for p in points] == [10, 20, 30, 40, 50, 60, 70, 80, 90, 99]
    assert points[0].start_at == T0 + 1
    assert all(a.end_at == b.start_at for a, b in pairwise(points))


# --- replay -------------------------------------------------------------------------------------------------

NOT_A_PRODUCERS = (EventType.WORKER_STATUS, EventType.SESSION_ENDED)
lives = st.lists(
    st.tuples(
        st.sampled_from([e.value for e in EventType if e not in NOT_A_PRODUCERS]),
        st.fixed_dictionaries(
            {},
            optional={
                "step": st.sampled_from(["reading", "translation", "writing"]),
                "progress": st.floats(0, 100),
                "current_item": st.integers(0, 50) | st.sampled_from(["line_5", "title"]),
                "total_items": st.integers(0, 60),
                "failed_items": st.integers(0, 3),
                "fatal": st.booleans(),
                "error_type": st.sampled_from(["timeout", "worker_lost", "?"]),
                "timestamp": st.sampled_from([T0, T0 + 50, T0 - 10**6]),
                "worker_info": st.sampled_from([{"name": "a"}, {"host": "h"}]),
                "usage": st.sampled_from([{"input_tokens": 3}, [{"result": "timeout"}]]),
                "data": st.sampled_from([{"items_done": 4}, {"items_resumed": 2}, {"engine": "e"}]),
                "after_s": st.sampled_from([0.0, 1.0, 700.0]),
            },
        ),
    ),
    min_size=1,
    max_size=25,
)


@given(lives, st.data())
@settings(max_examples=200, deadline=None)
def test_a_replay_ends_where_the_first_run_did(
    events: list[tuple[str, dict[str, Any]]], data: st.DataObject
) -> None:
    """A restart reads a summary, then the events after it, and has the same session and the same changes."""
    life = told(*events)
    cut = data.draw(st.integers(0, len(events)))
    session: Session | None = None
    changes: list[Change] = []
    for stored in life.told[:cut]:
        session, some = apply(session, stored, LOG)
        changes += copy.deepcopy(some)
    if session is not None:
        session = msgspec.msgpack.decode(msgspec.msgpack.encode(session), type=Session)
    for stored in life.told[cut:]:
        session, some = apply(session, stored, LOG)
        changes += some
    assert session == life.session
    assert [type(c) for c in changes] == [type(c) for c in life.changes]


@given(lives)
@settings(max_examples=200, deadline=None)
def test_every_life_obeys_its_laws(events: list[tuple[str, dict[str, Any]]]) -> None:
    """Whatever the events: attempts start once and end once, in turn, and no figure leaves its range."""
    life = told(*events)
    turns = [type(c) for c in life.changes if isinstance(c, Started | Ended)]
    assert turns == [Started if n % 2 == 0 else Ended for n in range(len(turns))]
    attempt = life.attempt
    assert not attempt.ended or turns[-1] is Ended
    assert attempt.updated_at >= attempt.started_at
    assert attempt.duration_s is None or attempt.duration_s >= 0
    assert attempt.items_done is None or attempt.items_done >= 0
    assert all(seconds >= 0 for seconds in attempt.item_seconds)
    estimate = eta_s(attempt)
    assert estimate is None or 0 <= estimate[0] <= estimate[1]
    assert all(c.items > 0 for c in life.changes if isinstance(c, ItemsDone))
    assert all(c.end_at >= c.start_at for c in life.changes if isinstance(c, StepEnded | Checkpoint))
