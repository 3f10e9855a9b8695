"""One attempt to reach a worker over SSH, jump hosts included, and the meaning of each way it can fail."""

from __future__ import annotations

import asyncio
import errno
import getpass
import socket
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import asyncssh

from sshworker.credentials import Credentials, load_credentials
from sshworker.errors import Failure, WorkerError
from sshworker.host_key_check import HostKeyCheck
from sshworker.spec import SSH_PORT, WorkerSpec

# A cut cable is noticed after (count + 1) × interval = 7.5 s without an answer.
KEEPALIVE_INTERVAL_S: Final = 2.5
KEEPALIVE_COUNT: Final = 2
CLOSE_TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Link:
    """An open connection, the jump connections under it (outermost first), and what checked its host."""

    ssh: asyncssh.SSHClientConnection
    jumps: tuple[asyncssh.SSHClientConnection, ...]
    check: HostKeyCheck

    @property
    def is_lost(self) -> bool:
        """Whether it can carry nothing more."""
        return self.check.is_lost or self.ssh.is_closed()

    async def close(self) -> None:
        """Close innermost first; a peer that does not answer is left after 3 s."""
        for ssh in (self.ssh, *reversed(self.jumps)):
            await _close(ssh)


async def connect(spec: WorkerSpec, *, host_key_check: HostKeyCheck | None = None) -> Link:
    """Reach the worker once, within its connect timeout for the whole way.

    Raises: WorkerError: every way to fail, translated; HOST_KEY and AUTH are not worth a repeat.
    """
    try:
        check = host_key_check if host_key_check is not None else await asyncio.to_thread(HostKeyCheck, spec)
        credentials = await asyncio.to_thread(load_credentials, spec)
        async with asyncio.timeout(spec.connect_timeout_s):
            jumps = await _jumps(spec, credentials)
            try:
                return Link(await _choose(spec, check, credentials, jumps), tuple(jumps), check)
            except BaseException:
                for ssh in reversed(jumps):
                    ssh.abort()
                raise
    except TimeoutError as err:
        words = (
            f"no answer from {_where(spec)} within {spec.connect_timeout_s:g} s: is the machine on, is "
            "the address right, and does a firewall let the port through?"
        )
        raise WorkerError(Failure.TIMEOUT, words, worker=spec.id) from err


def hops(spec: WorkerSpec) -> tuple[WorkerSpec, ...]:
    """The worker's jump hosts, outermost first, each behind those before it, under the worker's own id."""
    jumps = [part.strip() for part in (spec.jump or "").split(",") if part.strip()]
    found = []
    for number, jump in enumerate(jumps):
        user, _, address = jump.rpartition("@")
        host, _, port = address.rpartition(":") if address.rpartition(":")[2].isdigit() else (address, "", "")
        hop = replace(
            spec,
            host=host.strip("[]"),
            port=int(port or SSH_PORT),
            user=user or spec.user,
            host_key=None,
            password=None,
            jump=",".join(jumps[:number]) or None,
        )
        found.append(hop)
    return tuple(found)


async def _jumps(spec: WorkerSpec, credentials: Credentials) -> list[asyncssh.SSHClientConnection]:
    jumps: list[asyncssh.SSHClientConnection] = []
    try:
        for hop in hops(spec):
            check = await asyncio.to_thread(HostKeyCheck, hop)
            hop_credentials = replace(credentials, password=None)
            try:
                jumps.append(await _choose(hop, check, hop_credentials, jumps))
            except WorkerError as err:
                raise WorkerError(err.failure, f"jump host: {err.detail}", worker=spec.id) from err
    except BaseException:
        for ssh in reversed(jumps):
            ssh.abort()
        raise
    return jumps


async def _choose(
    spec: WorkerSpec,
    check: HostKeyCheck,
    credentials: Credentials,
    jumps: list[asyncssh.SSHClientConnection],
) -> asyncssh.SSHClientConnection:
    options = _options(spec, check, credentials)
    first: WorkerError | None = None
    for algorithms in check.algorithm_choices():
        if algorithms:
            options["server_host_key_algs"] = list(algorithms)
        try:
            # asyncssh's options are typed as one long signature; ours are built by name.
            return await asyncssh.connect(
                spec.host,
                tunnel=jumps[-1] if jumps else (),
                **options,
            )
        except (asyncssh.Error, OSError, ValueError) as err:
            failed = explain(err, spec, check, credentials)
            if first is None and not check.is_worth_another_choice(failed.failure):
                raise failed from err
            if first is None or (failed.failure is Failure.HOST_KEY and first.failure is Failure.LOST):
                first = failed
    assert first is not None  # noqa: S101 - the choices are never empty
    raise first


