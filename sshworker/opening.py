"""Opening a channel over a connection that is up, and the meaning of each way the server can say no."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncssh

from sshworker.connect import Link
from sshworker.errors import Failure, WorkerError
from sshworker.spec import WorkerSpec

C = TypeVar("C", asyncssh.SSHClientProcess[bytes], asyncssh.SFTPClient)
Opener = Callable[[asyncssh.SSHClientConnection], Awaitable[C]]
Stream = tuple[asyncssh.SSHReader[bytes], asyncssh.SSHWriter[bytes]]


async def open_channel(
    spec: WorkerSpec, link: Link, opener: Opener[C]
) -> C | asyncssh.ChannelOpenError | WorkerError:
    """What `opener` opens, within the connect timeout; errors are returned, for several may wait for them.

    A ChannelOpenError comes back as it is: the server has no channel free now.
    """
    try:
        async with asyncio.timeout(spec.connect_timeout_s):
            return await opener(link.ssh)
    except asyncssh.ChannelOpenError as err:
        if link.is_lost or (err.code == asyncssh.OPEN_CONNECT_FAILED and "closed" in err.reason):
            return lost(spec, link)
        if err.code == asyncssh.OPEN_REQUEST_SESSION_FAILED:
            words = (
                "the worker refuses this kind of session (no commands, or no file transfer): see its "
                "sshd_config, and what authorized_keys says of this key"
            )
            return WorkerError(Failure.COMMAND_REFUSED, words, worker=spec.id)
        return err
    except asyncssh.SFTPError:
        if link.is_lost:
            return lost(spec, link)
        words = "the worker's sshd offers no file transfer (`Subsystem sftp` in its sshd_config)"
        return WorkerError(Failure.COMMAND_REFUSED, words, worker=spec.id)
    except TimeoutError:
        words = f"the worker opened no channel within {spec.connect_timeout_s:g} s"
        return WorkerError(Failure.TIMEOUT, words, worker=spec.id)
    except (asyncssh.Error, OSError, AssertionError):  # the last as in `open_stream`
        return lost(spec, link)


async def open_stream(spec: WorkerSpec, link: Link, host: str, port: int) -> Stream | WorkerError:
    """A byte stream to `host:port` as the worker sees it; errors are returned, as with `open_channel`."""
    try:
        async with asyncio.timeout(spec.connect_timeout_s):
            return await link.ssh.open_connection(host, port)
    except asyncssh.ChannelOpenError as err:
        if link.is_lost or (err.code == asyncssh.OPEN_CONNECT_FAILED and "SSH connection" in err.reason):
            return lost(spec, link)
        if err.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
            words = f"the worker's sshd forbids forwarding to {host}:{port} (AllowTcpForwarding, permitopen)"
            return WorkerError(Failure.COMMAND_REFUSED, words, worker=spec.id)
        words = f"the worker cannot reach its engine at {host}:{port}: {err.reason}; is it running there?"
        return WorkerError(Failure.ENGINE_DOWN, words, worker=spec.id)
    except TimeoutError:
        words = f"the worker opened no stream to {host}:{port} within {spec.connect_timeout_s:g} s"
        return WorkerError(Failure.TIMEOUT, words, worker=spec.id)
    except AssertionError:
        # asyncssh's own, for a channel that was closed in the moment in which it opened.
        if link.is_lost:
            return lost(spec, link)
        words = f"the worker's engine at {host}:{port} ended the stream as it opened"
        return WorkerError(Failure.ENGINE_DOWN, words, worker=spec.id)
    except (asyncssh.Error, OSError):
        return lost(spec, link)


def close_stream(opened: Stream | WorkerError) -> None:
    """Take back what `open_stream` returned to nobody."""
    if not isinstance(opened, WorkerError):
        opened[1].close()


def lost(spec: WorkerSpec, link: Link | None) -> WorkerError:
    """The error for what ran over a connection when it broke."""
    return WorkerError(Failure.LOST, f"the connection to the worker broke: {loss_of(link)}", worker=spec.id)


def loss_of(link: Link | None) -> str:
    """Why a connection went away, in one line."""
    if link is None:
        return "it was never open"
    return " ".join(str(link.check.lost).split()) if link.check.lost is not None else "closed by the worker"
