"""`workers` against real sshds: what is configured, what a probe finds, and whose key is trusted."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.monitor_process import MonitorProcess
from tests.sshd import Sshd, free_port, make_key


def config(path: Path, sshd: Sshd, **worker: object) -> Path:
    """A configuration file with this sshd as `gpu-1` and a closed port as `gone`."""
    host = {"host": "127.0.0.1", "user": sshd.account.user, "key_file": str(sshd.account.key)}
    workers = {
        "gpu-1": {**host, "port": sshd.port, "remote_dir": str(sshd.remote_dir), **worker},
        "gone": {**host, "port": free_port()},
    }
    known_hosts = str(path / "known_hosts")
    file = path / "config.json"
    file.write_text(
        json.dumps({"distributed": {"enabled": True, "workers": workers, "known_hosts": known_hosts}})
    )
    return file


def workers(*args: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "cli.main", "workers", *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def file(tmp_path: Path, sshd: Sshd) -> Path:
    """A configuration that knows no host yet."""
    return config(tmp_path, sshd)


def test_a_host_is_trusted_once_its_fingerprint_was_shown(file: Path, sshd: Sshd) -> None:
    """`check` refuses an unknown host and says what to do; after `trust` it passes."""
    before = workers("check", "gpu-1", "--config", file)
    assert before.returncode == 1
    assert "workers trust gpu-1" in before.stdout

    unasked = workers("trust", "gpu-1", "--config", file)
    assert unasked.returncode == 2
    assert "SHA256:" in unasked.stdout

    trusted = workers("trust", "gpu-1", "--yes", "--config", file)
    assert trusted.returncode == 0, trusted.stderr
    after = workers("check", "gpu-1", "--config", file)
    assert after.returncode == 0, after.stdout
    assert after.stdout.startswith("✓  gpu-1")
    assert "known already" in workers("trust", "gpu-1", "--yes", "--config", file).stdout


def test_one_worker_that_is_down_makes_the_check_fail(file: Path) -> None:
    """`check` exits 1 if one is down, and says at which layer."""
    workers("trust", "gpu-1", "--yes", "--config", file)
    done = workers("check", "--json", "--config", file)
    assert done.returncode == 1
    found = {result["worker"]: result for result in json.loads(done.stdout)}
    assert found["gpu-1"]["outcome"] == "success"
    assert (found["gone"]["outcome"], found["gone"]["layer"]) == ("refused", "tcp")


def test_an_unknown_worker_is_named_with_those_there_are(file: Path) -> None:
    """Bad usage exits 2 and says what is allowed."""
    done = workers("check", "nobody", "--config", file)
    assert done.returncode == 2
    assert "gpu-1, gone" in done.stderr


def test_without_a_monitor_the_configuration_is_listed(file: Path) -> None:
    """`workers` shows what is configured and says that nobody knows more."""
    done = workers("--config", file, "--monitor", f"http://127.0.0.1:{free_port()}", "--json")
    assert done.returncode == 0
    assert [worker["id"] for worker in json.loads(done.stdout)] == ["gpu-1", "gone"]
    assert "No monitor answers" in done.stderr


@pytest.fixture
async def probing(file: Path, tmp_path: Path) -> AsyncIterator[MonitorProcess]:
    """A monitor that probes the workers of the file."""
    monitor = MonitorProcess(tmp_path / "events.db", environ={"MONITOR_CONFIG": str(file)})
    await monitor.start()
    yield monitor
    await monitor.stop()


async def test_a_worker_is_drained_and_undrained_through_the_monitor(
    file: Path, probing: MonitorProcess
) -> None:
    """`workers drain|undrain` say what the worker is now; `workers` shows the state the monitor has."""
    there = ("--monitor", probing.url)
    drained = await asyncio.to_thread(workers, "drain", "gone", "--reason", "new GPU", *there)
    assert (drained.returncode, drained.stdout) == (0, "gone is draining: drained: new GPU\n"), drained.stderr
    listed = await asyncio.to_thread(workers, "--config", file, *there)
    (row,) = [line for line in listed.stdout.splitlines() if line.startswith("gone")]
    assert "draining" in row
    shown = await asyncio.to_thread(workers, "--json", *there)
    assert {worker["id"]: worker["draining"] for worker in json.loads(shown.stdout)} == {
        "gpu-1": False,
        "gone": True,
    }
    undrained = await asyncio.to_thread(workers, "undrain", "gone", "--json", *there)
    assert json.loads(undrained.stdout)["draining"] is False
    unknown = await asyncio.to_thread(workers, "drain", "nobody", *there)
    assert unknown.returncode == 1
    assert "gpu-1, gone" in unknown.stderr


def test_without_a_monitor_nobody_is_drained(file: Path) -> None:
    """One line and exit code 1: a drain that nobody keeps would be none."""
    done = workers("drain", "gone", "--config", file, "--monitor", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "No monitor answers" in done.stderr


def test_a_changed_key_is_replaced_only_when_asked(file: Path, sshd: Sshd) -> None:
    """Another key than the known one is refused with what to do; `--replace` takes it."""
    workers("trust", "gpu-1", "--yes", "--config", file)
    known_hosts = file.parent / "known_hosts"
    other = make_key(file.parent / "other").with_suffix(".pub").read_text()
    known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {other}")
    refused = workers("trust", "gpu-1", "--yes", "--config", file)
    assert refused.returncode == 1
    assert "--replace" in refused.stderr
    assert workers("check", "gpu-1", "--config", file).returncode == 1
    replaced = workers("trust", "gpu-1", "--yes", "--replace", "--config", file)
    assert replaced.returncode == 0, replaced.stderr
    assert workers("check", "gpu-1", "--config", file).returncode == 0


def test_a_worker_behind_a_jump_host_is_trusted_with_it(
    tmp_path: Path, sshd: Sshd, start_sshd: Callable[..., Sshd]
) -> None:
    """Both fingerprints are shown, the jump host's first; then `check` passes, and `trust` shows one only."""
    jump = start_sshd()
    file = config(tmp_path, sshd, jump=f"{jump.account.user}@127.0.0.1:{jump.port}")
    before = workers("check", "gpu-1", "--config", file)
    assert before.returncode == 1
    assert "jump host: the host key" in before.stdout
    assert "workers trust gpu-1" in before.stdout
    trusted = workers("trust", "gpu-1", "--yes", "--config", file)
    assert trusted.returncode == 0, trusted.stderr
    assert f"is reached through 127.0.0.1 port {jump.port}" in trusted.stdout
    assert f"gpu-1 is 127.0.0.1 port {sshd.port}" in trusted.stdout
    after = workers("check", "gpu-1", "--config", file)
    assert after.returncode == 0, after.stdout
    again = workers("trust", "gpu-1", "--yes", "--config", file)
    assert again.stdout.count("SHA256:") == 1
    assert "known already" in again.stdout


def test_an_account_without_a_shell_is_told_in_its_own_words(tmp_path: Path, sshd: Sshd) -> None:
    """What the worker said last stands in the reason; an unreachable one says what to do."""
    script = tmp_path / "nologin"
    script.write_text("#!/bin/sh\necho This account is currently not available. >&2\nexit 1\n")
    script.chmod(0o755)
    tmp_path.chmod(0o755)
    keys = sshd.folder / "authorized_keys"
    keys.write_text(f'command="{sshd.folder}/nologin" {keys.read_text()}')
    script.rename(sshd.folder / "nologin")
    file = config(tmp_path, sshd)
    workers("trust", "gpu-1", "--yes", "--config", file)
    checked = workers("check", "gpu-1", "--config", file)
    assert checked.returncode == 1
    assert "(This account is currently not available.)" in checked.stdout
    gone = workers("trust", "gone", "--yes", "--config", file)
    assert gone.stderr.endswith("is sshd running, and is the port right?\n")
