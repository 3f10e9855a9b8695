"""Workers for the tests of this folder."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.parts import need
from tests.sshd import WRAPPER, Account, Sshd


@pytest.fixture
def forced(start_sshd: Callable[..., Sshd]) -> Sshd:
    """A worker whose key may run the wrapper only, as documented."""
    made = start_sshd()
    target = made.account.folder / f"translation-worker-{made.port}.sh"
    target.write_text(WRAPPER.read_text())
    target.chmod(0o755)
    forced = start_sshd(forced=f"{target} --allow tr sh sftp")
    made.stop()
    return forced


@pytest.fixture
def full_disk(worker_account: Account) -> Iterator[Path]:
    """A folder of the account on a file system of 64 KiB."""
    need(os.geteuid() == 0, "a small file system needs root")
    folder = Path(tempfile.mkdtemp(prefix="small-", dir=worker_account.folder))
    folder.chmod(0o755)
    user = worker_account.user
    options = f"size=64k,mode=0700,uid={_uid(user)}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=False)
    need(mounted.returncode == 0, "this machine lets nobody mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


def _uid(user: str) -> int:
    return int(subprocess.run(["id", "-u", user], capture_output=True, check=True).stdout)
