"""The committed dashboards as data: panels, targets, and the selectors in a query."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

GRAFANA: Final = Path(__file__).parent.parent / "dashboards" / "grafana"
BOARDS: Final[list[dict[str, Any]]] = [
    json.loads(path.read_text(encoding="utf-8")) for path in sorted((GRAFANA / "json").glob("*.json"))
]
_SELECTOR: Final = re.compile(
    r"(?:(?P<function>\w+)\()?(?P<metric>[a-zA-Z_:][\w:]*)\{(?P<matchers>[^}]*)\}(?:\[(?P<range>[^\]]+)\])?"
)


class Target(NamedTuple):
    """One query of a panel, or of an annotation, which has no panel."""

    board: str
    panel: dict[str, Any]
    target: dict[str, Any]

    @property
    def expr(self) -> str:
        """The query, variables as they are."""
        return str(self.target["expr"])

    @property
    def name(self) -> tuple[str, str, str]:
        """(dashboard, panel, ref id)."""
        return self.board, self.panel["title"], self.target["refId"]


class Selector(NamedTuple):
    """A vector selector and the function right around it ("" without one)."""

    function: str
    metric: str
    matchers: str
    range: str

    @property
    def labels(self) -> set[str]:
        """The labels it matches on."""
        return set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", self.matchers))


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """(dashboard, panel) of all that ask something: rows are only headings."""
    for board in BOARDS:
        yield from ((board["uid"], panel) for panel in board["panels"] if panel["type"] != "row")


def targets(kind: str = "prometheus") -> Iterator[Target]:
    """Every query of every panel to a data source of that kind."""
    for board, panel in panels():
        for target in panel["targets"]:
            if target["datasource"]["type"] == kind:
                yield Target(board, panel, target)


def marks() -> Iterator[Target]:
    """Every query that marks something in the graphs."""
    for board in BOARDS:
        for mark in board["annotations"]["list"]:
            yield Target(board["uid"], {"title": f"mark: {mark['name']}", "type": "mark"}, mark["target"])


def selectors(expr: str) -> list[Selector]:
    """The selectors of a query, left to right."""
    return [Selector(*(found or "" for found in match.groups())) for match in _SELECTOR.finditer(expr)]
