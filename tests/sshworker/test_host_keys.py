"""Trusting a worker: what `workers trust` shows is what it writes, and it never overwrites in silence."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from sshworker.connection import Connection
from sshworker.errors import Failure, WorkerError
from sshworker.host_keys import HostKey, fetch, trust
from tests.sshd import Sshd, free_port, make_key


def key_of(path: Path, port: int = 22) -> HostKey:
    """The key in a file as `fetch` would give it."""
    public = path.with_suffix(".pub").read_text().split()
    shown = subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, text=True, check=True).stdout
    return HostKey("gpu", port, public[0], shown.split()[1], " ".join(public[:2]))


async def test_a_fetched_key_is_shown_trusted_and_then_believed(sshd: Sshd, tmp_path: Path) -> None:
    """`workers trust ID` shows the fingerprint and adds it; then the worker can be used."""
    known = tmp_path / "new" / "known_hosts"
    spec = sshd.spec(known_hosts=known)
    key = await fetch(spec)
    assert (key.host, key.port, key.type) == ("127.0.0.1", sshd.port, "ssh-ed25519")
    assert key.fingerprint == key_of(sshd.host_key).fingerprint
    assert await asyncio.to_thread(trust, known, key.host, key.port, key)
    assert known.read_text() == f"[127.0.0.1]:{sshd.port} {key.public_line}\n"
    assert (known.stat().st_mode & 0o777, known.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    async with Connection(spec) as connection:
        await connection.open()


async def test_fetching_from_nowhere_is_told(sshd: Sshd) -> None:
    """The same failures as for any connection."""
    with pytest.raises(WorkerError) as caught:
        await fetch(sshd.spec(port=free_port()))
    assert caught.value.failure is Failure.REFUSED


def test_trusting_twice_changes_nothing(tmp_path: Path) -> None:
    """False says that it was known."""
    known, key = tmp_path / "known_hosts", key_of(make_key(tmp_path / "key"))
    assert trust(known, "gpu", 22, key)
    before = known.stat().st_mtime_ns
    assert not trust(known, "gpu", 22, key)
    assert known.stat().st_mtime_ns == before


def test_a_changed_key_is_not_replaced_unless_told(tmp_path: Path) -> None:
    """Only the user can know why it changed; other hosts, names and comments stay."""
    known = tmp_path / "known_hosts"
    old, new = key_of(make_key(tmp_path / "old")), key_of(make_key(tmp_path / "new"))
    text = f"# mine\n[gpu]:2222 {old.public_line} a comment\ngpu,other {old.public_line}\n"
    known.write_text(text)
    with pytest.raises(WorkerError, match="another key is known for gpu") as caught:
        trust(known, "gpu", 22, new, worker="gpu-1")
    assert caught.value.failure is Failure.HOST_KEY
    assert "workers trust gpu-1 --replace" in caught.value.detail
    assert known.read_text() == text
    assert trust(known, "gpu", 22, new, replace=True)
    assert known.read_text() == (
        f"# mine\n[gpu]:2222 {old.public_line} a comment\nother {old.public_line}\ngpu {new.public_line}\n"
    )


def test_hashed_names_are_found_and_replaced(tmp_path: Path) -> None:
    """As `HashKnownHosts yes` writes them."""
    known = tmp_path / "known_hosts"
    old, new = key_of(make_key(tmp_path / "old")), key_of(make_key(tmp_path / "new"))
    known.write_text(f"gpu {old.public_line}\nother {old.public_line}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    assert not trust(known, "gpu", 22, old)
    with pytest.raises(WorkerError, match="another key"):
        trust(known, "gpu", 22, new)
    assert trust(known, "gpu", 22, new, replace=True)
    assert len(known.read_text().splitlines()) == 2
    with pytest.raises(WorkerError, match="another key"):
        trust(known, "other", 22, new)


def test_a_link_stays_a_link_and_a_folder_that_takes_nothing_is_told(tmp_path: Path) -> None:
    """Dotfiles are often links into another folder."""
    key = key_of(make_key(tmp_path / "key"))
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("")
    link.symlink_to(real)
    assert trust(link, "gpu", 22, key)
    assert link.is_symlink()
    assert "gpu ssh-ed25519" in real.read_text()
    with pytest.raises(WorkerError, match="cannot be changed"):
        trust(real / "known_hosts", "gpu", 22, key)


async def test_two_at_once_lose_no_line(tmp_path: Path) -> None:
    """`workers trust` for twenty workers in parallel."""
    known, key = tmp_path / "known_hosts", key_of(make_key(tmp_path / "key"))
    await asyncio.gather(*(asyncio.to_thread(trust, known, f"gpu{n}", 22, key) for n in range(20)))
    assert len(known.read_text().splitlines()) == 20
    assert os.listdir(tmp_path).count("known_hosts") == 1
