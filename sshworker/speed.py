"""How fast one slot of a worker is, as its finished work shows."""

from __future__ import annotations

from typing import Final

# A fifth of the newest result: some ten results after a change (a GPU lost, a CPU instead) little of the old
# speed is left, and one odd segment moves little.
NEWEST: Final = 0.2
# Results that come rarely count for more, or a worker that is tried once a minute would be believed slow for
# half an hour after it recovered.
HALF_LIFE_S: Final = 60.0


class Speed:
    """Units per second, smoothed; each result weighs by its units.

    So a segment of three words, mostly waiting, counts for as little as it is.
    """

    def __init__(self) -> None:
        self._weighed = 0.0
        self._units = 0.0
        self.measured_at: float | None = None

    @property
    def units_per_s(self) -> float | None:
        """None before the first measurement."""
        return self._weighed / self._units if self.measured_at is not None else None

    def measure(self, units: float, seconds: float, now: float) -> None:
        """Take a result's size and time. Nothing, or in no time, says nothing about speed and is left out."""
        if units <= 0 or seconds <= 0:
            return
        share = 1.0
        if self.measured_at is not None:
            share = max(NEWEST, 1.0 - 0.5 ** ((now - self.measured_at) / HALF_LIFE_S))
        self._weighed += share * (units * units / seconds - self._weighed)
        self._units += share * (units - self._units)
        self.measured_at = now
