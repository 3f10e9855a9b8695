"""Whether a worker can do the work it is configured for, found out before any of it is sent there."""

from __future__ import annotations

from typing import Final

from sshworker.connection import Connection
from sshworker.engine_health import EngineHealth, engine_health
from sshworker.errors import Failure, WorkerError
from sshworker.host_health import Presence, host_health
from sshworker.template import program_of
from sshworker.tunnel import Tunnel

MOST_NAMES: Final = 5  # of an engine's models in one sentence


class Unfit(WorkerError):
    """The worker cannot do its work until somebody changes it or its configuration: trying again is vain."""

    def __init__(self, detail: str, *, worker: str) -> None:
        super().__init__(Failure.ENGINE_DOWN, detail, worker=worker)


async def command_ready(connection: Connection) -> str | None:
    """Log in and look for the program of the worker's command; returns a doubt, in one phrase, if any.

    Raises: Unfit: this key may not run the program, or it is not there. WorkerError: it cannot be asked.
    """
    spec = connection.spec
    program = program_of(spec.engine.command) if spec.engine is not None and spec.engine.command else ""
    await connection.open()
    try:
        health = await host_health(connection, program=program, gpus=False)
    except WorkerError as err:
        if err.failure is Failure.COMMAND_REFUSED and err.exit_status is not None:
            return unverified(program)  # a forced command that lets nobody ask; it may still run the program
        raise
    check_presence(program, health.program, worker=spec.id)
    return unverified(program) if health.program is None else None


async def server_ready(connection: Connection, tunnel: Tunnel) -> str | None:
    """Reach the server behind the tunnel; returns a doubt, in one phrase, if any.

    Raises: WorkerError: ENGINE_DOWN, TIMEOUT, and whatever the connection raises.
    """
    spec = connection.spec
    await tunnel.open()
    health = await engine_health(tunnel.url, spec.id)
    return missing_model(health, spec.engine.model if spec.engine is not None else None)


def check_presence(program: str, presence: Presence | None, *, worker: str) -> None:
    """Raises: Unfit: the worker has said that the program is not there, or that this key may not run it."""
    if presence is Presence.MISSING:
        words = f"the worker has no program {program}; install it there, or name it by its full path"
        raise Unfit(words, worker=worker)
    if presence is Presence.FORBIDDEN:
        words = f"the key may not run {program}; name it after --allow in the worker's authorized_keys"
        raise Unfit(words, worker=worker)


def unverified(program: str) -> str:
    """What is amiss where nobody could look for the program."""
    return (
        f"nobody could look whether {program} is there: "
        "the account's forced command is not, or an older, translation-worker.sh"
    )


def missing_model(health: EngineHealth, wanted: str | None) -> str | None:
    """What is amiss where the engine lists its models and the wanted one is none of them; else None."""
    if not wanted or not health.models or health.has_model(wanted):
        return None
    more = len(health.models) - MOST_NAMES
    listed = ", ".join(health.models[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f"the engine does not have the model {wanted} (it has {listed})"
