"""Panels that ask Tempo: what only the spans know of a single session."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import tempo
from grafana_foundation_sdk.models import tempo as models
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import GridPos, Panel

from translation_events import semconv

TEMPO: Final = DataSourceRef(type_val="tempo", uid="${tempo_datasource}")
# Of one trace. Left out, Grafana asks for three; Tempo refuses more than this unless told otherwise.
_MOST_SPANS: Final = 100
_SHOWN: Final = (
    semconv.STEP,
    semconv.RESULT,
    semconv.ITEMS_DONE,
    semconv.ERRORS,
    semconv.ERROR_TYPE,
    semconv.INPUT_TOKENS,
    semconv.OUTPUT_TOKENS,
    semconv.COST_USD,
)


def trace(title: str, description: str, trace_id: str, *, height: int = 12) -> Panel:
    """One whole trace, which a viewer may see here without access to Explore."""
    return _asked(_framed("traces", title, description, height), trace_id)


def session_spans(title: str, description: str, session_id: str, *, height: int = 9) -> Panel:
    """The attempts and steps of one session with its exact tokens, cost and errors, newest first."""
    wanted = f'{{ span.{semconv.SESSION_ID} = "{session_id}" && name !~ "checkpoint|chat.*" }}'
    shown = ", ".join(f"span.{name}" for name in _SHOWN)
    return _asked(_framed("table", title, description, height), f"{wanted} | select({shown})")


def _framed(kind: str, title: str, description: str, height: int) -> builders.Panel:
    panel = builders.Panel().type(kind).title(title).description(description).unit("none")
    return panel.datasource(TEMPO).grid_pos(GridPos(h=height, w=24))


def _asked(panel: builders.Panel, query: str) -> Panel:
    target = tempo.Dataquery().ref_id("A").query_type("traceql").query(query).datasource(TEMPO)
    return panel.with_target(
        target.table_type(models.SearchTableType.SPANS).limit(200).spss(_MOST_SPANS)
    ).build()
