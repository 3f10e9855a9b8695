"""What a worker is shown to let us in: keys from files and from the agent, a password only if configured."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncssh

from sshworker.errors import Failure, WorkerError
from sshworker.spec import WorkerSpec

# Ed25519 first: small, fast, and what the docs tell users to make.
_DEFAULT_KEYS: Final = ("id_ed25519", "id_ecdsa", "id_rsa")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys and password for one connection. `shown` names them for an error's sentence, without a secret."""

    keys: tuple[asyncssh.SSHKey, ...] = field(repr=False)
    agent_keys: tuple[asyncssh.SSHKey, ...] | None
    password: str | None = field(repr=False)
    shown: str

    def options(self) -> dict[str, object]:
        """What asyncssh is told. No keys given and `~/.ssh/config` in use leaves `IdentityFile` to say."""
        methods = ["publickey"]
        options: dict[str, object] = {}
        if self.password is not None:
            methods += ["keyboard-interactive", "password"]
            options["password"] = self.password
        if self.keys:
            options["client_keys"] = list(self.keys)
        if self.agent_keys is not None:
            options["agent_identities"] = list(self.agent_keys)
            if not self.agent_keys:
                # Key files were named: an agent's other keys would use up the server's MaxAuthTries.
                options["agent_path"] = None
        options["preferred_auth"] = ",".join(methods)
        return options


def load_credentials(spec: WorkerSpec) -> Credentials:
    """Read the key files; blocks (a passphrase costs 100 ms and more by design), so call it in a thread.

    A key without its passphrase is left to the agent where its `.pub` lies beside it; a `.pub` named as key
    file means the agent's key.

    Raises: WorkerError(AUTH): a key file cannot be read or opened.
    """
    passphrase = _passphrase(spec)
    keys: list[asyncssh.SSHKey] = []
    agent_keys: list[asyncssh.SSHKey] = []
    for path in spec.key_files:
        if path.suffix == ".pub":
            agent_keys.append(_public(path, spec))
            continue
        key = _open(path, passphrase, spec)
        if key is not None:
            keys.append(key)
        else:
            agent_keys.append(_public(path.with_name(path.name + ".pub"), spec))
    if not spec.key_files and not spec.ssh_config:
        folder = Path("~/.ssh").expanduser()
        keys = [
            key for name in _DEFAULT_KEYS if (key := _open_default(folder / name, passphrase)) is not None
        ]
    shown = [str(path) for path in spec.key_files] or ["the default keys and the agent"]
    if spec.password is not None:
        shown.append("a password")
    return Credentials(
        keys=tuple(keys),
        agent_keys=tuple(agent_keys) if spec.key_files else None,
        password=spec.password,
        shown=", ".join(shown),
    )


def _passphrase(spec: WorkerSpec) -> str | None:
    if spec.passphrase_file is None:
        return None
    return _read(spec.passphrase_file, spec).decode("utf-8", errors="replace").rstrip("\r\n")


def _read(path: Path, spec: WorkerSpec) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as err:
        words = f"{path} cannot be read: {err.strerror}; is `key_file` right?"
        raise WorkerError(Failure.AUTH, words, worker=spec.id) from err


def _public(path: Path, spec: WorkerSpec) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_public_key(_read(path, spec))
    except asyncssh.KeyImportError as err:
        raise WorkerError(Failure.AUTH, f"{path} is not a public key", worker=spec.id) from err


def _open(path: Path, passphrase: str | None, spec: WorkerSpec) -> asyncssh.SSHKey | None:
    """The key, or None where it needs a passphrase that nobody gave but the agent may hold it."""
    data = _read(path, spec)
    try:
        return asyncssh.import_private_key(data)
    except asyncssh.KeyImportError as err:
        if "assphrase" not in str(err):
            raise WorkerError(Failure.AUTH, f"{path} is not a private key", worker=spec.id) from err
    if passphrase is None:
        if path.with_name(path.name + ".pub").exists():
            return None
        words = f"{path} has a passphrase: name it with `passphrase_file`, or put the key into the agent"
        raise WorkerError(Failure.AUTH, words, worker=spec.id)
    try:
        return asyncssh.import_private_key(data, passphrase)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as err:
        words = f"the passphrase in {spec.passphrase_file} does not open {path}"
        raise WorkerError(Failure.AUTH, words, worker=spec.id) from err


def _open_default(path: Path, passphrase: str | None) -> asyncssh.SSHKey | None:
    """One of the usual keys, if it is there and opens; the agent may hold those that do not."""
    try:
        data = path.read_bytes()
        try:
            return asyncssh.import_private_key(data)
        except asyncssh.KeyImportError:
            return asyncssh.import_private_key(data, passphrase) if passphrase is not None else None
    except (OSError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        return None
