"""The variables a producer's side reads: `MONITOR_URL`, `MONITOR_SPOOL_DIR` and `XDG_STATE_HOME`.

Source: docs/protocol.md, "Limits, names and defaults".
"""

from __future__ import annotations

import os
from pathlib import Path

from translation_events.address import DEFAULT_URL


def monitor_url() -> str:
    """Where to publish: `MONITOR_URL`, else the default address."""
    return os.environ.get("MONITOR_URL") or DEFAULT_URL


def spool_dir() -> Path:
    """Where spools are kept: `MONITOR_SPOOL_DIR`, else beside the other state of the user."""
    if named := os.environ.get("MONITOR_SPOOL_DIR"):
        return Path(named).expanduser()
    return _state_dir() / "spool"


def translations_dir() -> Path:
    """Where `translate` keeps what it has finished, so that `--resume` goes on from there."""
    return _state_dir() / "translations"


def _state_dir() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or ""
    home = Path(state) if Path(state).is_absolute() else Path("~/.local/state").expanduser()
    return home / "translation-monitor"
