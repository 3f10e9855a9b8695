"""Pauses between attempts: capped, jittered, and never longer than the server may ask for."""

from __future__ import annotations

from translation_events.retry import Retry


def test_backoff_is_exponential_capped_and_fully_jittered() -> None:
    """Capped exponential backoff with full jitter: anywhere between 0 and the cap of that attempt."""
    retry = Retry(base_s=1, cap_s=10)
    for failures, cap in ((0, 1), (1, 2), (3, 8), (4, 10), (10_000, 10)):
        pauses = [retry.pause_s(failures) for _ in range(400)]
        assert all(0 <= pause <= cap for pause in pauses)
        assert min(pauses) < 0.1 * cap
        assert max(pauses) > 0.9 * cap


def test_retry_after_is_kept_within_reason() -> None:
    """503 + `Retry-After` is honoured; nonsense counts as absent, and there is a longest pause."""
    retry = Retry(base_s=0.1, cap_s=0.2, longest_s=600)
    assert 7 <= retry.asked_pause_s("7", 0) <= 7.7
    assert retry.asked_pause_s("99999999", 0) <= 660
    assert retry.asked_pause_s("-5", 0) == 0
    for absent in (None, "", "Wed, 21 Oct 2026 07:28:00 GMT"):
        assert 0 <= retry.asked_pause_s(absent, 0) <= 0.2


def test_a_refusal_is_asked_again_rarely() -> None:
    """401, 403, policy: retried slowly, spread out."""
    pauses = [Retry(refused_s=60).refused_pause_s() for _ in range(200)]
    assert all(30 <= pause <= 90 for pause in pauses)
    assert len(set(pauses)) > 100
