"""Panels as HTML and SVG: near enough to Grafana to judge a query, its unit, its shape and its legend."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise
from typing import Any, Final

from dashboards.grafana.preview_units import shown

ROW_PX: Final = 36
PALETTE: Final = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#b877d9", "#5794f2", "#ffa6b0")
NAMED: Final = {
    "green": "#56a64b", "yellow": "#f2cc0c", "orange": "#ff780a", "red": "#e02f44", "blue": "#5794f2",
    "purple": "#a352cc", "text": "#8e8e8e",
}  # fmt: skip
STYLE: Final = f"""
:root {{ color-scheme: dark }}
body {{ margin: 8px; background: #111217; color: #d0d0d8; font: 12px/1.4 system-ui, sans-serif }}
main {{ display: grid; grid-template-columns: repeat(24, 1fr); grid-auto-rows: {ROW_PX - 4}px; gap: 4px }}
section {{ background: #181b1f; border: 1px solid #2c3235; padding: 4px 8px; overflow: hidden; display: flex;
  flex-direction: column; min-width: 0 }}
h2 {{ grid-column: 1 / -1; font-size: 14px; margin: 8px 0 0; align-self: end }}
h3 {{ font-size: 12px; margin: 0; white-space: nowrap }}
svg {{ flex: 1; min-height: 0; width: 100% }}
.big {{ flex: 1; display: flex; gap: 16px; align-items: center; justify-content: center; font-size: 24px }}
.big small {{ display: block; font-size: 11px; color: #8e8e8e }}
.legend {{ font-size: 11px; max-height: 34px; overflow: hidden }}
.legend i {{ display: inline-block; width: 10px; height: 3px; margin: 0 4px 3px 8px }}
.none {{ flex: 1; display: grid; place-items: center; color: #8e8e8e }}
table {{ border-collapse: collapse; width: 100% }}
td, th {{ text-align: left; border-bottom: 1px solid #2c3235; padding: 1px 6px; white-space: nowrap }}
.bar {{ background: #2c3235; margin: 2px 0 6px }} .bar div {{ height: 14px }}
"""
LEFT, BOTTOM, TITLE_AND_LEGEND = 72, 16, 60
PAGE_PX: Final = 1264


@dataclass(frozen=True, slots=True)
class Series:
    """A line: its labels, its (Unix seconds, value) points, what it is called and by which query it came."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]
    name: str = ""
    ref_id: str = ""

    def called(self, legend: str, ref_id: str) -> Series:
        """The same with its name, `{{label}}` filled in."""
        name = re.sub(r"{{(\w+)}}", lambda found: self.labels.get(found[1], ""), legend)
        return replace(self, name=name, ref_id=ref_id)


@dataclass(frozen=True, slots=True)
class Mark:
    """An annotation."""

    at: float
    color: str
    name: str


def page(
    board: Mapping[str, Any],
    answers: Mapping[int, Sequence[Series]],
    marks: Sequence[Mark],
    between: tuple[float, float],
) -> str:
    """A dashboard as a page; `between` is its time range in Unix seconds."""
    parts = []
    for panel in board["panels"]:
        place = panel["gridPos"]
        where = f"grid-area: {place['y'] + 1} / {place['x'] + 1} / span {place['h']} / span {place['w']}"
        if panel["type"] == "row":
            parts.append(f'<h2 style="grid-row: {place["y"] + 1}">{escape(panel["title"])}</h2>')
            continue
        body = _body(panel, answers[panel["id"]], marks, between)
        title, about = escape(panel["title"]), escape(panel["description"], quote=True)
        parts.append(f'<section style="{where}" title="{about}"><h3>{title}</h3>{body}</section>')
    names = escape(f"{board['title']}: {board['description']}")
    return f"<!doctype html><meta charset=utf-8><title>{names}</title><style>{STYLE}</style>\
<h1 style='font-size:16px'>{names}</h1><main>{''.join(parts)}</main>"


def _body(
    panel: Mapping[str, Any], series: Sequence[Series], marks: Sequence[Mark], between: tuple[float, float]
) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    if panel["datasource"]["type"] != "prometheus":
        return '<div class="none">asks Tempo</div>'
    if not series:
        return f'<div class="none">{escape(defaults.get("noValue") or "No data")}</div>'
    match panel["type"]:
        case "stat":
            return _big(panel, series)
        case "bargauge":
            return _bars(panel, series)
        case "table":
            return _table(panel, series)
        case "state-timeline":
            return _timeline(panel, series, between)
        case _:
            return _graph(panel, series, marks, between)


def _big(panel: Mapping[str, Any], series: Sequence[Series]) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    values = []
    for one in series:
        value = one.points[-1][1]
        name = f"<small>{escape(one.name)}</small>" if len(panel["targets"]) > 1 or len(series) > 1 else ""
        text = escape(shown(value, defaults["unit"], defaults.get("decimals")))
        values.append(f'<span style="color:{_threshold(defaults, value)}">{name}{text}</span>')
    return f'<div class="big">{"".join(values)}</div>'


def _bars(panel: Mapping[str, Any], series: Sequence[Series]) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    top = defaults.get("max") or max(one.points[-1][1] for one in series) or 1
    drawn = []
    for one in series:
        value = one.points[-1][1]
        share = min(100, 100 * value / top)
        drawn.append(
            f"{escape(one.name)}: {escape(shown(value, defaults['unit']))}"
            f'<div class="bar"><div style="width:{share:.1f}%;background:{_threshold(defaults, value)}">'
            "</div></div>"
        )
    return f"<div>{''.join(drawn)}</div>"


def _table(panel: Mapping[str, Any], series: Sequence[Series]) -> str:
    organized = next(t["options"] for t in panel["transformations"] if t["id"] == "organize")
    joined = next(t["options"]["byField"] for t in panel["transformations"] if t["id"] == "joinByField")
    order, hidden = organized["indexByName"], organized["excludeByName"]
    names = dict(sorted(organized["renameByName"].items(), key=lambda name: int(order[name[0]])))
    units = {o["matcher"]["options"]: p["value"] for o in panel["fieldConfig"]["overrides"]
             for p in o["properties"] if p["id"] == "unit"}  # fmt: skip
    lone = len(panel["targets"]) == 1
    rows: dict[str, dict[str, str]] = {}
    by = next((sort["displayName"] for sort in panel["options"].get("sortBy", ())), "")
    refs = [ref for ref, name in names.items() if name == by]
    first = {
        one.labels.get(joined, ""): one.points[-1][1] for one in series if f"Value #{one.ref_id}" in refs
    }
    for one in sorted(series, key=lambda one: first.get(one.labels.get(joined, ""), math.inf)):
        row = rows.setdefault(one.labels.get(joined, ""), {})
        row |= {names[label]: text for label, text in one.labels.items() if label in names}
        column = "Value" if lone else f"Value #{one.ref_id}"
        if column in names and not hidden.get(column):
            row[names[column]] = shown(one.points[-1][1], units.get(names[column], "none"))
    heads = "".join(f"<th>{escape(name)}" for name in names.values())
    cells = (
        "<tr>" + "".join(f"<td>{escape(row.get(name, '–'))}" for name in names.values())
        for row in rows.values()
    )
    return f"<div style='overflow:hidden'><table><tr>{heads}</tr>{''.join(cells)}</table></div>"


def _timeline(panel: Mapping[str, Any], series: Sequence[Series], between: tuple[float, float]) -> str:
    options = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    start, end = between
    width, height = _size(panel, 40)
    high = height / max(len(series), 1)
    parts = []
    for number, one in enumerate(series):
        y = number * high
        step = min((b[0] - a[0] for a, b in pairwise(one.points)), default=1)
        for at, value in one.points:
            x, wide = width * (at - start) / (end - start), width * step / (end - start)
            color = NAMED[options[f"{value:g}"]["color"]]
            parts.append(f'<rect x="{x:.1f}" y="{y + 2:.1f}" width="{wide + 0.5:.1f}" height="{high - 4:.1f}"'
                         f' fill="{color}"/>')  # fmt: skip
        parts.append(
            f'<text x="4" y="{y + high / 2 + 4:.1f}" font-size="12" fill="#fff">{escape(one.name)}</text>'
        )
    return f'<svg viewBox="0 0 {width} {height}">{"".join(parts)}</svg>'


def _graph(
    panel: Mapping[str, Any], series: Sequence[Series], marks: Sequence[Mark], between: tuple[float, float]
) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults["custom"]
    stacked = (custom.get("stacking") or {}).get("mode") == "normal"
    lines = _stacked(series) if stacked else series
    top = defaults.get("max") or max(value for one in lines for _, value in one.points) * 1.05 or 1.0
    start, end = between
    width, height = _size(panel, TITLE_AND_LEGEND)

    def x(at: float) -> float:
        return LEFT + (width - LEFT) * (at - start) / (end - start)

    def y(value: float) -> float:
        return (height - BOTTOM) * (1 - min(max(value, 0) / top, 1)) + 4

    parts = []
    for quarter in range(5):
        at, value = start + quarter * (end - start) / 4, quarter * top / 4
        label = escape(shown(value, defaults["unit"]))
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{width}" stroke="#2c3235"/>'
                     f'<text x="{LEFT - 4}" y="{y(value) + 4:.1f}" text-anchor="end">{label}</text>'
                     f'<text x="{min(x(at), width - 30):.0f}" y="{height}">'
                     f"{time.strftime('%H:%M', time.localtime(at))}</text>")  # fmt: skip
    parts += [f'<path d="M{x(m.at):.1f} 0V{height - BOTTOM}" stroke="{NAMED[m.color]}" stroke-opacity=".35" '
              f'stroke-dasharray="2"><title>{escape(m.name)}</title></path>' for m in marks]  # fmt: skip
    parts += [f'<path d="M{LEFT} {y(step["value"]):.1f}H{width}" stroke="{NAMED[step["color"]]}" '
              'stroke-dasharray="6 4"/>'
              for step in (defaults.get("thresholds") or {}).get("steps", ())
              if custom.get("thresholdsStyle") and step["value"] and step["value"] <= top]  # fmt: skip
    legend: list[str] = []
    bars = custom.get("drawStyle") == "bars"
    for number, one in reversed(list(enumerate(lines))):
        color = _fixed(panel, one.name) or PALETTE[number % len(PALETTE)]
        legend.insert(0, f'<i style="background:{color}"></i>{escape(one.name)}')
        if bars:
            parts += [f'<path d="M{x(at):.1f} {y(0):.1f}V{y(value):.1f}" stroke="{color}" stroke-width="3"/>'
                      for at, value in one.points]  # fmt: skip
            continue
        path = _path(one.points, x, y, 3 * _pace(one.points))
        fill = f"<path d='{_closed(one.points, x, y)}' fill='{color}' fill-opacity='.35'/>" if stacked else ""
        parts.append(f'{fill}<path d="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>')
    svg = f'<svg viewBox="0 0 {width} {height}" font-size="10" fill="#9a9aa5">{"".join(parts)}</svg>'
    return f'{svg}<div class="legend">{"".join(legend)}</div>'


def _size(panel: Mapping[str, Any], around: int) -> tuple[int, int]:
    """Width and height in pixels that a panel's drawing has, `around` being what stands above and below."""
    place = panel["gridPos"]
    return PAGE_PX * place["w"] // 24 - 24, ROW_PX * place["h"] - around


def _stacked(series: Sequence[Series]) -> list[Series]:
    below: dict[float, float] = {}
    raised = []
    for one in series:
        points = [(at, value + below.get(at, 0.0)) for at, value in one.points]
        below |= dict(points)
        raised.append(replace(one, points=points))
    return raised


def _pace(points: Sequence[tuple[float, float]]) -> float:
    return min((b[0] - a[0] for a, b in pairwise(points)), default=1.0)


def _path(points: Sequence[tuple[float, float]], x: Any, y: Any, longest_gap_s: float) -> str:
    if len(points) == 1:  # a lone point would be no line at all
        return f"M{x(points[0][0]) - 2:.1f} {y(points[0][1]):.1f}h4"
    drawn, before = [], None
    for at, value in points:
        word = "L" if before is not None and at - before <= longest_gap_s else "M"
        drawn.append(f"{word}{x(at):.1f} {y(value):.1f}")
        before = at
    return "".join(drawn)


def _closed(points: Sequence[tuple[float, float]], x: Any, y: Any) -> str:
    first, last = points[0][0], points[-1][0]
    top = "".join(f"L{x(at):.1f} {y(value):.1f}" for at, value in points)
    return f"M{x(first):.1f} {y(0):.1f}{top}L{x(last):.1f} {y(0):.1f}Z"


def _threshold(defaults: Mapping[str, Any], value: float) -> str:
    color = "text"
    for step in (defaults.get("thresholds") or {}).get("steps", ()):
        if step["value"] is None or value >= step["value"]:
            color = step["color"]
    return NAMED[color]


def _fixed(panel: Mapping[str, Any], name: str) -> str | None:
    for override in panel["fieldConfig"]["overrides"]:
        if override["matcher"]["options"] == name:
            for found in override["properties"]:
                if found["id"] == "color":
                    return NAMED[found["value"]["fixedColor"]]
    return None
