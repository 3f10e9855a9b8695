"""Fixtures of the whole test suite: SSH workers that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.sshd import Account, Sshd, account


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
