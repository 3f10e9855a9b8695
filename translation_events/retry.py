"""How long a publisher waits before it tries again."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """Capped exponential backoff with full jitter; all values in seconds.

    `refused_s` is the mean pause after a refusal that only a person can lift (401, 403, policy), `answer_s`
    how long the monitor may leave an event without a reply, `connect_s` how long a connection may take.
    """

    base_s: float = 0.25
    cap_s: float = 30.0
    refused_s: float = 60.0
    answer_s: float = 30.0
    connect_s: float = 10.0
    longest_s: float = 600.0  # no server's Retry-After keeps a publisher silent for longer

    def pause_s(self, failures: int) -> float:
        """The pause after so many failures in a row; from 0 on, so that a crowd comes back spread out."""
        return random.uniform(0, min(self.cap_s, self.base_s * 2 ** min(failures, 32)))  # noqa: S311  # no secret

    def refused_pause_s(self) -> float:
        """The pause after a refusal, half as much more or less."""
        return random.uniform(0.5, 1.5) * self.refused_s  # noqa: S311  # no secret

    def asked_pause_s(self, retry_after: str | None, failures: int) -> float:
        """The pause after a 503: at least what the server asked for, with up to a tenth on top."""
        try:
            asked = min(max(float(retry_after or ""), 0.0), self.longest_s)
        except ValueError:
            return self.pause_s(failures)  # absent, or a date: rare enough to be treated as absent
        return asked * random.uniform(1.0, 1.1)  # noqa: S311  # no secret
