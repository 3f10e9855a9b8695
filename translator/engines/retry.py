"""How often and how long a failed request is tried again: capped exponential backoff with full jitter."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from translation_events.event import ErrorType

TRANSIENT: Final = frozenset(
    (
        ErrorType.TIMEOUT,
        ErrorType.CONNECTION,
        ErrorType.REFUSED,
        ErrorType.RATE_LIMITED,
        ErrorType.SERVER_ERROR,
        ErrorType.INVALID_RESPONSE,
        ErrorType.EMPTY,
    )
)
# Sampled anew, a model may do better once; after that it is the text it cannot do.
ONCE_MORE: Final = frozenset((ErrorType.BAD_OUTPUT,))


@dataclass(frozen=True, slots=True)
class Retry:
    """`attempts` in all, the n-th wait drawn from 0 to `base_s` × 2ⁿ, at most `cap_s` seconds.

    What is in `leave` is not tried again: somebody else sees to it.
    """

    attempts: int = 4
    base_s: float = 0.5
    cap_s: float = 20.0
    leave: frozenset[ErrorType] = frozenset()

    def wait_s(self, failed: int, error_type: ErrorType, retry_after_s: float | None = None) -> float | None:
        """Seconds until the next attempt after `failed` ones, None where none is worth it."""
        if failed >= self.attempts or (error_type in ONCE_MORE and failed > 1):
            return None
        if error_type in self.leave or error_type not in TRANSIENT | ONCE_MORE:
            return None
        backoff = random.uniform(0.0, min(self.cap_s, self.base_s * 2 ** (failed - 1)))  # noqa: S311  # no secret
        # A server's own wish is kept, but not one for half an hour.
        return max(backoff, min(retry_after_s, 3 * self.cap_s)) if retry_after_s else backoff
