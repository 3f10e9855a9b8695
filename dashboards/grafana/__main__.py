"""Writes `json/*.json` beside this file, or into the folder that is given: the same bytes for the same code.

`python -m dashboards.grafana [FOLDER]`
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.grafana import overview, service, session, workers

FOLDER: Final = Path(__file__).parent / "json"
DASHBOARDS: Final[tuple[Callable[[], Dashboard], ...]] = (
    overview.dashboard,
    session.dashboard,
    workers.dashboard,
    service.dashboard,
)


def pages() -> Iterator[tuple[str, str]]:
    """(file name, JSON) of every dashboard."""
    for dashboard in DASHBOARDS:
        model = dashboard()
        plain = _in_sight(json.loads(json.dumps(model, cls=JSONEncoder)))
        text = json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False)
        yield f"{model.uid}.json", text + "\n"


def _in_sight(value: Any) -> Any:
    """`value` without the SDK's default that moves links and annotations from the dashboard into a menu."""
    if isinstance(value, list):
        return [_in_sight(item) for item in value]
    if isinstance(value, dict):
        return {key: _in_sight(item) for key, item in value.items() if item != "inControlsMenu"}
    return value


def main(folder: Path) -> None:
    """Write them all."""
    for name, text in pages():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
