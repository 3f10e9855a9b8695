"""Real workers for tests: each a private sshd on loopback, with a plain account whose shell is /bin/sh."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sshworker.connection import Connection
from sshworker.errors import WorkerError
from sshworker.spec import WorkerSpec
from tests.parts import need

SSHD = Path("/usr/sbin/sshd")
PASSWORD = "correct horse battery"  # noqa: S105 - of an account that lives as long as the test
WRAPPER = Path(__file__).parent.parent / "sshworker" / "translation-worker.sh"


@dataclass(frozen=True)
class Account:
    """A system user with a folder of its own, and a key that lets in."""

    user: str
    folder: Path
    key: Path

    def processes(self, pattern: str) -> list[int]:
        """The account's processes whose command line matches, on the far side."""
        found = subprocess.run(["pgrep", "-u", self.user, "-f", pattern], capture_output=True, check=False)
        return [int(pid) for pid in found.stdout.split()]


@contextmanager
def account() -> Iterator[Account]:
    """A fresh account, gone afterwards with all it ran."""
    need(os.geteuid() == 0, "an account of its own for the workers needs root")
    need(SSHD.exists(), "openssh-server is not installed")
    need(all(map(shutil.which, ("useradd", "userdel", "chpasswd", "pgrep"))), "no tools for accounts")
    # Not under pytest's own folder, which only root may enter.
    folder = Path(tempfile.mkdtemp(prefix="worker-", dir="/tmp"))
    user = f"tmw{os.getpid()}"
    folder.chmod(0o755)
    subprocess.run(["useradd", "--system", "-M", "-d", folder, "-s", "/bin/sh", user], check=True)
    try:
        subprocess.run(["chpasswd"], input=f"{user}:{PASSWORD}".encode(), check=True)
        shutil.chown(folder, user)
        key = make_key(folder / "id")
        yield Account(user, folder, key)
    finally:
        subprocess.run(["pkill", "-KILL", "-u", user], check=False)
        until(lambda: not subprocess.run(["pgrep", "-u", user], capture_output=True, check=False).stdout)
        subprocess.run(["userdel", user], check=True, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Sshd:
    """One sshd, once started. `spec()` is the worker that it is; `lines` come first in its configuration."""

    account: Account
    max_sessions: int = 10
    forced: str | None = None
    password: bool = False
    accept_env: bool = True
    sftp: str = "internal-sftp"
    lines: tuple[str, ...] = ()
    port: int = 0
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="sshd-", dir="/tmp")))
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.folder.chmod(0o755)
        self.port = self.port or free_port()
        self.host_key = make_key(self.folder / "host")
        option = f'restrict,port-forwarding,command="{self.forced}" ' if self.forced is not None else ""
        public = self.account.key.with_suffix(".pub").read_text()
        (self.folder / "authorized_keys").write_text(option + public)
        self.know()

    def know(self) -> None:
        """Write the known_hosts file that knows this host's key."""
        public = self.host_key.with_suffix(".pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}")

    @property
    def known_hosts(self) -> Path:
        """The file where this worker's host key is known."""
        return self.folder / "known_hosts"

    @property
    def remote_dir(self) -> Path:
        """The folder that the worker's commands work under."""
        return self.account.folder / f"work-{self.port}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text(
            "\n".join(
                (
                    # First, as the first of two values counts.
                    *self.lines,
                    f"Port {self.port}",
                    "ListenAddress 127.0.0.1",
                    f"HostKey {self.host_key}",
                    f"PidFile {self.folder / 'pid'}",
                    f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
                    "StrictModes no",
                    "UsePAM no",
                    f"PasswordAuthentication {'yes' if self.password else 'no'}",
                    "KbdInteractiveAuthentication no",
                    f"Subsystem sftp {self.sftp}",
                    f"MaxSessions {self.max_sessions}",
                    "MaxStartups 200:30:400",
                    f"AcceptEnv {'TRACEPARENT' if self.accept_env else 'LANG'}",
                    "PrintMotd no",
                    "",
                )
            )
        )
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=log)
        until(lambda: answers(self.port))

    def spec(self, **fields: object) -> WorkerSpec:
        """This worker, with other fields where given."""
        usual: dict[str, object] = {
            "id": "gpu-1",
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.account.user,
            "key_files": (self.account.key,),
            "known_hosts": self.known_hosts,
            "remote_dir": str(self.remote_dir),
            "connect_timeout_s": 10.0,
            "max_retries": 0,
        }
        return WorkerSpec(**{**usual, **fields})  # type: ignore[arg-type]  # by name, as the tests give them

    def cut(self) -> None:
        """Kill the server and every connection of it at once, as a machine that dies does."""
        assert self.process is not None
        for pid in [self.process.pid, *self.connections()]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def connections(self) -> list[int]:
        """The processes of its connections."""
        assert self.process is not None
        return _below(self.process.pid)

    def leftovers(self) -> list[str]:
        """The folders that commands have left under `remote_dir`."""
        return names(self.remote_dir) if self.remote_dir.exists() else []

    def stop(self) -> None:
        """End it with its connections."""
        if self.process is not None and self.process.poll() is None:
            self.cut()
        shutil.rmtree(self.folder, ignore_errors=True)


def _below(parent: int) -> list[int]:
    """The sshd processes under `parent`: those of connections, not the commands in them."""
    table = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 2) for line in table.splitlines()]
    found: list[int] = []
    parents = {parent}
    while parents:
        parents = {int(pid) for pid, of, name in rows if int(of) in parents and name.startswith("sshd")}
        found += parents
    return found


async def refused_login(spec: WorkerSpec) -> WorkerError:
    """How opening the connection fails; nothing of it stays behind."""
    before = asyncio.all_tasks()
    async with Connection(spec) as connection:
        with pytest.raises(WorkerError) as caught:
            await connection.open()
        assert not connection.is_open
    assert asyncio.all_tasks() == before
    return caught.value


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def make_key(path: Path, *options: str) -> Path:
    """A new key pair, Ed25519 and without a passphrase unless the options say otherwise."""
    options = options or ("-t", "ed25519", "-N", "")
    subprocess.run(["ssh-keygen", "-q", *options, "-f", path], check=True)
    return path


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def until(condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
    """Wait for a condition of another process."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


def words_program(sshd: Sshd, *, pause_s: float = 0.0, hang: bool = False) -> str:
    """A command template for this worker: a program that puts capitals for small letters, with a pause.

    It writes a line to `asked` in its folder for each text, with the languages and the trace it was given.
    """
    program = sshd.account.folder / f"words-{sshd.port}.sh"
    program.write_text(
        f'text=$(cat)\necho "$1 $2 $TRACEPARENT $text" >> {sshd.account.folder}/asked-{sshd.port}\n'
        + ("exec sleep 300\n" if hang else f"sleep {pause_s:g}\n")
        + "printf '%s\\n' \"$text\" | tr a-z A-Z\n"
    )
    program.chmod(0o644)
    return f"/bin/sh {program} {{source}} {{target}}"


def asked(sshd: Sshd) -> list[str]:
    """What the worker's `words_program` was asked."""
    path = sshd.account.folder / f"asked-{sshd.port}"
    return path.read_text().splitlines() if path.exists() else []
