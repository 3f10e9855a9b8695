"""What a worker is told to be: where, who, with which key, and what it runs. Checked by whoever reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SSH_PORT: Final = 22
CONNECT_TIMEOUT_S: Final = 30.0
MAX_RETRIES: Final = 3
REMOTE_DIR: Final = "/tmp/translate-ssh"  # noqa: S108 - a folder on the worker, and the name it always had


@dataclass(frozen=True, slots=True)
class Engine:
    """What translates on the worker.

    `kind` is `openai` (a server with OpenAI's API at `url` as the worker itself would reach it, such as
    `http://127.0.0.1:8080/v1`, used through a tunnel) or `command` (`command` is run there, text on stdin,
    result on stdout).
    """

    kind: str
    url: str | None = None
    command: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One worker. `id` is its name everywhere; times are seconds.

    `host_key` is a public key line or a `SHA256:…` fingerprint that pins the host; without it `known_hosts`
    decides. `key_files` are tried in order (several for a rotation); `jump` is `user@host:port`; `ssh_config`
    lets `~/.ssh/config` fill what is not given. `allow` names the programs that may be run there, as a
    command names them; empty, `engine.command`'s own alone may. `repr` shows no secret.
    """

    id: str
    host: str
    port: int = SSH_PORT
    user: str | None = None
    name: str | None = None
    password: str | None = field(default=None, repr=False)
    key_files: tuple[Path, ...] = ()
    passphrase_file: Path | None = None
    host_key: str | None = None
    known_hosts: Path | None = None
    jump: str | None = None
    ssh_config: bool = False
    engine: Engine | None = None
    max_capacity: int = 1
    tags: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    remote_dir: str = REMOTE_DIR
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    max_retries: int = MAX_RETRIES
