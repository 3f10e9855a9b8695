"""What every dashboard and every panel owes its reader; the rules of Grafana's dashboard linter among it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dashboard_files import BOARDS, panels

# Grafana's names for the units in use.
UNITS = {
    "none": "a number",
    "percentunit": "a share, 0 to 1",
    "s": "seconds",
    "bytes": "bytes",
    "Bps": "bytes per second",
    "eps": "events per second",
    "mps": "messages per second",
    "cps": "counts per second",
    "reqps": "requests per second",
    "suffix: tok/s": "tokens per second",
    "suffix: items/s": "items per second",
    "currencyUSD": "US dollars",
    "bool_yes_no": "yes or no",
}
SOURCES = {"prometheus": "${prometheus_datasource}", "tempo": "${tempo_datasource}"}
BY_UID = [pytest.param(board, id=board["uid"]) for board in BOARDS]
BY_PANEL = [pytest.param(panel, id=f"{uid}/{panel['title']}") for uid, panel in panels()]


def variables(board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The variables of a dashboard, by name."""
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def test_the_four_dashboards_are_there() -> None:
    """Overview, Session, Workers, Service; their uids are part of kept addresses."""
    assert {board["uid"]: board["title"].rpartition(" / ")[2] for board in BOARDS} == {
        "translation-overview": "Overview",
        "translation-service": "Service",
        "translation-session": "Session",
        "translation-workers": "Workers",
    }


@pytest.mark.parametrize("board", BY_UID)
def test_a_dashboard_is_read_only_and_in_the_classic_schema(board: dict[str, Any]) -> None:
    """Provisioned read-only, classic schema, shared crosshair, refreshed by itself."""
    assert board["editable"] is False
    assert board["schemaVersion"] == 42
    assert "id" not in board
    assert board["graphTooltip"] == 1
    assert board["refresh"] == "30s"
    assert board["description"].endswith((".", "?"))
    assert board["tags"] == ["translation-monitor"]


@pytest.mark.parametrize("board", BY_UID)
def test_data_source_job_and_instance_are_variables(board: dict[str, Any]) -> None:
    """Data source, job and instance are chosen at the top, and the address that links lead to."""
    found = variables(board)
    for kind, source in SOURCES.items():
        variable = found[source[2:-1]]
        assert (variable["type"], variable["query"]) == ("datasource", kind)
        assert variable["label"] == f"{kind.title()} data source"
    for name in ("job", "instance"):
        variable = found[name]
        assert (variable["type"], variable["label"]) == ("query", name.title())
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".+")
    for variable in found.values():
        if variable["type"] == "query":
            assert variable["datasource"] == {"type": "prometheus", "uid": SOURCES["prometheus"]}
            assert variable["refresh"] == 2, "new sessions and workers appear without a reload"
    # Of all jobs, "Scraped" would also speak of Prometheus itself and of the collector.
    assert found["job"]["current"]["value"] == ["translation-monitor"]
    assert found["monitor_url"]["type"] == "textbox"
    assert found["monitor_url"]["query"] == "http://127.0.0.1:8090"


@pytest.mark.parametrize("board", BY_UID)
def test_starts_ends_and_failures_are_marked(board: dict[str, Any]) -> None:
    """Annotations mark where sessions start, end and fail."""
    marks = board["annotations"]["list"]
    assert [mark["name"] for mark in marks] == ["Sessions started", "Sessions ended", "Sessions failed"]
    assert len({mark["iconColor"] for mark in marks}) == 3
    assert all(mark["enable"] and mark["textFormat"] for mark in marks)
    assert all(mark["datasource"]["uid"] == SOURCES["prometheus"] for mark in marks)


@pytest.mark.parametrize("board", BY_UID)
def test_the_grid_has_no_overlap_and_ids_are_unique(board: dict[str, Any]) -> None:
    """Every panel has its own place and its own id."""
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["w"] > 0 < place["h"]
        assert place["x"] + place["w"] <= 24
        own = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not own & cells, panel["title"]
        cells |= own
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    titles = [panel["title"] for panel in board["panels"] if panel["type"] != "row"]
    assert len(titles) == len(set(titles))


