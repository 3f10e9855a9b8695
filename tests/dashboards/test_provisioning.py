"""What Grafana reads at its start."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.dashboard_files import BOARDS, GRAFANA
from translation_events import semconv

PROVISIONING = GRAFANA / "provisioning"
ENVIRONMENT = {"PROMETHEUS_URL", "TEMPO_URL", "ALERTMANAGER_URL", "MONITOR_URL"}


def load(folder: str) -> Any:
    """The one file of a provisioning folder."""
    (path,) = (PROVISIONING / folder).iterdir()
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def sources() -> dict[str, Any]:
    """The data sources by uid."""
    listed = load("datasources")["datasources"]
    assert len({source["name"] for source in listed}) == len(listed)
    return {source["uid"]: source for source in listed}


def test_addresses_come_from_the_environment() -> None:
    """No address is fixed, and a reader finds every variable in the file's head."""
    text = (PROVISIONING / "datasources" / "translation-monitor.yaml").read_text(encoding="utf-8")
    body = re.sub(r"#.*", "", text)
    assert set(re.findall(r"(?<!\$)\$\{?([A-Z_]+)", body)) == ENVIRONMENT
    assert all(name in text.partition("apiVersion")[0] for name in ENVIRONMENT)
    assert "http:" not in body
    assert re.findall(r"(?<!\$)\$(?:__|\{__)", body) == [], "Grafana would take it for a variable of its own"
    assert all(source["url"].startswith("$") for source in sources().values())


def test_data_sources_cannot_be_changed_in_the_browser() -> None:
    """Prometheus, Tempo and Alertmanager, read-only, one the default."""
    assert {uid: source["type"] for uid, source in sources().items()} == {
        "prometheus": "prometheus",
        "tempo": "tempo",
        "alertmanager": "alertmanager",
    }
    assert all(source["editable"] is False for source in sources().values())
    assert all(source["access"] == "proxy" for source in sources().values())
    assert [uid for uid, source in sources().items() if source.get("isDefault")] == ["prometheus"]


def test_an_exemplar_leads_to_its_trace_and_its_session() -> None:
    """Graph → trace, session's dashboard and monitor, by the labels exemplars really have."""
    links = sources()["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert {link["name"] for link in links} == {"trace_id", "session_id"}
    (trace,) = (link for link in links if link["name"] == "trace_id")
    assert trace["datasourceUid"] in sources()
    addresses = [link["url"] for link in links if "url" in link]
    assert addresses == [
        "/d/translation-session?var-session=$${__value.raw}",
        "$MONITOR_URL/monitor?session=$${__value.raw}",
    ]
    assert any(board["uid"] == "translation-session" for board in BOARDS)


def test_a_span_leads_back_to_the_graphs_of_its_session() -> None:
    """Trace → metrics, through the session's id; no node graph without somebody who wants it."""
    settings = sources()["tempo"]["jsonData"]
    back = settings["tracesToMetrics"]
    assert back["datasourceUid"] in sources()
    assert back["tags"] == [{"key": semconv.SESSION_ID, "value": "session_id"}]
    assert all("{$$__tags}" in query["query"] for query in back["queries"])
    assert settings["nodeGraph"] == {"enabled": False}
    assert "serviceMap" not in settings


def test_dashboards_are_provided_read_only_in_a_folder() -> None:
    """Provisioned read-only in a folder with a fixed uid."""
    (provider,) = load("dashboards")["providers"]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
    assert provider["disableDeletion"] is True
    assert (provider["folder"], provider["folderUid"]) == ("Translation Monitor", "translation-monitor")
    assert provider["options"]["path"].startswith("/etc/grafana/")
