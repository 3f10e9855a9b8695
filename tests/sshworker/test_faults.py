"""Every fault of a worker from its real cause: each has words of its own and leaves nothing anywhere."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from sshworker.command import run
from sshworker.connection import Connection
from sshworker.errors import Failure, WorkerError
from sshworker.spec import WorkerSpec
from tests.sshd import Sshd, free_port, make_key, names, refused_login, until

Start = Callable[..., Sshd]
Fault = Callable[[Sshd], Awaitable[WorkerError]]
MARK: Final = "27182"  # in each command line of these tests, to be found on the far side


async def failed_command(
    spec: WorkerSpec, script: str, *, timeout_s: float = 60, text: str = ""
) -> WorkerError:
    """How a script fails; its channel and tasks are gone, and the connection serves the next one."""
    before = asyncio.all_tasks()
    async with Connection(spec) as connection:
        with pytest.raises(WorkerError) as caught:
            await run(
                connection,
                "sh -c {script} " + MARK,
                text,
                values={"script": script},
                timeout_s=timeout_s,
                max_bytes=10**6,
                allowed={"sh"},
            )
        await asyncio.to_thread(until, lambda: connection.channels.active == 0)
        again = await run(connection, "tr a-z A-Z", "a\n", timeout_s=20, allowed={"tr"})
        assert again.stdout == "A\n"
    assert asyncio.all_tasks() == before
    return caught.value


async def wrong_host_key(sshd: Sshd) -> WorkerError:
    """Pinned in the configuration is another one."""
    pin = make_key(sshd.folder / "pinned").with_suffix(".pub").read_text()
    return await refused_login(sshd.spec(host_key=pin))


async def changed_host_key(sshd: Sshd) -> WorkerError:
    """known_hosts has another one."""
    known = make_key(sshd.folder / "before").with_suffix(".pub").read_text()
    sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {known}")
    return await refused_login(sshd.spec())


async def unknown_host_key(sshd: Sshd) -> WorkerError:
    """known_hosts has none."""
    return await refused_login(sshd.spec(known_hosts=sshd.folder / "nothing"))


async def bad_password(sshd: Sshd) -> WorkerError:
    """The sshd of these tests takes passwords."""
    return await refused_login(sshd.spec(key_files=(), password="not this one"))  # noqa: S106


async def refused_port(sshd: Sshd) -> WorkerError:
    """Nobody listens."""
    return await refused_login(sshd.spec(port=free_port()))


async def black_hole(sshd: Sshd) -> WorkerError:
    """Packets go there, none comes back."""
    with black_holed_port() as port:
        return await refused_login(sshd.spec(port=port, connect_timeout_s=1.0))


async def gigabyte(sshd: Sshd) -> WorkerError:
    """1 GB on standard output."""
    return await failed_command(sshd.spec(), "head -c 1000000000 /dev/zero")


async def deaf(sshd: Sshd) -> WorkerError:
    """TERM does nothing to it."""
    return await failed_command(sshd.spec(), f"trap '' TERM; while :; do sleep {MARK}; done", timeout_s=0.5)


async def silent(sshd: Sshd) -> WorkerError:
    """Exit status 0 and not a word."""
    return await failed_command(sshd.spec(), "cat >/dev/null", text="a sentence\n")


# What each is called, and words that only its message has: what, where, what to do.
FAULTS: Final[Mapping[Fault, tuple[Failure, tuple[str, ...]]]] = {
    wrong_host_key: (Failure.HOST_KEY, ("not the pinned one", "127.0.0.1:", "correct its `host_key`")),
    changed_host_key: (Failure.HOST_KEY, ("has changed", "127.0.0.1:", "workers trust gpu-1 --replace")),
    unknown_host_key: (Failure.HOST_KEY, ("is not known", "127.0.0.1:", "workers trust gpu-1`")),
    bad_password: (Failure.AUTH, ("does not let in", "127.0.0.1:", "a password", "check the user")),
    refused_port: (Failure.REFUSED, ("nothing listens at", "127.0.0.1:", "is sshd running")),
    black_hole: (Failure.TIMEOUT, ("no answer from", "127.0.0.1:", "does a firewall")),
    gigabyte: (Failure.TOO_LARGE, ("more than 1000000 bytes", "see what it prints")),
    deaf: (Failure.TIMEOUT, ("did not end within 0.5 s", "was ended")),
    silent: (Failure.EMPTY, ("exited with 0 and printed nothing", "by hand on the worker")),
}


@pytest.fixture
async def taking_passwords(start_sshd: Start) -> AsyncIterator[Sshd]:
    """A worker; afterwards it has nothing left of the test."""
    sshd = start_sshd(password=True)
    yield sshd
    await asyncio.to_thread(until, lambda: gone(sshd))


def gone(sshd: Sshd) -> bool:
    """No process of a connection or a command there, and no folder."""
    return not sshd.account.processes(f"{MARK}|sshd: {sshd.account.user}") and not sshd.leftovers()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_fault_is_told_by_name_and_leaves_nothing(taking_passwords: Sshd, fault: Fault) -> None:
    """A distinct, clear error; no task, channel or remote process stays, checked on the far side."""
    failure, words = FAULTS[fault]
    error = await fault(taking_passwords)
    assert (error.failure, error.worker) == (failure, "gpu-1")
    for word in words:
        assert word in error.detail
    others = [one for other, (_, one) in FAULTS.items() if other is not fault]
    assert not any(all(word in error.detail for word in one) for one in others), "distinct"


async def test_a_full_disk_is_told_and_leaves_nothing(taking_passwords: Sshd, full_disk: Path) -> None:
    """In the remote folder: where the text has no room, and where the program's own file has none."""
    spec = taking_passwords.spec(remote_dir=str(full_disk))
    for script, text in (("cat", "x" * 200_000 + "\n"), ('cat /dev/zero >"$SSH_WORKER_REMOTE_DIR/x"', "")):
        error = await failed_command(spec, script, text=text)
        assert error.failure is Failure.DISK_FULL
        assert "make room" in error.detail
        assert str(full_disk) in error.detail
        assert names(full_disk) == []


@contextmanager
def black_holed_port() -> Iterator[int]:
    """A port whose queue is full: the kernel drops whatever else knocks, as a firewall does."""
    waiting: list[socket.socket] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        try:
            while len(waiting) < 20:
                one = socket.socket()
                waiting.append(one)
                one.settimeout(0.2)
                try:
                    one.connect(server.getsockname())
                except TimeoutError:
                    break
            yield server.getsockname()[1]
        finally:
            for one in waiting:
                one.close()
