"""A file system so small that a test can fill it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parts import need


@contextmanager
def mounted(disk: Path, size_mib: int) -> Iterator[Path]:
    """A tmpfs of `size_mib` at `disk`, which is made."""
    need(os.geteuid() == 0 and shutil.which("mount") is not None, "root and mount, for a small tmpfs")
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", disk]
    done = subprocess.run(command, capture_output=True, check=False)
    need(done.returncode == 0, f"the right to mount a tmpfs: {done.stderr.decode()}")
    yield disk
    subprocess.run(["umount", disk], check=True)
