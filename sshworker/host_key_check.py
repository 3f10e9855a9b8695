"""Whether the host that answers is the worker: by the key pinned in the config, else by known_hosts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import asyncssh

from sshworker.errors import Failure, WorkerError
from sshworker.spec import WorkerSpec

GLOBAL_KNOWN_HOSTS: Final = Path("/etc/ssh/ssh_known_hosts")
# A fingerprint does not tell the type of its key, and a host shows one key of several: ask for each in turn.
_TYPES: Final[tuple[tuple[str, ...], ...]] = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)
_Matched = tuple[Sequence[object], ...]


def known_hosts_path(spec: WorkerSpec) -> Path:
    """Where this worker's host key is looked up and kept."""
    return spec.known_hosts if spec.known_hosts is not None else Path("~/.ssh/known_hosts").expanduser()


class HostKeyCheck(asyncssh.SSHClient):
    """Checks one connection's host key and remembers what it saw, so that a refusal can say what to do.

    Serves asyncssh as `client_factory` and as `known_hosts`. Reads files when made: make it in a thread.
    `nobody=True` trusts no key at all, to learn the one presented.

    Raises: WorkerError(HOST_KEY): known_hosts or the pinned key cannot be read.
    """

    def __init__(self, spec: WorkerSpec, *, nobody: bool = False) -> None:
        self.presented: asyncssh.SSHKey | None = None
        self.known: list[asyncssh.SSHKey] = []
        self.host = spec.host
        self.port = spec.port
        self.lost: Exception | None = None
        self.is_lost = False
        self._spec = spec
        self._nobody = nobody
        self._asked = False
        self._fingerprint: str | None = None
        self._pinned: asyncssh.SSHKey | None = None
        self._hosts: asyncssh.SSHKnownHosts | None = None
        pin = None if nobody else spec.host_key
        if pin is None:
            self._hosts = None if nobody else _read(spec)
        elif pin.strip().startswith("SHA256:"):
            self._fingerprint = pin.strip().rstrip("=")
        else:
            self._pinned = _public_key(pin, spec)

    def algorithm_choices(self) -> tuple[tuple[str, ...], ...]:
        """The host key algorithms to ask for, one attempt each; () leaves it to the keys that are known.

        The later ones are for a fingerprint, and for a host that no longer has a key of the known type: it
        ends the connection before it has shown any.
        """
        return ((), *_TYPES) if self._fingerprint is not None else ((), sum(_TYPES, ()))

    def is_worth_another_choice(self, failure: Failure) -> bool:
        """Whether asking for keys of other types can still find the pinned one, or tell what has changed."""
        if failure is Failure.HOST_KEY:
            return self._fingerprint is not None
        return failure is Failure.LOST and bool(self.known) and self.presented is None

    def known_hosts(self, host: str, addr: str, port: int | None) -> _Matched:
        """The keys, authorities and revoked keys of this host, as asyncssh asks for them."""
        self._asked = True
        self.host = host
        self.port = port or 22
        if self._pinned is not None:
            self.known = [self._pinned]
            return ([self._pinned], [], [], [], [], [], [])
        if self._hosts is None:
            return ([], [], [], [], [], [], [])
        matched = self._hosts.match(host, addr, port)
        self.known = list(matched[0])
        return matched

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Decide on a key that is not among the known ones: only a pinned fingerprint can still save it."""
        self.presented = key
        return self._fingerprint is not None and key.get_fingerprint() == self._fingerprint

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """A new attempt: what the one before came to is forgotten."""
        self.is_lost = False
        self.lost = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember why the connection went away; asyncssh tells nobody else."""
        self.is_lost = True
        self.lost = exc

    def refusal(self, reason: str) -> WorkerError:
        """The error for a host that was not believed; its sentence says which case it is and what to do."""
        if self._spec.ssh_config and not self._asked:
            # A ProxyJump is asyncssh's affair: it goes by ~/.ssh/known_hosts, and never shows us the key.
            words = (
                f"the host key of the jump host that ~/.ssh/config names for {self.host} (ProxyJump) is not "
                "the one in ~/.ssh/known_hosts: compare it and trust it with `ssh`, or name it with `jump`"
            )
            return WorkerError(Failure.HOST_KEY, words, worker=self._spec.id)
        where = f"{self.host}:{self.port}"
        shown = "a key of another type"
        if self.presented is not None:
            shown = f"{self.presented.get_algorithm()} {self.presented.get_fingerprint()}"
        trust = f"translation-monitor workers trust {self._spec.id}"
        if self._fingerprint is not None or self._pinned is not None:
            pinned = self._fingerprint or (self._pinned.get_fingerprint() if self._pinned else "")
            words = (
                f"the host key of {where} is not the pinned one: pinned {pinned}, presented {shown}; if the "
                "worker was reinstalled, correct its `host_key` in the config; else somebody is in between"
            )
        elif "revoked" in reason:
            words = f"the host key of {where} is revoked in {known_hosts_path(self._spec)}"
        elif self.known:
            # By name and by address a host may be found twice.
            known = ", ".join(dict.fromkeys(key.get_fingerprint() for key in self.known))
            words = (
                f"the host key of {where} has changed: known {known}, presented {shown}; somebody may be in "
                f"between: only if you know that it changed, `{trust} --replace`"
            )
        else:
            words = (
                f"the host key of {where} is not known: {shown}; compare it with the worker's own "
                f"(`ssh-keygen -lf` on its public host key), then `{trust}`"
            )
        return WorkerError(Failure.HOST_KEY, words, worker=self._spec.id)


def _read(spec: WorkerSpec) -> asyncssh.SSHKnownHosts:
    text = ""
    path = known_hosts_path(spec)
    for file in (path, GLOBAL_KNOWN_HOSTS):
        try:
            text += file.read_text("utf-8", errors="replace") + "\n"
        except FileNotFoundError:
            continue
        except OSError as err:
            words = f"{file} cannot be read: {err.strerror}"
            raise WorkerError(Failure.HOST_KEY, words, worker=spec.id) from err
    try:
        return asyncssh.import_known_hosts(text)
    except ValueError as err:
        words = f"{path} is not a known_hosts file: {err}"
        raise WorkerError(Failure.HOST_KEY, words, worker=spec.id) from err


def _public_key(line: str, spec: WorkerSpec) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_public_key(line.strip())
    except asyncssh.KeyImportError as err:
        words = "`host_key` is neither a public key line (`ssh-ed25519 AAAA…`) nor a fingerprint (`SHA256:…`)"
        raise WorkerError(Failure.HOST_KEY, words, worker=spec.id) from err
