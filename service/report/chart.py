"""The progress of an attempt over time as an inline picture (SVG), readable in black on white. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from service.report.course import Error, Point
from service.report.markup import clock, took

WIDTH: Final = 720
HEIGHT: Final = 200
LEFT: Final = 44
BOTTOM: Final = 26
TOP: Final = 10
RIGHT: Final = 12
MAX_POINTS: Final = 400  # more than the picture has room for
MAX_MARKS: Final = 100


def progress_chart(points: Sequence[Point], errors: Sequence[Error], start: float, end: float) -> str:
    """The curve from `start` to `end` (Unix seconds) with a mark for each error; "" for nothing to draw."""
    if not points:
        return ""
    end = max(end, points[-1].at, start + 1.0)
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(at: float) -> float:
        return LEFT + min(1.0, max(0.0, (at - start) / (end - start))) * wide

    def y(percent: float) -> float:
        return TOP + (1 - percent / 100) * high

    kept = _thinned(points)
    # Between two events nothing was said: the curve stays where it was and steps up.
    path = f"M{x(kept[0].at):.1f} {y(kept[0].percent):.1f}"
    path += "".join(f"H{x(one.at):.1f}V{y(one.percent):.1f}" for one in kept[1:])
    path += f"H{x(end):.1f}"
    area = f"{path}V{y(0):.1f}H{x(kept[0].at):.1f}Z"
    lines = [
        f'<path class="grid" d="M{LEFT} {y(level):.1f}H{WIDTH - RIGHT}"/>'
        f'<text class="axis" x="{LEFT - 6}" y="{y(level) + 4:.1f}" text-anchor="end">{level} %</text>'
        for level in (0, 50, 100)
    ]
    for place in range(5):
        at = start + (end - start) * place / 4
        anchor = ("start", "middle", "middle", "middle", "end")[place]
        lines.append(
            f'<text class="axis" x="{x(at):.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{clock(at)}</text>'
        )
    marks = [
        f'<path class="mark" d="M{x(one.at):.1f} {TOP}V{TOP + high:.1f}"/>' for one in errors[-MAX_MARKS:]
    ]
    label = f"Progress: {kept[-1].percent:.0f} % after {took(end - start)}, {len(errors)} errors marked"
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f'{"".join(lines)}<path class="area" d="{area}"/>{"".join(marks)}'
        f'<path class="curve" d="{path}"/></svg>'
    )


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most `MAX_POINTS` of them, the first and the last always."""
    if len(points) <= MAX_POINTS:
        return list(points)
    stride = (len(points) - 1) / (MAX_POINTS - 1)
    return [points[round(place * stride)] for place in range(MAX_POINTS)]
