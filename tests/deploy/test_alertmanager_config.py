"""Alertmanager's configuration as render.sh writes it: all combinations of receivers, and what it refuses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rule_files import ROOT, load
from tests.tool import run_tool

FOLDER = ROOT / "deploy" / "alertmanager"
SECRET = "s3cret' \"$(x)"  # noqa: S105  # with all that a shell could stumble over
WEBHOOK = {"MONITOR_ALERT_WEBHOOK_URL": "http://127.0.0.1:9/it's?a=b&c=d"}
EMAIL = {
    "MONITOR_ALERT_EMAIL_TO": "on-call@example.org, second@example.org",
    "MONITOR_ALERT_EMAIL_FROM": "monitor@example.org",
    "MONITOR_ALERT_EMAIL_SMARTHOST": "mail.example.org:587",
}
# Each set switches something on; every combination of them is rendered.
PARTS: dict[str, dict[str, str]] = {
    "webhook": {**WEBHOOK, "MONITOR_ALERT_WEBHOOK_TOKEN": SECRET},
    "email": {
        **EMAIL,
        "MONITOR_ALERT_EMAIL_USERNAME": "monitor",
        "MONITOR_ALERT_EMAIL_PASSWORD": SECRET,
    },
    "slack": {"MONITOR_ALERT_SLACK_URL": f"https://hooks.example.org/{SECRET}"},
    "ntfy": {"MONITOR_ALERT_NTFY_URL": "https://ntfy.example.org/alerts", "MONITOR_ALERT_NTFY_TOKEN": SECRET},
    "watchdog": {"MONITOR_ALERT_WATCHDOG_URL": "https://hc.example.org/ping"},
    "runbooks": {"MONITOR_ALERT_RUNBOOKS_URL": "https://git.example.org/monitor"},
}
COMBINATIONS = list(chain.from_iterable(combinations(PARTS, size) for size in range(len(PARTS) + 1)))
ALERTED = ("critical", "warning")


def render(out: Path, environ: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run render.sh with nothing else in its environment."""
    return subprocess.run(
        ("sh", FOLDER / "render.sh", out, *command),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={"PATH": os.environ["PATH"], **environ},
    )


def rendered(out: Path, environ: dict[str, str]) -> dict[str, Any]:
    """The receivers by name."""
    done = render(out, environ)
    assert (done.returncode, done.stderr) == (0, "")
    return {receiver.pop("name"): receiver for receiver in load(out)["receivers"]}


def kinds(receiver: dict[str, Any]) -> set[str]:
    """What a receiver sends by, ntfy told from other webhooks."""
    found = set()
    for key, configs in receiver.items():
        for config in configs:
            is_ntfy = "ntfy" in str(config.get("url"))
            found.add("ntfy" if is_ntfy else key.removesuffix("_configs"))
    return found


@pytest.mark.slow
def test_every_combination_of_receivers_is_a_valid_configuration(tmp_path: Path) -> None:
    """Receivers for webhook, email, Slack and ntfy come from the environment, each by itself."""
    for names in COMBINATIONS:
        environ = dict(chain.from_iterable(PARTS[name].items() for name in names))
        receivers = rendered(tmp_path / f"{'+'.join(names)}.yml", environ)
        wanted = set(names) & {"webhook", "email", "slack", "ntfy"}
        assert {name: kinds(receivers[name]) for name in ALERTED} == dict.fromkeys(ALERTED, wanted)
        assert kinds(receivers["watchdog"]) == ({"webhook"} if "watchdog" in names else set())
        assert receivers["nobody"] == {}
    files = sorted(path for path in tmp_path.iterdir() if path.is_file())
    assert len(files) == 2 ** len(PARTS)
    done = run_tool("amtool", "check-config", *files)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_notified_unless_asked_for(tmp_path: Path) -> None:
    """Off by default: without variables the shipped file comes out, the templates' place aside."""
    assert render(tmp_path / "alertmanager.yml", {}).returncode == 0
    plain, shipped = load(tmp_path / "alertmanager.yml"), load(FOLDER / "alertmanager.yml")
    assert plain.pop("templates") == [f"{tmp_path}/alertmanager.yml.templates/*.tmpl"]
    shipped.pop("templates")
    assert plain == shipped
    assert run_tool("amtool", "check-config", FOLDER / "alertmanager.yml").returncode == 0


def test_no_secret_is_in_the_configuration(tmp_path: Path) -> None:
    """Alertmanager shows its configuration to all who ask; secrets stay in files for their owner alone."""
    environ = dict(chain.from_iterable(part.items() for part in PARTS.values()))
    out = tmp_path / "alertmanager.yml"
    receivers = rendered(out, environ)
    assert SECRET not in out.read_text()
    webhook, ntfy = receivers["critical"]["webhook_configs"]
    (slack,), (email,) = (receivers["critical"][f"{kind}_configs"] for kind in ("slack", "email"))
    for config in (webhook, ntfy):
        path = Path(config["http_config"]["authorization"]["credentials_file"])
        assert path.read_text() == SECRET
        assert path.stat().st_mode & 0o077 == 0
    assert Path(slack["api_url_file"]).read_text() == environ["MONITOR_ALERT_SLACK_URL"]
    assert Path(email["auth_password_file"]).read_text() == SECRET
    assert webhook["url"] == environ["MONITOR_ALERT_WEBHOOK_URL"]
    assert ntfy["url"].endswith("?template=alertmanager&priority=urgent")