def test_no_panel_stands_on_two_dashboards() -> None:
    """Each dashboard answers its own question; what is asked twice is looked for in the wrong place."""
    seen: dict[tuple[str, ...], set[str]] = {}
    for uid, panel in panels():
        asked = tuple(target["expr"] for target in panel["targets"] if "expr" in target)
        if asked:
            seen.setdefault(asked, set()).add(f"{uid}/{panel['title']}")
    repeated = {
        frozenset(where) for where in seen.values() if len({place.partition("/")[0] for place in where}) > 1
    }
    # No error has its session's id as a label: a session's dashboard shows them all and says so.
    assert repeated == {frozenset({"translation-overview/Errors", "translation-session/Errors"})}


@pytest.mark.parametrize("panel", BY_PANEL)
def test_a_panel_has_title_description_unit_and_legend(panel: dict[str, Any]) -> None:
    """Each panel has a title, a description and a unit; each query a letter and a legend."""
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert len(panel["description"]) > len(panel["title"])
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["targets"]
    letters = [target["refId"] for target in panel["targets"]]
    assert letters == list("ABCDEFGHIJ"[: len(letters)])
    for target in panel["targets"]:
        kind = panel["datasource"]["type"]
        assert kind == "tempo" or target["legendFormat"]
        assert panel["datasource"] == target["datasource"] == {"type": kind, "uid": SOURCES[kind]}


@pytest.mark.parametrize("panel", BY_PANEL)
def test_the_unit_fits_the_queries(panel: dict[str, Any]) -> None:
    """Seconds for durations, bytes for sizes, dollars for cost, "per second" for rates."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    for target in panel["targets"]:
        if panel["type"] == "table":
            continue  # a unit a column; the defaults count nothing
        expr = target.get("expr", "")
        assert ("cost_usd" in expr) == (unit == "currencyUSD")
        quantile = "histogram_quantile" in expr
        assert not quantile or unit == "s"
        assert not expr.startswith("time() -") or unit == "s"
        plain_rate = expr.startswith(("sum (rate(", "sum by", "sum(rate(")) and "rate(" in expr
        if plain_rate and " / " not in expr and "process_cpu" not in expr:
            assert unit.endswith(("ps", "/s"))
        if "_bytes{" in expr:
            assert unit == "bytes"
        if "_ratio{" in expr:
            assert unit == "percentunit"


@pytest.mark.parametrize("panel", BY_PANEL)
def test_graphs_show_exemplars(panel: dict[str, Any]) -> None:
    """Exemplars are on, so that a point of a graph leads to its trace."""
    for target in panel["targets"]:
        if panel["type"] in ("timeseries", "state-timeline"):
            assert (target["range"], target["instant"], target["exemplar"]) == (True, False, True)
        elif panel["datasource"]["type"] == "prometheus":
            assert (target["range"], target["instant"]) == (False, True)


def test_links_lead_to_the_session_its_trace_and_the_monitor() -> None:
    """Graph → session's dashboard → trace, → `/monitor?session=…`."""
    everything = {board["uid"]: str(board) for board in BOARDS}
    for uid in ("translation-overview", "translation-session"):
        assert "${monitor_url}/monitor?session=${__value.raw}" in everything[uid]
    assert "/d/translation-session?var-session=${__value.raw}" in everything["translation-overview"]
    (session,) = (board for board in BOARDS if board["uid"] == "translation-session")
    assert any(link.get("url", "").endswith("session=${session:percentencode}") for link in session["links"])
    (trace,) = (panel for panel in session["panels"] if panel["type"] == "traces")
    assert trace["targets"][0]["query"] == "${trace_id}"
    assert "trace_id" in variables(session)
    for board in BOARDS:
        menu = board["links"][0]
        assert (menu["type"], menu["tags"], menu["keepTime"]) == ("dashboards", board["tags"], True)
        assert menu["includeVars"] is True
