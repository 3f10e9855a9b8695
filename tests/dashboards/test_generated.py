"""The committed dashboards are what the generator writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.dashboard_files import GRAFANA


def test_the_committed_dashboards_are_the_generated_ones(tmp_path: Path) -> None:
    """JSON is committed and regenerated without a difference; one that is no longer made does not linger."""
    command = [sys.executable, "-m", "dashboards.grafana", str(tmp_path)]
    subprocess.run(command, check=True, timeout=60, cwd=GRAFANA.parents[1])
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert written
    assert written == {p.name: p.read_text(encoding="utf-8") for p in (GRAFANA / "json").iterdir()}


def test_every_dashboard_has_a_module_of_its_own() -> None:
    """`session.py` makes `translation-session.json`, so that a reader finds the one from the other."""
    for path in (GRAFANA / "json").iterdir():
        assert (GRAFANA / f"{path.stem.removeprefix('translation-')}.py").exists()
