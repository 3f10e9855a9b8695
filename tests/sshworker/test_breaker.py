"""The breaker as a pure machine: what opens it, for how long, and what closes it."""

from __future__ import annotations

import random

import pytest

from sshworker.breaker import Breaker, BreakerLimits, BreakerState
from sshworker.errors import Failure, WorkerError

LIMITS = BreakerLimits(failures=3, ratio=0.5, window=20, enough=10, base_s=1.0, cap_s=60.0)


def error(failure: Failure = Failure.REFUSED) -> WorkerError:
    """A failure of worker w."""
    return WorkerError(failure, f"it was {failure}", worker="w")


def opened(now: float = 0.0) -> Breaker:
    """A breaker that three refusals have opened."""
    breaker = Breaker(LIMITS, random.Random(1))
    for _ in range(3):
        breaker.failed(error(), now, trial=False)
    return breaker


def test_three_failures_of_the_worker_in_a_row_open_it() -> None:
    """Consecutive worker-gone failures open the breaker; a success in between starts the count anew."""
    breaker = Breaker(LIMITS, random.Random(1))
    for trouble in (True, True, False, True, True):
        if trouble:
            breaker.failed(error(), 0.0, trial=False)
        else:
            breaker.succeeded(trial=False)
    assert breaker.state(0.0) is BreakerState.CLOSED
    breaker.failed(error(), 0.0, trial=False)
    assert breaker.state(0.0) is BreakerState.OPEN
    assert not breaker.admits(0.0)
    assert "it was refused" in breaker.why


def test_failing_every_other_time_opens_it_by_ratio() -> None:
    """A failure ratio opens the breaker where failures never come in a row."""
    breaker = Breaker(LIMITS, random.Random(1))
    for _ in range(4):
        breaker.succeeded(trial=False)
        breaker.failed(error(Failure.TIMEOUT), 0.0, trial=False)
    assert breaker.closed
    breaker.succeeded(trial=False)
    breaker.failed(error(Failure.TIMEOUT), 0.0, trial=False)
    assert breaker.state(0.0) is BreakerState.OPEN
    assert breaker.why.startswith("5 of 10 failed")


@pytest.mark.parametrize("failure", [Failure.BAD_OUTPUT, Failure.EMPTY, Failure.TOO_LARGE])
def test_failures_of_the_text_never_open_it(failure: Failure) -> None:
    """A worker that answers, badly, is alive: only its own failures count."""
    breaker = Breaker(LIMITS, random.Random(1))
    for _ in range(100):
        breaker.failed(error(failure), 0.0, trial=False)
    assert breaker.closed


def test_a_worker_whose_every_command_fails_is_shut_out() -> None:
    """Exit codes do not count in a row, and do for the ratio: failing fast must not draw all work."""
    breaker = Breaker(LIMITS, random.Random(1))
    for _ in range(9):
        breaker.failed(error(Failure.EXIT), 0.0, trial=False)
    assert breaker.closed
    breaker.failed(error(Failure.EXIT), 0.0, trial=False)
    assert not breaker.closed


def test_after_the_pause_exactly_one_trial_is_let_through() -> None:
    """Half-open admits one piece of work, and no second one until the first has an outcome."""
    breaker = opened()
    at = breaker.retry_at
    assert at is not None
    assert not breaker.admits(at - 0.001)
    assert breaker.admits(at)
    assert breaker.state(at) is BreakerState.HALF_OPEN
    assert breaker.enter()
    assert not breaker.admits(at + 1000)
    breaker.leave()
    assert breaker.admits(at)


def test_a_good_trial_closes_it_and_forgets_the_past() -> None:
    """Closes on success; the next opening pauses as briefly as the first."""
    breaker = opened()
    breaker.enter()
    breaker.failed(error(), 10.0, trial=True)
    breaker.enter()
    breaker.succeeded(trial=True)
    assert breaker.closed
    for _ in range(3):
        breaker.failed(error(), 20.0, trial=False)
    assert breaker.retry_at is not None
    assert breaker.retry_at <= 21.0


def test_a_trial_that_fails_by_its_text_closes_it_too() -> None:
    """The worker answered, which is what the trial asked."""
    breaker = opened()
    breaker.enter()
    breaker.failed(error(Failure.BAD_OUTPUT), 10.0, trial=True)
    assert breaker.closed


def test_pauses_double_up_to_the_cap_and_are_jittered() -> None:
    """Half-open comes after a capped, jittered backoff."""
    breaker = opened()
    pauses = [breaker.retry_at or 0.0]
    for _ in range(11):
        breaker.enter()
        breaker.failed(error(), 0.0, trial=True)
        pauses.append(breaker.retry_at or 0.0)
    for n, pause in enumerate(pauses):
        longest = min(60.0, 2.0**n)
        assert longest / 2 <= pause <= longest
    assert len(set(pauses[6:])) == len(pauses[6:]), "capped pauses are still spread"


def test_results_of_work_begun_before_the_opening_do_not_count() -> None:
    """Ten calls failing together open it once: the pause is not drawn out, and no old success closes it."""
    breaker = opened()
    at = breaker.retry_at
    breaker.failed(error(), 0.5, trial=False)
    breaker.succeeded(trial=False)
    assert breaker.retry_at == at


def test_a_worker_seen_well_gets_its_trial_at_once() -> None:
    """A report of the prober spares the rest of the pause; it still takes a success to close."""
    breaker = opened()
    breaker.allow_trial(0.1)
    assert breaker.admits(0.1)
    assert not breaker.closed
