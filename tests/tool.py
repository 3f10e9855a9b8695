"""Programs that check configuration (promtool, amtool), run as a user runs them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.parts import need


def run_tool(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end; the calling test needs the program."""
    need(shutil.which(str(command[0])) is not None, f"{command[0]} is not installed")
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
