"""Makers of panels: what all of a kind have in common, so that a dashboard reads as a list of questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as shared
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import GridPos, Panel
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.grafana.queries import Query

PROMETHEUS: Final = DataSourceRef(type_val="prometheus", uid="${prometheus_datasource}")
REF_IDS: Final = "ABCDEFGHIJ"
TOKENS_PER_S: Final = "suffix: tok/s"
ITEMS_PER_S: Final = "suffix: items/s"
GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "text"
Steps = Mapping[float, str]
"""Colours from a value on; below the lowest it is green unless `base` says otherwise."""

_Panel = TypeVar("_Panel", timeseries.Panel, stat.Panel, bargauge.Panel, statetimeline.Panel, table.Panel)


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 8,
    stacked: bool = False,
    bars: bool = False,
    limits: Steps | None = None,
    colors: Mapping[str, str] | None = None,
    top: float | None = None,
    links: Sequence[tuple[str, str]] = (),
) -> Panel:
    """Lines over time, with exemplars; `limits` are drawn as dashed lines, `links` are (title, address)."""
    panel = framed(timeseries.Panel(), title, description, unit, width, 8).min(0).show_points(_LONE_POINTS)
    # Two missed scrapes are bridged, an outage is not.
    panel = panel.span_nulls(60_000.0).fill_opacity(25 if stacked or bars else 8).line_width(1)
    panel = panel.legend(
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(shared.LegendDisplayMode.LIST)
        .placement(shared.LegendPlacement.BOTTOM)
        .calcs([])
    ).tooltip(
        common.VizTooltipOptions().mode(shared.TooltipDisplayMode.MULTI).sort(shared.SortOrder.DESCENDING)
    )
    if top is not None:
        panel = panel.max(top)
    if bars:
        panel = panel.draw_style(shared.GraphDrawStyle.BARS)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(shared.StackingMode.NORMAL))
    if limits is not None:
        dashed = common.GraphThresholdsStyleConfig().mode(shared.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(_steps(limits, GREEN)).thresholds_style(dashed)
    if links:
        panel = panel.data_links([data_link(*link) for link in links])
    for name, color in (colors or {}).items():
        panel = panel.override_by_name(name, [_fixed(color)])
    return asked(panel, queries).build()


def number(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 3,
    steps: Steps | None = None,
    base: str = GREEN,
    decimals: int | None = None,
    since: str = "",
    empty: str = "–",
) -> Panel:
    """The newest value, large; `since` overrides the time range (`now/d`), `empty` stands for no value."""
    panel = framed(stat.Panel(), title, description, unit, width, 4).no_value(empty)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel = panel.graph_mode(shared.BigValueGraphMode.NONE).color_mode(shared.BigValueColorMode.VALUE)
    several = shared.BigValueTextMode.VALUE_AND_NAME if len(queries) > 1 else shared.BigValueTextMode.AUTO
    panel = panel.text_mode(several).thresholds(_steps(steps or {}, base))
    panel = panel.mappings([_not_a_number(empty)])
    if decimals is not None:
        panel = panel.decimals(decimals)
    if since:
        panel = panel.time_from(since)
    return asked(panel, queries, instant=True).build()


def bar(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 8,
    steps: Steps | None = None,
    base: str = GREEN,
    top: float | None = None,
) -> Panel:
    """The newest values as bars beside each other."""
    panel = framed(bargauge.Panel(), title, description, unit, width, 8).min(0).no_value("–")
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel = panel.orientation(shared.VizOrientation.HORIZONTAL).thresholds(_steps(steps or {}, base))
    panel = panel.display_mode(shared.BarGaugeDisplayMode.BASIC)
    if top is not None:
        panel = panel.max(top)
    return asked(panel, queries, instant=True).build()


def timeline(
    title: str, description: str, query: Query, words: Mapping[str, tuple[str, str]], *, width: int = 24
) -> Panel:
    """States over time, a row a series; `words` gives a value its (name, colour)."""
    panel = framed(statetimeline.Panel(), title, description, "none", width, 8)
    panel = panel.merge_values(True).show_value(shared.VisibilityMode.NEVER).row_height(0.8)
    named = {
        value: models.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(words.items())
    }
    return asked(panel.mappings([models.ValueMap(options=named)]), (query,)).build()


def data_link(title: str, address: str) -> builders.DashboardLink:
    """A link of a value; Grafana fills in `${__value.raw}`, `${__field.labels.x}` and the variables."""
    return builders.DashboardLink(title).url(address).target_blank(True)


def framed(panel: _Panel, title: str, description: str, unit: str, width: int, height: int) -> _Panel:
    """`panel` with what every panel has; width and height in Grafana's units (24 across, 30 px)."""
    position = GridPos(h=height, w=width)
    framed = panel.title(title).description(description).unit(unit).grid_pos(position)
    return framed.datasource(PROMETHEUS)


def asked(
    panel: _Panel, queries: Sequence[Query], *, instant: bool = False, as_table: bool = False
) -> _Panel:
    """`panel` with its queries, each at this moment (`instant`) or over the time range."""
    for ref_id, query in zip(REF_IDS, queries, strict=False):
        target = prometheus.Dataquery().ref_id(ref_id).expr(query.expr).legend_format(query.legend)
        target = target.datasource(PROMETHEUS)
        target = target.instant() if instant else target.range().exemplar(True)
        target = target.format(PromQueryFormat.TABLE if as_table else PromQueryFormat.TIME_SERIES)
        panel = panel.with_target(target)
    return panel


def _steps(steps: Steps, base: str) -> builders.ThresholdsConfig:
    colors = [models.Threshold(value=None, color=base)]
    colors += [models.Threshold(value=value, color=color) for value, color in sorted(steps.items())]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(colors)


def _fixed(color: str) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})


def _not_a_number(text: str) -> models.SpecialValueMap:
    return models.SpecialValueMap(
        options=models.DashboardSpecialValueMapOptions(
            match=models.SpecialValueMatch.NULL_AND_NAN, result=models.ValueMappingResult(text=text)
        )
    )


# What happens seldom gives a point now and then, and a point alone has no line.
_LONE_POINTS: Final = shared.VisibilityMode.AUTO