def _options(spec: WorkerSpec, check: HostKeyCheck, credentials: Credentials) -> dict[str, object]:
    options: dict[str, object] = {
        "config": None,
        "client_factory": lambda: check,
        "known_hosts": check.known_hosts,
        "x509_trusted_certs": None,
        "gss_host": None,
        "agent_forwarding": False,
        "x11_forwarding": False,
        "keepalive_interval": KEEPALIVE_INTERVAL_S,
        "keepalive_count_max": KEEPALIVE_COUNT,
        # An `Env`, `RemoteCommand` or `RequestTTY` of ~/.ssh/config is meant for people at a terminal.
        "env": None,
        "command": None,
        "request_pty": False,
        **credentials.options(),
    }
    config = Path("~/.ssh/config").expanduser()
    if spec.ssh_config and config.exists():
        options["config"] = [str(config)]
    if not spec.ssh_config or spec.port != SSH_PORT:
        options["port"] = spec.port
    if spec.user is not None:
        options["username"] = spec.user
    return options


def explain(err: Exception, spec: WorkerSpec, check: HostKeyCheck, credentials: Credentials) -> WorkerError:
    """What a failure of asyncssh or the system while connecting means, in a sentence that says what to do."""
    where = _where(spec)

    def made(failure: Failure, words: str) -> WorkerError:
        return WorkerError(failure, words, worker=spec.id)

    match err:
        case WorkerError():
            return err
        case asyncssh.HostKeyNotVerifiable():
            return check.refusal(str(err))
        case asyncssh.KeyExchangeFailed() if check.known and "host key" in str(err):
            return check.refusal(str(err))
        case asyncssh.PermissionDenied():
            user = spec.user or getpass.getuser()
            return made(
                Failure.AUTH,
                f"{where} does not let in {user} (tried: {credentials.shown}): check the user, and that the "
                "public key stands in the worker's authorized_keys",
            )
        case asyncssh.ChannelOpenError():
            refused = "refused" in str(err).lower()
            return made(
                Failure.REFUSED if refused else Failure.UNREACHABLE,
                f"the jump host cannot reach {where}: {_one_line(err)}",
            )
        case asyncssh.Error():
            return made(Failure.LOST, f"{where} ended the connection before it was ready: {_one_line(err)}")
        case socket.gaierror():
            return made(
                Failure.UNREACHABLE,
                f"the name {spec.host} cannot be resolved: {err.strerror}: is it spelt right?",
            )
        case ConnectionRefusedError():
            return made(
                Failure.REFUSED, f"nothing listens at {where}: is sshd running, and is the port right?"
            )
        case OSError() if f"[Errno {errno.ECONNREFUSED}]" in str(err):
            # Several addresses, each refused: asyncio joins them into one error without a number.
            return made(
                Failure.REFUSED, f"nothing listens at {where}: is sshd running, and is the port right?"
            )
        case ConnectionResetError() | BrokenPipeError():
            return made(Failure.LOST, f"{where} ended the connection before it was ready")
        case TimeoutError():
            return made(Failure.TIMEOUT, f"no answer from {where}")
        case OSError():
            return made(Failure.UNREACHABLE, f"{where} cannot be reached: {err.strerror or _one_line(err)}")
        case _:
            # ValueError: an option or `~/.ssh/config` that asyncssh does not take.
            return made(Failure.INTERNAL, f"the connection to {where} cannot be set up: {_one_line(err)}")


def _where(spec: WorkerSpec) -> str:
    return f"{spec.host}:{spec.port}"


def _one_line(err: Exception) -> str:
    return " ".join(str(err).split()) or type(err).__name__


async def _close(ssh: asyncssh.SSHClientConnection) -> None:
    ssh.close()
    with suppress(TimeoutError, asyncssh.Error, OSError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await ssh.wait_closed()
            return
    ssh.abort()
