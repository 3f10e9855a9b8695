"""Draws every dashboard from a Prometheus, without Grafana: one HTML page each, to look at while changing it.

`python -m dashboards.grafana.preview http://127.0.0.1:9090 FOLDER [--minutes N] [--scrape S] [--session ID]`

The queries are those of the committed JSON. Panels that ask Tempo say so and stay empty.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dashboards.grafana.preview_drawing import Mark, Series, page

JSON_FOLDER: Final = Path(__file__).parent / "json"
POINTS: Final = 240  # as many as a panel of a third of 1280 px shows
ANSWER_WITHIN_S: Final = 30.0
SCRAPES_IN_A_RATE: Final = 4  # Grafana's own rule for $__rate_interval


@dataclass(frozen=True, slots=True)
class Window:
    """What is looked at: the time range in Unix seconds, the step between two points, the scrape interval."""

    start: float
    end: float
    step_s: float
    scrape_s: float

    def filled_in(self, expr: str, variables: Mapping[str, str], since: str = "") -> str:
        """A query with Grafana's variables and the dashboard's own replaced by their values."""
        rate_s = max(self.step_s + self.scrape_s, SCRAPES_IN_A_RATE * self.scrape_s)
        range_s = self.end % 86400 if since == "now/d" else self.end - self.start
        own = {"__rate_interval": f"{rate_s:.0f}s", "__range": f"{range_s:.0f}s"}
        known = {**variables, **own}
        return re.sub(r"\$\{?(\w+)\}?", lambda found: known.get(found[1], ".+"), expr)


class Asked:
    """Asks one Prometheus; a failure ends the program with a sentence."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def instant(self, query: str, at: float) -> list[Series]:
        """The series at one moment, those without a finite value left out."""
        result = self._get("query", query=query, time=str(at))["result"]
        named = [(one["metric"], [(at, float(one["value"][1]))]) for one in result]
        return [Series(metric, points) for metric, points in named if math.isfinite(points[0][1])]

    def over_time(self, query: str, window: Window) -> list[Series]:
        """The series over the window, gaps left out."""
        asked = {"start": str(window.start), "end": str(window.end), "step": f"{window.step_s:g}"}
        found = []
        for one in self._get("query_range", query=query, **asked)["result"]:
            points = [(float(at), float(value)) for at, value in one["values"]]
            found.append(Series(one["metric"], [p for p in points if math.isfinite(p[1])]))
        return [series for series in found if series.points]

    def newest_session(self) -> str:
        """The id of the session with the newest event; "" where there is none."""
        newest = "topk(1, translation_session_last_event_timestamp_seconds)"
        found = self.instant(newest, time.time())
        return found[0].labels.get("session_id", "") if found else ""

    def _get(self, what: str, **asked: str) -> Any:
        data = urllib.parse.urlencode(asked).encode()
        address = f"{self._url}/api/v1/{what}"
        if not address.startswith(("http://", "https://")):
            sys.exit(f"{self._url} is no address of a Prometheus; allowed: http://… or https://….")
        try:
            with urllib.request.urlopen(address, data, timeout=ANSWER_WITHIN_S) as answer:  # noqa: S310 - http only
                return json.load(answer)["data"]
        except urllib.error.HTTPError as err:
            sys.exit(f"Prometheus refuses {asked['query']}\n{err.read().decode(errors='replace')}")
        except OSError as err:
            sys.exit(f"Prometheus at {self._url} does not answer ({err}). Is the address right?")


def drawn(board: Mapping[str, Any], asked: Asked, window: Window, session: str) -> str:
    """One dashboard as an HTML page."""
    variables = {"session": session}
    marks: list[Mark] = []
    for mark in board["annotations"]["list"]:
        for series in asked.over_time(window.filled_in(mark["target"]["expr"], variables), window):
            marks += [Mark(at, mark["iconColor"], mark["name"]) for at, _ in series.points]
    answers = {
        panel["id"]: _answer(panel, asked, window, variables)
        for panel in board["panels"]
        if panel["type"] != "row"
    }
    return page(board, answers, marks, (window.start, window.end))


def _answer(
    panel: Mapping[str, Any], asked: Asked, window: Window, variables: Mapping[str, str]
) -> list[Series]:
    if panel["datasource"]["type"] != "prometheus":
        return []
    found: list[Series] = []
    for target in panel["targets"]:
        expr = window.filled_in(target["expr"], variables, panel.get("timeFrom") or "")
        series = asked.over_time(expr, window) if target["range"] else asked.instant(expr, window.end)
        found += [one.called(target["legendFormat"], target["refId"]) for one in series]
    return found


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dashboards.grafana.preview", description=__doc__)
    parser.add_argument("prometheus", help="address of a Prometheus that scrapes a monitor")
    parser.add_argument("folder", type=Path, help="where the pages go")
    parser.add_argument("--minutes", type=float, default=15, help="how far to look back (15)")
    parser.add_argument("--scrape", type=float, default=15, help="its scrape interval in seconds (15)")
    parser.add_argument("--session", help="of the Session dashboard (the one with the newest event)")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    """Write a page for each dashboard."""
    arguments = _arguments(given)
    asked, end = Asked(arguments.prometheus), time.time()
    range_s = 60 * arguments.minutes
    step_s = max(arguments.scrape, range_s / POINTS)
    window = Window(end - range_s, end, step_s, arguments.scrape)
    session = arguments.session or asked.newest_session()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(JSON_FOLDER.glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        written = arguments.folder / f"{path.stem}.html"
        written.write_text(drawn(board, asked, window, session), encoding="utf-8")
        print(written)


if __name__ == "__main__":
    main()
