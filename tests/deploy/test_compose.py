"""docker-compose.yml, its files and the Dockerfiles, without an engine: valid, complete, closed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.config import load_config
from service.worker_specs import specs_of
from tests.container_engine import ROOT
from tests.parts import need

COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILES = (ROOT / "Dockerfile", ROOT / "deploy" / "worker" / "Dockerfile")
WITHOUT_SHELL = {"otel-collector", "tempo"}
BUILT = {"service", "worker-1", "worker-2", "worker-keys"}
ENDS = {"worker-keys"}
# What somebody's shell might set; each test says itself what is set.
READ = ("COMPOSE_PROFILES", "GRAFANA_ADMIN_PASSWORD", "LOG_LEVEL", "MONITOR_NOTIFY", "MONITOR_REVISION")
PINNED_TAG = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+\Z")
PINNED_BASE = re.compile(r"^ARG \w+_IMAGE=[\w.:-]+@sha256:[0-9a-f]{64}$", re.MULTILINE)


def tool(name: str) -> Path:
    """A program that pip has installed beside Python."""
    path = Path(sysconfig.get_path("scripts")) / name
    need(path.exists(), f"{name} is not installed")
    return path


def resolved(**environ: str) -> dict[str, Any]:
    """The compose file as compose itself understands it, with every profile unless told otherwise."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in READ and not name.startswith(("MONITOR_ALERT_", "COMPOSE_"))
    }
    done = subprocess.run(
        [tool("docker-compose"), "--file", COMPOSE, "--env-file", os.devnull, "config", "--format", "json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**inherited, "COMPOSE_PROFILES": "workers", **environ},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    project: dict[str, Any] = json.loads(done.stdout)
    return project


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """All services."""
    found: dict[str, dict[str, Any]] = resolved()["services"]
    return found


def test_the_file_is_valid_and_names_what_is_promised(services: dict[str, Any]) -> None:
    """By the compose specification: the monitor and five parts, and two workers with the profile."""
    plain = {"service", "prometheus", "alertmanager", "grafana", "otel-collector", "tempo"}
    assert set(resolved(COMPOSE_PROFILES="")["services"]) == plain
    assert set(services) == plain | {"worker-1", "worker-2", "worker-keys"}


def test_only_loopback_is_published(services: dict[str, Any]) -> None:
    """Nobody logs in anywhere yet: each published port is one of 127.0.0.1."""
    ports = {name: port for name, service in services.items() for port in service.get("ports", [])}
    assert set(ports) == {"service", "prometheus", "alertmanager", "grafana"}
    assert {port["host_ip"] for port in ports.values()} == {"127.0.0.1"}
    # It listens on every address of its container, which only that allows.
    assert services["service"]["environment"]["MONITOR_INSECURE"] == "true"
    assert all(service.get("network_mode") in (None, "none") for service in services.values())


def test_every_container_is_contained(services: dict[str, Any]) -> None:
    """Read-only, without capabilities or new privileges, with limits, and with a log that ends somewhere."""
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name
        assert not service.get("cap_add"), name
        assert service.get("user") != "root", name
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= set(limits), name
        assert "max-size" in service["logging"]["options"], name


def test_every_image_is_pinned(services: dict[str, Any]) -> None:
    """A full version for what is pulled, a digest for what is built on."""
    assert {name for name, service in services.items() if "build" in service} == BUILT
    for name, service in services.items():
        assert "build" in service or PINNED_TAG.match(service["image"]), name
    # What the page says has been run with each is looked at again when one changes.
    page = (ROOT / "docs/deploy.md").read_text()
    assert [
        one["image"] for one in services.values() if "build" not in one and one["image"] not in page
    ] == []
    for dockerfile in DOCKERFILES:
        assert PINNED_BASE.search(dockerfile.read_text()), dockerfile


def test_every_container_says_whether_it_is_well(services: dict[str, Any]) -> None:
    """A health check in the file or the Dockerfile, except where the image has nothing that could ask."""
    for name, service in services.items():
        if name in BUILT - ENDS:
            dockerfile = ROOT / service["build"]["dockerfile"]
            assert "\nHEALTHCHECK " in dockerfile.read_text(), name
        elif name not in ENDS:
            assert ("healthcheck" in service) == (name not in WITHOUT_SHELL), name
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_started" if other in WITHOUT_SHELL else "service_healthy"
            assert how["condition"] == ("service_completed_successfully" if other in ENDS else wanted), name


def test_every_file_that_is_mounted_is_there_and_is_not_written(services: dict[str, Any]) -> None:
    """A missing source would silently become an empty folder."""
    binds = [v for service in services.values() for v in service.get("volumes", []) if v["type"] == "bind"]
    assert len(binds) > 5
    for bind in binds:
        assert Path(bind["source"]).exists(), bind["source"]
        assert bind["read_only"] is True, bind["source"]


def test_what_is_to_stay_is_in_volumes(services: dict[str, Any]) -> None:
    """The root is read-only: each part that keeps something has a volume of a name, and no volume is idle."""
    mounts = {
        (name, volume["target"]): volume["source"]
        for name, service in services.items()
        for volume in service.get("volumes", [])
        if volume["type"] == "volume"
    }
    for where in (
        ("service", "/var/lib/translation-monitor"),
        ("prometheus", "/prometheus"),
        ("alertmanager", "/alertmanager"),
        ("grafana", "/var/lib/grafana"),
        ("tempo", "/var/tempo"),
    ):
        assert where in mounts
    # What the programs are told to write to.
    assert "--storage.tsdb.path=/prometheus" in services["prometheus"]["command"]
    assert "--storage.path=/alertmanager" in services["alertmanager"]["command"]
    tempo = yaml.safe_load((ROOT / "deploy/tempo/tempo.yaml").read_text())["storage"]["trace"]
    assert tempo["local"]["path"].startswith("/var/tempo/")
    assert tempo["wal"]["path"].startswith("/var/tempo/")
    assert set(mounts.values()) == set(resolved()["volumes"])


def test_grafana_has_an_admin_only_with_a_password(services: dict[str, Any]) -> None:
    """Anonymous viewers and no login; whoever sets a password gets an admin and the form."""
    settings = (ROOT / "deploy/grafana/grafana.ini").read_text()
    for line in (
        "disable_initial_admin_creation = true",
        "disable_login_form = true",
        "org_role = Viewer",
    ):
        assert f"\n{line}\n" in settings
    assert "password" not in re.sub(r"^#.*$", "", settings, flags=re.MULTILINE).lower()
    names = (
        "GF_SECURITY_ADMIN_PASSWORD",
        "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION",
        "GF_AUTH_DISABLE_LOGIN_FORM",
        "GF_AUTH_BASIC_ENABLED",
    )
    without = services["grafana"]["environment"]
    assert [without[name] for name in names] == ["", "", "", ""]
    password = "a b$c"  # noqa: S105 - of nobody; a space and a dollar have to arrive
    given = resolved(GRAFANA_ADMIN_PASSWORD=password)["services"]["grafana"]["environment"]
    assert [given[name].replace("$$", "$") for name in names] == [password, "false", "false", "true"]


def test_no_secret_and_no_default_password_is_in_the_file() -> None:
    """What is secret comes from the environment, or is made at the first start."""
    text = COMPOSE.read_text()
    for name, default in re.findall(r"\$\{(\w*(?:PASSWORD|TOKEN|SECRET)\w*)([^}]*)\}", text):
        assert default in (":-", ":+false", ":+true"), name
    services = resolved()["services"]
    given = services["alertmanager"].get("environment") or {}
    assert [name for name, value in given.items() if value is not None] == []
    # An address to tell people at often holds a password; it has to arrive whole.
    assert services["service"]["environment"]["MONITOR_NOTIFY"] is None
    told = "mailtos://ana:a$b@example.org"
    notified = resolved(MONITOR_NOTIFY=told)["services"]["service"]["environment"]
    assert notified["MONITOR_NOTIFY"].replace("$$", "$") == told


def test_alertmanager_is_handed_every_variable_it_knows() -> None:
    """A receiver that is documented works in the containers too; files of secrets are mounted by hand."""
    page = (ROOT / "deploy/alertmanager/README.md").read_text()
    documented = set(re.findall(r"`(MONITOR_ALERT_\w+)`", page))
    handed = set(yaml.safe_load(COMPOSE.read_text())["services"]["alertmanager"]["environment"])
    script = (ROOT / "deploy/alertmanager/render.sh").read_text()
    known = set(re.findall(r"MONITOR_ALERT_[A-Z]+(?:_[A-Z]+)+", script.partition("\nvalue()")[0]))
    assert handed == {name for name in known if not name.endswith("_FILE")}
    assert {name for name in documented if not name.endswith(("_TO", "_FILE"))} <= handed


def test_prometheus_finds_every_target_in_the_file(services: dict[str, Any]) -> None:
    """Names of hosts in its configuration are services here, and the flags it asks for are given."""
    path = ROOT / "deploy/prometheus/prometheus.yml"
    scraped = yaml.safe_load(path.read_text())["scrape_configs"]
    targets = {target for job in scraped for group in job["static_configs"] for target in group["targets"]}
    assert {target.partition(":")[0] for target in targets} - {"localhost"} <= set(services)
    wanted = re.findall(r"^# +(--(?!config)[^\s\\]+)", path.read_text(), re.MULTILINE)
    assert len(wanted) == 3
    assert set(wanted) <= set(services["prometheus"]["command"])
    # Asked for by the name of its container, which the monitor refuses unless it is told.
    assert services["service"]["environment"]["MONITOR_ALLOWED_HOSTS"] == "service"


def test_grafana_is_told_every_address_its_data_sources_ask_for(services: dict[str, Any]) -> None:
    """An unset variable would be an empty address."""
    text = (ROOT / "dashboards/grafana/provisioning/datasources/translation-monitor.yaml").read_text()
    for name in set(re.findall(r"(?<!\$)\$([A-Z]+_URL)", text)):
        assert services["grafana"]["environment"][name].startswith("http://"), name


def test_the_page_and_grafana_lead_to_each_other(services: dict[str, Any]) -> None:
    """Each is told the address at which the other is published, for a browser outside."""
    for one, variable, other in (
        ("service", "MONITOR_GRAFANA_URL", "grafana"),
        ("grafana", "MONITOR_URL", "service"),
    ):
        (port,) = services[other]["ports"]
        address = f"http://{port['host_ip']}:{port['published']}"
        assert services[one]["environment"][variable] == address


def test_traces_lead_from_the_monitor_through_the_collector_to_tempo(services: dict[str, Any]) -> None:
    """Each address names the next part, and a port that it listens on."""
    collector = yaml.safe_load((ROOT / "deploy/otel-collector/config.yaml").read_text())
    tempo = yaml.safe_load((ROOT / "deploy/tempo/tempo.yaml").read_text())
    (pipeline,) = collector["service"]["pipelines"].values()
    assert pipeline["processors"][0] == "memory_limiter"
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) == set(collector[kind])
    environ = services["service"]["environment"]
    assert environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://otel-collector:4317"
    assert collector["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] == "0.0.0.0:4317"
    assert collector["exporters"]["otlp/tempo"]["endpoint"] == "tempo:4317"
    assert tempo["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] == "0.0.0.0:4317"
    assert tempo["overrides"]["defaults"]["metrics_generator"]["processors"] == []
    assert tempo["compactor"]["compaction"]["block_retention"] == "840h"  # Prometheus's 35 days
    # A processor that batches would accept what the full queue then throws away.
    assert "batch" in collector["exporters"]["otlp/tempo"]["sending_queue"]
    assert "batch" not in collector["processors"]
    assert tempo["distributor"]["retry_after_on_resource_exhausted"]
    # By its own metrics' documented names, not by those with units and types in them.
    (reader,) = collector["service"]["telemetry"]["metrics"]["readers"]
    prometheus = reader["pull"]["exporter"]["prometheus"]
    assert all(prometheus[f"without_{part}"] for part in ("units", "type_suffix", "scope_info"))
    # Both must act before the kernel does.
    go_limit = services["tempo"]["environment"]["GOMEMLIMIT"].removesuffix("MiB")
    assert int(go_limit) * 2**20 < int(services["tempo"]["deploy"]["resources"]["limits"]["memory"])
    limit = int(services["otel-collector"]["deploy"]["resources"]["limits"]["memory"])
    assert collector["processors"]["memory_limiter"]["limit_mib"] * 2**20 < limit


def test_the_workers_configuration_is_the_profiles(tmp_path: Path) -> None:
    """The monitor looks for workers where they run, with the key and the host keys that are made for it."""
    without = resolved(COMPOSE_PROFILES="")["services"]["service"]["environment"]
    assert without["MONITOR_CONFIG"] == ""
    services = resolved()["services"]
    mounts = {volume["target"]: volume["source"] for volume in services["service"]["volumes"]}
    file = Path(mounts[services["service"]["environment"]["MONITOR_CONFIG"]])
    specs = specs_of(load_config(environ={"HOME": str(tmp_path)}, file=file).distributed)
    assert {spec.id for spec in specs} == {spec.host for spec in specs} == {"worker-1", "worker-2"}
    assert services["worker-keys"]["command"][2:] == [spec.id for spec in specs]
    sshd = (ROOT / "deploy/worker/sshd_config").read_text()
    keys = {volume["target"]: volume["source"] for volume in services["worker-keys"]["volumes"]}
    for spec in specs:
        assert f"\nPort {spec.port}\n" in sshd
        assert f"\nAllowUsers {spec.user}\n" in sshd
        assert spec.password is None
        assert spec.known_hosts is not None
        assert {mounts[str(path.parent)] for path in (*spec.key_files, spec.known_hosts)} == {
            keys["/keys/client"]
        }
        (mounted,) = services[spec.id]["volumes"]
        assert mounted["source"] == keys[f"/keys/{spec.id}"]
        assert mounted["source"] != keys["/keys/client"]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_dockerfiles_pass_hadolint(dockerfile: Path) -> None:
    """No finding of any severity, and no exception beyond the one that says why."""
    done = subprocess.run(
        [tool("hadolint"), "--no-color", dockerfile], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_state_of_a_working_copy_gets_into_an_image() -> None:
    """Everything is left out but what is named, and what is named is what the Dockerfiles copy."""
    first, *rest = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("#", "")
    ]
    assert first == "*"
    for line in rest:
        assert not line.startswith("!") or (ROOT / line[1:]).exists(), line
    assert not any(line.startswith(("!.", "!tests", "!docs")) for line in rest)
