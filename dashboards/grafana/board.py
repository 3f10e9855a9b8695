"""The frame of every dashboard: variables, annotations, links, and the grid that panels are laid on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.dashboard import Dashboard, GridPos, Panel, RowPanel

from dashboards.grafana.panels import PROMETHEUS
from dashboards.grafana.queries import SESSION, Query, increase, of

TAG: Final = "translation-monitor"
JOB: Final = "translation-monitor"  # its name in deploy/prometheus, which the alerts rely on too
COLUMNS: Final = 24  # Grafana's grid
MONITOR_URL: Final = "http://127.0.0.1:8090"
# The uids are part of the addresses people keep, and of the links between the dashboards.
OVERVIEW_UID: Final = "translation-overview"
SESSION_UID: Final = "translation-session"
WORKERS_UID: Final = "translation-workers"
SERVICE_UID: Final = "translation-service"
_KEPT: Final = ("job", "instance", "prometheus_datasource", "tempo_datasource", "monitor_url")

STARTED: Final = Query(
    f"{increase('translation_sessions_started_total', by='kind')} > 0", "{{kind}} session started"
)
ENDED: Final = Query(
    increase("translation_sessions_finished_total", 'result=~"completed|cancelled"', by="kind, result")
    + " > 0",
    "{{kind}} session ended: {{result}}",
)
FAILED: Final = Query(
    increase("translation_sessions_finished_total", 'result!~"completed|cancelled"', by="kind, result")
    + " > 0",
    "{{kind}} session ended: {{result}}",
)
# A session's series appears with its first event; a minute earlier it was not there.
BEGUN: Final = Query(
    f"max by (session_id, kind) ({of('translation_session_info', SESSION)}) unless on (session_id)"
    f" max by (session_id) ({of('translation_session_info', SESSION)} offset 1m)",
    "{{session_id}} started",
)


def to_session(session_id: str) -> tuple[str, str]:
    """(title, address) of a session's dashboard; `session_id` is Grafana's name for the id at hand."""
    kept = ("${__url_time_range}", *(f"${{{name}:queryparam}}" for name in _KEPT))
    return "This session's dashboard", "&".join((f"/d/{SESSION_UID}?var-session=${{{session_id}}}", *kept))


def to_monitor(session_id: str) -> tuple[str, str]:
    """(title, address) of a session's live page."""
    return "Live in the monitor", f"${{monitor_url}}/monitor?session=${{{session_id}}}"


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels under it, left to right."""

    title: str
    panels: Sequence[Panel]


def board(
    uid: str,
    title: str,
    description: str,
    rows: Sequence[Row],
    *,
    variables: Sequence[builders.QueryVariable] = (),
    begun: Query = STARTED,
    since: str = "now-3h",
    links: Sequence[builders.DashboardLink] = (),
) -> Dashboard:
    """A read-only dashboard with the rows one under the other."""
    marks = (
        _mark("Sessions started", begun, "blue"),
        _mark("Sessions ended", ENDED, "green"),
        _mark("Sessions failed", FAILED, "red"),
    )
    others = (
        builders.DashboardLink("Translation Monitor").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
    )
    others = others.as_dropdown(True).include_vars(True).keep_time(True)
    frame = builders.Dashboard(title).uid(uid).description(description).tags([TAG]).readonly()
    frame = (
        frame.time(since, "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
    )
    frame = frame.variables([*_common_variables(), *variables]).annotations(list(marks))
    model = frame.links([others, *links]).build()
    model.panels = list(_laid_out(rows))
    return model


def query_variable(name: str, label: str, description: str, query: str) -> builders.QueryVariable:
    """A variable filled by Prometheus, refreshed with the time range."""
    variable = builders.QueryVariable(name).label(label).description(description).datasource(PROMETHEUS)
    variable = variable.query({"query": query, "refId": name}).definition(query)
    return variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(
        models.VariableSort.ALPHABETICAL_ASC
    )


def any_of(variable: builders.QueryVariable, *, first: str = "") -> builders.QueryVariable:
    """`variable` with several values at once; at first the one named, else all of them."""
    chosen = models.VariableOption(selected=True, text="All", value="$__all")
    if first:
        chosen = models.VariableOption(selected=True, text=[first], value=[first])
    return variable.multi(True).include_all(True).all_value(".+").current(chosen)


def monitor_link(title: str, path: str) -> builders.DashboardLink:
    """A link at the top of a dashboard to a page of the monitor."""
    link = builders.DashboardLink(title).type(models.DashboardLinkType.LINK).icon("external link")
    return link.url(f"${{monitor_url}}{path}").target_blank(True)


def _common_variables() -> tuple[
    builders.DatasourceVariable | builders.QueryVariable | builders.TextBoxVariable, ...
]:
    build_info = "translation_build_info"
    return (
        builders.DatasourceVariable("prometheus_datasource")
        .label("Prometheus data source")
        .type("prometheus"),
        builders.DatasourceVariable("tempo_datasource").label("Tempo data source").type("tempo"),
        # Of all jobs, `up` would be that of Prometheus and the collector too.
        any_of(
            query_variable(
                "job", "Job", "The scrape job of the monitor.", f"label_values({build_info}, job)"
            ),
            first=JOB,
        ),
        any_of(
            query_variable(
                "instance",
                "Instance",
                "The monitor itself, where several are scraped.",
                f'label_values({build_info}{{job=~"$job"}}, instance)',
            )
        ),
        builders.TextBoxVariable("monitor_url")
        .label("Monitor address")
        .description("Where your browser reaches the monitor; links to its pages begin with it.")
        .default_value(MONITOR_URL)
        .current(models.VariableOption(text=MONITOR_URL, value=MONITOR_URL)),
    )


def _mark(name: str, query: Query, color: str) -> builders.AnnotationQuery:
    target = prometheus.Dataquery().ref_id("A").expr(query.expr).legend_format(query.legend)
    mark = builders.AnnotationQuery().name(name).datasource(PROMETHEUS).enable(True).icon_color(color)
    # Longer steps, as a wide time range would have them, could step over a start.
    mark = mark.target(target.range().interval("15s"))
    return mark.title_format(name).text_format(query.legend)


def _laid_out(rows: Sequence[Row]) -> list[Panel | RowPanel]:
    placed: list[Panel | RowPanel] = []
    number, y = 0, 0
    for row in rows:
        number += 1
        placed.append(
            RowPanel(
                title=row.title, id_val=number, collapsed=False, grid_pos=GridPos(h=1, w=COLUMNS, x=0, y=y)
            )
        )
        x, y, height = 0, y + 1, 0
        for panel in row.panels:
            number += 1
            position = panel.grid_pos or GridPos()
            if x + position.w > COLUMNS:
                x, y, height = 0, y + height, 0
            panel.id_val = number
            panel.grid_pos = GridPos(h=position.h, w=position.w, x=x, y=y)
            placed.append(panel)
            x, height = x + position.w, max(height, position.h)
        y += height
    return placed