def test_a_secret_may_be_a_file(tmp_path: Path) -> None:
    """`NAME_FILE` names a file, which is used where it is."""
    (tmp_path / "token").write_text("t")
    environ = {**WEBHOOK, "MONITOR_ALERT_WEBHOOK_TOKEN_FILE": str(tmp_path / "token")}
    receivers = rendered(tmp_path / "alertmanager.yml", environ)
    (webhook,) = receivers["warning"]["webhook_configs"]
    assert webhook["http_config"]["authorization"]["credentials_file"] == str(tmp_path / "token")
    assert not (tmp_path / "alertmanager.yml.secrets").exists()


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"MONITOR_ALERT_WEBHOOK_URL": "example.org"}, "MONITOR_ALERT_WEBHOOK_URL must be"),
        ({"MONITOR_ALERT_WEBHOOK_URL": "http://a\nhttp://b"}, "must be one address"),
        ({"MONITOR_ALERT_WEBHOOK_TOKEN": "t"}, "MONITOR_ALERT_WEBHOOK_URL must be"),
        ({"MONITOR_ALERT_NTFY_URL": "https://ntfy.sh/t?x=1"}, "without a query"),
        ({"MONITOR_ALERT_EMAIL_TO": "a@example.org"}, "MONITOR_ALERT_EMAIL_FROM must be"),
        ({**EMAIL, "MONITOR_ALERT_EMAIL_USERNAME": "u"}, "MONITOR_ALERT_EMAIL_PASSWORD must be"),
        ({**EMAIL, "MONITOR_ALERT_EMAIL_REQUIRE_TLS": "no"}, "must be true or false"),
        ({**EMAIL, "MONITOR_ALERT_EMAIL_TO": "a@example.org\nb@example.org"}, "more than one line"),
        ({"MONITOR_ALERT_SLACK_URL": "https://s", "MONITOR_ALERT_SLACK_URL_FILE": "/x"}, "both set"),
        ({"MONITOR_ALERT_SLACK_URL_FILE": "/nowhere"}, "/nowhere cannot be read"),
        ({"MONITOR_ALERT_SLACK_URL_FILE": "/dev/null"}, "/dev/null is empty"),
        ({"MONITOR_ALERT_SLAK_URL": "https://s"}, "MONITOR_ALERT_SLAK_URL is unknown"),
        ({"MONITOR_ALERT_WEBHOOK_URL_FILE": "/x"}, "MONITOR_ALERT_WEBHOOK_URL is no secret"),
    ],
)
def test_a_wrong_variable_stops_the_start(tmp_path: Path, environ: dict[str, str], told: str) -> None:
    """One line that says which, exit code 2, and neither a configuration nor the program."""
    out = tmp_path / "alertmanager.yml"
    done = render(out, environ, "touch", str(tmp_path / "started"))
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_it_becomes_the_program_it_is_given(tmp_path: Path) -> None:
    """`render.sh FILE COMMAND…` execs, so that signals reach Alertmanager."""
    done = render(tmp_path / "alertmanager.yml", {}, "sh", "-c", 'echo "$0 $PPID"', "it")
    assert done.stdout == f"it {os.getpid()}\n"


def test_severities_are_routed(tmp_path: Path) -> None:
    """Critical and warning go to people, info to nobody, the watchdog to its own address."""
    out = tmp_path / "alertmanager.yml"
    assert render(out, {}).returncode == 0
    expected = {
        "critical": "critical",
        "warning": "warning",
        "info": "nobody",
        "none": "watchdog",
        "?": "warning",
    }
    for severity, receiver in expected.items():
        labels = (f"severity={severity}", "alertname=X")
        done = run_tool("amtool", "config", "routes", "test", f"--config.file={out}", *labels)
        assert done.stdout.strip() == receiver, done.stderr


def test_every_variable_is_documented() -> None:
    """README.md has those render.sh knows, and no others."""
    name = re.compile(r"MONITOR_ALERT_[A-Z_]+[A-Z]")
    known = set(name.findall((FOLDER / "render.sh").read_text()))
    documented = set(name.findall((FOLDER / "README.md").read_text()))
    assert known == documented


def test_the_script_is_plain_sh() -> None:
    """Alertmanager's image has a small sh: dash, as strict, reads the script."""
    shell = shutil.which("dash") or "sh"
    assert subprocess.run((shell, "-n", FOLDER / "render.sh"), timeout=10, check=False).returncode == 0
    assert yaml.safe_load((FOLDER / "alertmanager.yml").read_text())["route"]["receiver"] == "warning"
