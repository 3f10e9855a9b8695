"""`python -m benchmarks [P1 … P15] [--reps N] [--quick] [--full]`: measure, print the table."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

from benchmarks import (
    build,
    fanout,
    ingest,
    machine,
    memory,
    page,
    paint,
    scrape,
    stall,
    start,
    telemetry,
    tunnel,
)
from benchmarks.machine import Missing
from benchmarks.row import Row, render
from benchmarks.session import BenchSession

Measure = Callable[[BenchSession, Collection[str]], list[Row]]

# In the order they run: those that share a harness are interleaved with one another.
MEASURES: Final[Sequence[tuple[Collection[str], Measure]]] = (
    (tuple(fanout.SCENARIOS), fanout.measure),
    (ingest.NAMES, ingest.measure),
    (memory.NAMES, memory.measure),
    (scrape.NAMES, scrape.measure),
    (start.NAMES, start.measure),
    (telemetry.NAMES, telemetry.measure),
    (tunnel.NAMES, tunnel.measure),
    (stall.NAMES, stall.measure),
    (page.NAMES, page.measure),
    (paint.NAMES, paint.measure),
)
NAMES: Final = sorted((name for names, _ in MEASURES for name in names), key=lambda name: int(name[1:]))


def main() -> int:
    """Returns 0 whatever was met: a busy machine is no fault of the code's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", type=str.upper, metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--reps", type=int, default=3, help="repetitions, of which the median counts (3)")
    parser.add_argument("--quick", action="store_true", help="short runs, to see that all works")
    parser.add_argument("--full", action="store_true", help="the longest runs whole: ten million events")
    parser.add_argument(
        "--patience", type=float, default=10.0, metavar="S", help="seconds to wait for a quiet machine (10)"
    )
    args = parser.parse_args()
    if unknown := set(args.names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    try:
        machine.prepare()
        build.load_client()
    except Missing as reason:
        print(f"benchmarks: {reason}", file=sys.stderr)
        return 1
    session = BenchSession(
        reps=1 if args.quick else args.reps,
        quick=args.quick,
        full=args.full,
        patience_s=0.0 if args.quick else args.patience,
    )
    rows: list[Row] = []
    for names, measure in MEASURES:
        if wanted := [name for name in names if not args.names or name in args.names]:
            rows += measure(session, wanted)
    rows.sort(key=lambda row: NAMES.index(row.name))
    print(f"{time.strftime('%Y-%m-%d')}, {machine.kind()}\n\n{render(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
