"""What one metric family is, as data: the collector fills it and docs/metrics.md is written from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Final

OTHER: Final = "other"


class FamilyType(StrEnum):
    """The types of family in use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Label:
    """A label and its closed set of values; without `values` it is open and must be capped by the writer."""

    name: str
    values: tuple[str, ...] = ()

    def known(self, value: str) -> str:
        """`value`, or `other` where it is not one of a closed set."""
        return value if not self.values or value in self.values else OTHER


@dataclass(frozen=True, slots=True)
class Family:
    """A metric family. `buckets` are upper bounds in `unit`, ascending, without +Inf.

    `first_use` is how many leading labels have to be used once before series appear; each such use sets all
    values of the remaining (closed) labels to 0. With 0 every series is there from the start.
    """

    name: str
    type: FamilyType
    help: str
    labels: tuple[Label, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()
    first_use: int = 0

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels, in the order in which values are given."""
        return tuple(label.name for label in self.labels)

    def known(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """`values` with `other` wherever one is not in its label's closed set."""
        return tuple(label.known(value) for label, value in zip(self.labels, values, strict=True))

    def opened_by(self, leading: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        """All label values that the first use of the `leading` ones brings into being at 0."""
        for rest in product(*(label.values for label in self.labels[self.first_use :])):
            yield leading + rest
