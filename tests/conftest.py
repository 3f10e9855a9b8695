"""Fixtures of the whole test suite: a server, a browser and SSH workers that end with the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import OpenPage, browsing
from tests.monitor_process import MonitorProcess
from tests.sshd import Account, Sshd, account


@pytest.fixture
async def monitor(tmp_path: Path) -> AsyncIterator[MonitorProcess]:
    """A server as a user runs it: in a process of its own, with an SQLite log."""
    process = MonitorProcess(tmp_path / "events.db")
    await process.start()
    yield process
    await process.stop()


@pytest.fixture
async def open_page() -> AsyncIterator[OpenPage]:
    """Opens pages; the test fails if one of them had an error, a dialog or a breach of its policy."""
    async with browsing() as opening:
        yield opening


@pytest.fixture(scope="session")
def worker_account() -> Iterator[Account]:
    """The account that all workers of this run let in."""
    with account() as made:
        yield made


@pytest.fixture
def start_sshd(worker_account: Account) -> Iterator[Callable[..., Sshd]]:
    """Starts workers; all end with the test."""
    started: list[Sshd] = []

    def start(**options: Any) -> Sshd:
        sshd = Sshd(worker_account, **options)
        started.append(sshd)
        sshd.start()
        return sshd

    yield start
    for sshd in started:
        sshd.stop()


@pytest.fixture
def sshd(start_sshd: Callable[..., Sshd]) -> Sshd:
    """One worker as Debian would set it up."""
    return start_sshd()
