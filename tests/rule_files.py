"""The shipped rules and their promtool tests as data."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from exporters.prometheus_families import FAMILIES
from exporters.prometheus_family import FamilyType

ROOT: Final = Path(__file__).parent.parent
PROMETHEUS: Final = ROOT / "deploy" / "prometheus"
RULES: Final = sorted((PROMETHEUS / "rules").glob("*.yml"))
TESTS: Final = sorted((PROMETHEUS / "tests").glob("*.yml"))
SUFFIXES: Final = {FamilyType.HISTOGRAM: ("_bucket", "_count", "_sum")}
_METRIC: Final = re.compile(r"(?<![\w:])translation_\w+(?![\w:])")


def load(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> Iterator[dict[str, Any]]:
    """Every rule of every file."""
    for path in RULES:
        for group in load(path)["groups"]:
            yield from group["rules"]


def alerts() -> list[dict[str, Any]]:
    """Every alerting rule; an alert with two severities is two rules."""
    return [rule for rule in rules() if "alert" in rule]


def metrics_of(expression: str) -> set[str]:
    """Our metrics that a query names, recorded ones left out."""
    return set(_METRIC.findall(expression))


def exposed() -> set[str]:
    """Every sample name that `/metrics` can show."""
    return {family.name + suffix for family in FAMILIES for suffix in SUFFIXES.get(family.type, ("",))}


def promtool_cases() -> dict[tuple[str, str], set[str]]:
    """(alert, severity) → {"fires", "silent"} as the promtool tests have it; a silent one has no severity."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path in TESTS:
        for case in load(path)["tests"]:
            assert case["input_series"], case["name"]
            for check in case["alert_rule_test"]:
                for expected in check["exp_alerts"]:
                    found[check["alertname"], expected["exp_labels"]["severity"]].add("fires")
                if not check["exp_alerts"]:
                    found[check["alertname"], ""].add("silent")
    return dict(found)
