"""Tables: several queries side by side, a row for each value of one label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue, Panel

from dashboards.grafana.panels import REF_IDS, asked, data_link, framed
from dashboards.grafana.queries import Query


@dataclass(frozen=True, slots=True)
class Column:
    """A column of values; without a `unit` it is only there for the labels it brings."""

    query: Query
    unit: str = ""


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """A column of a label's values; `links` are (title, address)."""

    label: str
    name: str
    links: Sequence[tuple[str, str]] = ()


def rows(
    title: str,
    description: str,
    labels: Sequence[LabelColumn],
    values: Sequence[Column],
    *,
    first: str = "",
    width: int = 24,
    height: int = 8,
) -> Panel:
    """A table with a row for each value of the first of `labels`, by which the queries are joined.

    The other labels are those of the first query. Rows ascend by the column `first`.
    """
    panel = framed(table.Panel(), title, description, "none", width, height).no_value("–").show_header(True)
    # Grafana's own names: a lone query's values are "Value", those of several are told apart by their letter.
    column_of = {
        f"Value #{letter}" if len(values) > 1 else "Value": c
        for letter, c in zip(REF_IDS, values, strict=False)
    }
    names = {label.label: label.name for label in labels}
    names |= {name: column.query.legend for name, column in column_of.items() if column.unit}
    hidden = ["Time", *(f"Time {number}" for number in range(1, len(values) + 1))]
    hidden += [name for name, column in column_of.items() if not column.unit]
    organized = {
        "excludeByName": dict.fromkeys(hidden, True),
        "renameByName": names,
        "indexByName": {name: index for index, name in enumerate(names)},
    }
    joined = {"byField": labels[0].label, "mode": "outer"}
    panel = panel.with_transformation(DataTransformerConfig(id_val="joinByField", options=joined))
    panel = panel.with_transformation(DataTransformerConfig(id_val="organize", options=organized))
    if first:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(first).desc(False)])
    for column in values:
        if column.unit:
            unit = DynamicConfigValue(id_val="unit", value=column.unit)
            panel = panel.override_by_name(column.query.legend, [unit])
    for label in labels:
        if label.links:
            links = [data_link(*link).build() for link in label.links]
            panel = panel.override_by_name(label.name, [DynamicConfigValue(id_val="links", value=links)])
    return asked(panel, [column.query for column in values], instant=True, as_table=True).build()
