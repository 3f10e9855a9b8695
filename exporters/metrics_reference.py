"""Writes docs/metrics.md from the families themselves.

`python -m exporters.metrics_reference > docs/metrics.md`
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from exporters.prometheus_families import FAMILIES
from exporters.prometheus_family import Family, Label

_HEAD: Final = """\
# Metrics

Written by `python -m exporters.metrics_reference > docs/metrics.md` from `exporters/prometheus_families.py`;
change it there.

`GET /metrics` answers in the Prometheus text format, or in OpenMetrics with exemplars where `Accept` asks
for it. Every family below is always exposed with its help and type, with samples or without. Counters begin
at 0 when the process starts.

- A label with a closed set shows all its values at 0 before the first one is counted; where two labels meet,
  from the first use of the first one on. Anything outside the set is `other`.
- Values that producers choose are cut to 64 characters; the first 50 distinct ones of a label are shown, the
  rest is `other`.
- `session_id` is a label of four gauges only: for the 200 newest sessions, until 15 minutes after their end.
- No label carries text of a document.
- Exemplars carry `trace_id`, and `session_id` where it has at most 64 characters.
- On Linux the `process_*` families (CPU, memory, file descriptors) are exposed as well.

| name | type | unit | labels | meaning |
| --- | --- | --- | --- | --- |
"""


def page() -> str:
    """The whole of docs/metrics.md."""
    return _HEAD + "".join(f"| {' | '.join(_row(family))} |\n" for family in FAMILIES) + _buckets()


def _row(family: Family) -> Iterator[str]:
    yield f"`{family.name}`"
    yield family.type.value
    yield family.unit or "–"
    yield "; ".join(map(_label, family.labels)) or "–"
    yield family.help


def _label(label: Label) -> str:
    return f"`{label.name}` ({', '.join(label.values)})" if label.values else f"`{label.name}`"


def _buckets() -> str:
    rows = (
        f"| `{family.name}` | {', '.join(f'{bound:g}' for bound in family.buckets)} |\n"
        for family in FAMILIES
        if family.buckets
    )
    return "\n## Buckets\n\n| histogram | upper bounds |\n| --- | --- |\n" + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(page())
