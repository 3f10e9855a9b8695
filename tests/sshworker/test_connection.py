"""The held connection against real sshds: one for all, checked, reopened, and each failure told apart."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import structlog

from sshworker.command import run
from sshworker.connection import Connection
from sshworker.errors import Failure, WorkerError
from sshworker.host_keys import fetch
from tests.sshd import PASSWORD, Sshd, free_port, make_key, refused_login, until

WRONG = "hunter2-not-it"
Start = Callable[..., Sshd]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's own keys, agent and config take part."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


async def upper(connection: Connection, text: str = "a\n") -> str:
    """A command that shows the connection works."""
    return (await run(connection, "tr a-z A-Z", text, timeout_s=10, allowed=("tr",))).stdout


async def sleeper(connection: Connection, seconds: int) -> object:
    """A command that waits; its seconds are its mark on the far side."""
    return await run(connection, f"sleep {seconds}", timeout_s=60, allowed=("sleep",))


async def failure_of(work: Awaitable[object]) -> WorkerError:
    """How it fails."""
    with pytest.raises(WorkerError) as caught:
        await work
    return caught.value


async def true(condition: Callable[[], bool]) -> None:
    """Wait for a condition of another process without stopping the loop."""
    await asyncio.to_thread(until, condition)


def log_of(sshd: Sshd) -> str:
    """What the server logged."""
    return (sshd.folder / "log").read_text()


async def test_one_connection_serves_all_and_is_opened_once(start_sshd: Start) -> None:
    """One held connection a worker, multiplexed; many first users share one attempt."""
    sshd = start_sshd(lines=("LogLevel VERBOSE",))
    async with Connection(sshd.spec()) as connection:
        assert not connection.is_open
        results = await asyncio.gather(*(upper(connection, f"{n}a\n") for n in range(20)))
        assert results == [f"{n}A\n" for n in range(20)]
        assert connection.is_open
    assert log_of(sshd).count("Accepted publickey") == 1


async def test_a_cancelled_user_does_not_break_the_others_attempt(sshd: Sshd) -> None:
    """Whoever waits for the same attempt is not harmed by one who leaves."""
    async with Connection(sshd.spec()) as connection, asyncio.TaskGroup() as tasks:
        impatient = tasks.create_task(connection.open(), name="impatient")
        patient = tasks.create_task(upper(connection), name="patient")
        await asyncio.sleep(0)
        impatient.cancel()
        assert await patient == "A\n"


@pytest.mark.slow
async def test_five_hundred_segments_at_once_over_one_connection(start_sshd: Start) -> None:
    """500 concurrent segments over one connection, although the server takes ten at a time."""
    sshd = start_sshd(lines=("LogLevel VERBOSE",))
    async with Connection(sshd.spec()) as connection:
        results = await asyncio.gather(*(upper(connection, f"{n}a\n") for n in range(500)))
        assert results == [f"{n}A\n" for n in range(500)]
        assert connection.channels.limit <= 11
    assert log_of(sshd).count("Accepted publickey") == 1
    assert sshd.leftovers() == []


async def test_a_server_with_fewer_channels_is_learned(start_sshd: Start) -> None:
    """The width is the server's, found out at run time; nobody sees a refusal."""
    sshd = start_sshd(max_sessions=2)
    async with Connection(sshd.spec()) as connection:
        assert await asyncio.gather(*(upper(connection) for _ in range(40))) == ["A\n"] * 40
        assert connection.channels.limit <= 2


async def test_a_server_with_more_channels_is_learned(start_sshd: Start) -> None:
    """Full use without a refusal widens the queue."""
    sshd = start_sshd(max_sessions=50)
    async with Connection(sshd.spec()) as connection:
        assert await asyncio.gather(*(upper(connection) for _ in range(200))) == ["A\n"] * 200
        assert connection.channels.limit > 10


@pytest.mark.slow
async def test_a_server_without_sessions_says_so(start_sshd: Start) -> None:
    """MaxSessions 0 is not waited for for ever."""
    sshd = start_sshd(max_sessions=0)
    async with Connection(sshd.spec()) as connection:
        with pytest.raises(WorkerError, match="opens no session") as caught:
            await upper(connection)
    assert caught.value.failure is Failure.COMMAND_REFUSED


async def test_a_lost_connection_is_reopened_by_the_next_use(sshd: Sshd) -> None:
    """A worker that comes back is used again."""
    async with Connection(sshd.spec()) as connection:
        assert await upper(connection) == "A\n"
        sshd.cut()
        sshd.start()
        await true(lambda: not connection.is_open)
        assert await upper(connection) == "A\n"


async def test_backoff_waits_for_a_worker_that_is_starting(start_sshd: Start) -> None:
    """Up to `max_retries` repeats, with growing pauses."""
    sshd = start_sshd()
    sshd.cut()
    async with Connection(sshd.spec(max_retries=5)) as connection, asyncio.TaskGroup() as tasks:
        work = tasks.create_task(upper(connection), name="work")
        await asyncio.sleep(0.2)
        await asyncio.to_thread(sshd.start)
        assert await work == "A\n"


async def test_a_cut_cable_is_noticed_within_ten_seconds(start_sshd: Start) -> None:
    """Neither end says a word any more: the keepalive notices, and what ran is LOST."""
    sshd = start_sshd()
    async with relay(sshd.port) as (port, silence):
        spec = sshd.spec(host_key=(sshd.host_key.with_suffix(".pub")).read_text(), port=port)
        async with Connection(spec) as connection, asyncio.TaskGroup() as tasks:
            await connection.open()
            work = tasks.create_task(failure_of(sleeper(connection, 17320)), name="sleeper")
            await true(lambda: bool(sshd.account.processes("sleep 17320")))
            silence()
            began = time.monotonic()
            assert (await work).failure is Failure.LOST
            assert time.monotonic() - began < 10


async def test_a_refused_port_is_told(sshd: Sshd) -> None:
    """Nothing listens there."""
    error = await refused_login(sshd.spec(port=free_port()))
    assert error.failure is Failure.REFUSED
    assert "is sshd running" in error.detail
    error = await refused_login(sshd.spec(port=free_port(), host="localhost"))
    assert error.failure is Failure.REFUSED


async def test_a_black_holed_address_times_out(sshd: Sshd) -> None:
    """It takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        error = await refused_login(sshd.spec(port=hole.getsockname()[1], connect_timeout_s=0.5))
    assert error.failure is Failure.TIMEOUT
    assert "within 0.5 s" in error.detail


async def test_a_name_that_nobody_knows_is_told(sshd: Sshd) -> None:
    """DNS is the user's first suspect."""
    error = await refused_login(sshd.spec(host="worker.invalid"))
    assert error.failure is Failure.UNREACHABLE
    assert "worker.invalid cannot be resolved" in error.detail


async def test_a_server_that_is_no_sshd_is_told(sshd: Sshd) -> None:
    """A wrong port may lead to another server."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 200)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        error = await refused_login(sshd.spec(port=server.sockets[0].getsockname()[1]))
    assert error.failure is Failure.LOST
    assert "before it was ready" in error.detail


async def test_an_unknown_host_key_says_how_to_trust_it(sshd: Sshd, tmp_path: Path) -> None:
    """Host keys are verified always; the sentence shows the fingerprint and what to do."""
    error = await refused_login(sshd.spec(known_hosts=tmp_path / "none"))
    assert error.failure is Failure.HOST_KEY
    assert "is not known" in error.detail
    assert fingerprint(sshd.host_key) in error.detail
    assert "translation-monitor workers trust gpu-1`" in error.detail


async def test_a_changed_host_key_warns(sshd: Sshd, tmp_path: Path) -> None:
    """Another sentence than for an unknown host: somebody may be in between."""
    other = make_key(tmp_path / "other")
    sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {other.with_suffix('.pub').read_text()}")
    error = await refused_login(sshd.spec())
    assert error.failure is Failure.HOST_KEY
    assert "has changed" in error.detail
    assert fingerprint(other) in error.detail
    assert fingerprint(sshd.host_key) in error.detail
    assert "--replace" in error.detail


async def test_a_host_key_changed_to_another_type_warns_too(sshd: Sshd, tmp_path: Path) -> None:
    """A known RSA key and a host that has none."""
    other = make_key(tmp_path / "rsa", "-t", "rsa", "-b", "2048", "-N", "")
    sshd.known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {other.with_suffix('.pub').read_text()}")
    error = await refused_login(sshd.spec())
    assert error.failure is Failure.HOST_KEY
    assert "has changed" in error.detail


async def test_a_revoked_host_key_is_refused(sshd: Sshd) -> None:
    """`@revoked` counts, whatever else the file says."""
    known = sshd.known_hosts.read_text()
    sshd.known_hosts.write_text(f"{known}@revoked * {known.split(' ', 1)[1]}")
    error = await refused_login(sshd.spec())
    assert error.failure is Failure.HOST_KEY
    assert "revoked" in error.detail


async def test_a_pinned_key_or_fingerprint_needs_no_known_hosts(sshd: Sshd, tmp_path: Path) -> None:
    """`host_key` in the config pins the host, as a line or as a fingerprint."""
    for pin in (sshd.host_key.with_suffix(".pub").read_text(), fingerprint(sshd.host_key)):
        async with Connection(sshd.spec(host_key=pin, known_hosts=tmp_path / "none")) as connection:
            assert await upper(connection) == "A\n"


async def test_a_pinned_fingerprint_may_be_of_any_of_the_hosts_keys(
    start_sshd: Start, tmp_path: Path
) -> None:
    """A fingerprint does not say its type; the host shows another of its keys first."""
    rsa = make_key(tmp_path / "rsa", "-t", "rsa", "-b", "2048", "-N", "")
    sshd = start_sshd(lines=(f"HostKey {rsa}",))
    async with Connection(sshd.spec(host_key=fingerprint(rsa))) as connection:
        assert await upper(connection) == "A\n"
        assert connection.is_open


async def test_a_pin_that_does_not_fit_is_told(sshd: Sshd, tmp_path: Path) -> None:
    """known_hosts cannot overrule the config."""
    other = make_key(tmp_path / "other")
    for pin in (other.with_suffix(".pub").read_text(), fingerprint(other)):
        error = await refused_login(sshd.spec(host_key=pin))
        assert error.failure is Failure.HOST_KEY
        assert "not the pinned one" in error.detail
    error = await refused_login(sshd.spec(host_key="nonsense"))
    assert "neither a public key line" in error.detail


async def test_a_key_that_is_not_let_in_is_told_without_a_retry(start_sshd: Start, tmp_path: Path) -> None:
    """AUTH is not repeated: a server may lock out who tries too often."""
    sshd = start_sshd(lines=("LogLevel VERBOSE",))
    stranger = make_key(tmp_path / "stranger")
    error = await refused_login(sshd.spec(key_files=(stranger,), max_retries=3))
    assert error.failure is Failure.AUTH
    assert f"does not let in {sshd.account.user}" in error.detail
    assert str(stranger) in error.detail
    assert log_of(sshd).count("Connection from") - 1 <= 1  # one was the fixture's look


async def test_a_bad_password_is_told_and_never_shown(start_sshd: Start) -> None:
    """Passwords only where configured, with a warning, and in no text."""
    sshd = start_sshd(password=True)
    with structlog.testing.capture_logs() as logs:
        error = await refused_login(sshd.spec(key_files=(), password=WRONG))
    assert error.failure is Failure.AUTH
    assert "a password" in error.detail
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == [
        "ssh password configured, a key is safer"
    ]
    assert WRONG not in f"{error!r} {error} {logs} {sshd.spec(password=WRONG)!r}"


async def test_a_password_lets_in_where_configured(start_sshd: Start) -> None:
    """And the warning comes once, not with every opening."""
    sshd = start_sshd(password=True)
    with structlog.testing.capture_logs() as logs:
        async with Connection(sshd.spec(key_files=(), password=PASSWORD)) as connection:
            assert await upper(connection) == "A\n"
            sshd.cut()
            sshd.start()
            await true(lambda: not connection.is_open)
            assert await upper(connection) == "A\n"
    assert sum("password" in entry["event"] for entry in logs) == 1


async def test_several_keys_make_a_rotation(sshd: Sshd, tmp_path: Path) -> None:
    """The old key and the new one may both be named; one of them is let in."""
    new = make_key(tmp_path / "new")
    async with Connection(sshd.spec(key_files=(new, sshd.account.key))) as connection:
        assert await upper(connection) == "A\n"


async def test_a_key_with_a_passphrase_is_opened_by_its_file(sshd: Sshd, tmp_path: Path) -> None:
    """A wrong or missing passphrase is told apart from a refused key, and not shown."""
    locked = make_key(tmp_path / "locked", "-t", "ed25519", "-N", "open sesame")
    allowed = sshd.folder / "authorized_keys"
    allowed.write_text(locked.with_suffix(".pub").read_text())
    secret = tmp_path / "passphrase"
    secret.write_text("open sesame\n")
    async with Connection(sshd.spec(key_files=(locked,), passphrase_file=secret)) as connection:
        assert await upper(connection) == "A\n"
    secret.write_text("open says me\n")
    error = await refused_login(sshd.spec(key_files=(locked,), passphrase_file=secret))
    assert (error.failure, "does not open" in error.detail) == (Failure.AUTH, True)
    assert "says me" not in str(error)
    locked.with_suffix(".pub").unlink()
    error = await refused_login(sshd.spec(key_files=(locked,)))
    assert (error.failure, "has a passphrase" in error.detail) == (Failure.AUTH, True)
    error = await refused_login(sshd.spec(key_files=(tmp_path / "missing",)))
    assert (error.failure, "No such file" in error.detail) == (Failure.AUTH, True)


async def test_the_agent_opens_a_key_that_has_a_passphrase(
    sshd: Sshd, tmp_path: Path, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key file names the key, the agent holds it; a crowd of other keys there is not offered."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    locked = make_key(tmp_path / "locked", "-t", "ed25519", "-N", "open sesame")
    (sshd.folder / "authorized_keys").write_text(locked.with_suffix(".pub").read_text())
    await asyncio.to_thread(fill_agent, locked, tmp_path)
    for file in (locked, locked.with_suffix(".pub")):
        async with Connection(sshd.spec(key_files=(file,))) as connection:
            assert await upper(connection) == "A\n"


async def test_the_usual_keys_are_found(sshd: Sshd, home: Path) -> None:
    """Without key files: ~/.ssh/id_ed25519 and its kin."""
    (home / ".ssh" / "id_ed25519").write_bytes(sshd.account.key.read_bytes())
    async with Connection(sshd.spec(key_files=())) as connection:
        assert await upper(connection) == "A\n"


async def test_aliases_of_the_ssh_config_are_used_on_request_only(sshd: Sshd, home: Path) -> None:
    """`~/.ssh/config` fills what is not given, where asked for."""
    (home / ".ssh" / "config").write_text(
        f"Host gpu\n HostName 127.0.0.1\n Port {sshd.port}\n User {sshd.account.user}\n"
        f" IdentityFile {sshd.account.key}\n StrictHostKeyChecking no\n"
    )
    spec = sshd.spec(host="gpu", port=22, user=None, key_files=(), ssh_config=True)
    async with Connection(spec) as connection:
        assert await upper(connection) == "A\n"
    sshd.known_hosts.write_text("")
    error = await refused_login(spec)
    assert (error.failure, "is not known" in error.detail) == (Failure.HOST_KEY, True)
    error = await refused_login(sshd.spec(host="gpu", connect_timeout_s=5.0))
    assert error.failure is Failure.UNREACHABLE


async def test_an_unknown_jump_host_of_the_ssh_config_is_told(start_sshd: Start, home: Path) -> None:
    """A ProxyJump is checked too; the sentence is of the jump host, and `trust` does not ask for itself."""
    jump, sshd = start_sshd(), start_sshd()
    account = jump.account
    (home / ".ssh" / "config").write_text(
        f"Host gpu\n HostName 127.0.0.1\n Port {sshd.port}\n ProxyJump hop\n"
        f"Host hop\n HostName 127.0.0.1\n Port {jump.port}\n"
        f"Host *\n User {account.user}\n IdentityFile {account.key}\n"
    )
    spec = sshd.spec(host="gpu", port=22, user=None, key_files=(), ssh_config=True)
    error = await refused_login(spec)
    assert error.failure is Failure.HOST_KEY
    assert "the jump host that ~/.ssh/config names for gpu" in error.detail
    (home / ".ssh" / "known_hosts").write_text(jump.known_hosts.read_text())
    async with Connection(spec) as connection:
        assert await upper(connection) == "A\n"


async def test_a_jump_host_is_gone_through_and_checked(start_sshd: Start) -> None:
    """Each hop's host key counts; each hop's failure names it."""
    jump, sshd = start_sshd(), start_sshd()
    sshd.known_hosts.write_text(sshd.known_hosts.read_text() + jump.known_hosts.read_text())
    address = f"{jump.account.user}@127.0.0.1:{jump.port}"
    before = asyncio.all_tasks()
    async with Connection(sshd.spec(jump=address)) as connection:
        assert await upper(connection) == "A\n"
    assert asyncio.all_tasks() == before
    assert (await fetch(sshd.spec(jump=address))).fingerprint == fingerprint(sshd.host_key)
    error = await refused_login(sshd.spec(jump=address, port=free_port()))
    assert (error.failure, "the jump host cannot reach" in error.detail) == (Failure.REFUSED, True)
    sshd.know()
    error = await refused_login(sshd.spec(jump=address))
    assert (error.failure, error.detail.startswith("jump host: ")) == (Failure.HOST_KEY, True)
    error = await refused_login(sshd.spec(jump=f"127.0.0.1:{free_port()}"))
    assert (error.failure, error.detail.startswith("jump host: ")) == (Failure.REFUSED, True)


async def test_closing_while_others_work_leaves_nothing(sshd: Sshd) -> None:
    """Who opens, closes: no task, channel or remote process outlives the connection."""
    before = asyncio.all_tasks()
    async with asyncio.TaskGroup() as tasks:
        async with Connection(sshd.spec()) as connection:
            work = [
                tasks.create_task(failure_of(sleeper(connection, 11235)), name="sleeper") for _ in range(20)
            ]
            await true(lambda: len(sshd.account.processes("^sleep 11235")) == 10)
        assert {(await task).failure for task in work} == {Failure.LOST}
    assert asyncio.all_tasks() == before
    await true(lambda: not sshd.account.processes("11235") and not sshd.leftovers())


async def test_an_error_in_the_block_is_not_wrapped(sshd: Sshd) -> None:
    """The tasks inside are the connection's own affair."""
    connection = Connection(sshd.spec())
    with pytest.raises(ZeroDivisionError):
        await _divide(connection)
    assert not connection.is_open


async def _divide(connection: Connection) -> None:
    async with connection:
        await connection.open()
        raise ZeroDivisionError


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """A private ssh-agent."""
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 5
    while not path.exists():
        assert time.monotonic() < deadline
    yield path
    os.kill(process.pid, signal.SIGTERM)
    process.wait()


def fill_agent(locked: Path, folder: Path) -> None:
    """Eight keys that open nothing, then the one that is locked in its file."""
    plain = folder / "plain"
    plain.write_bytes(locked.read_bytes())
    plain.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "open sesame", "-N", "", "-f", plain], check=True)
    for key in (*(make_key(folder / f"other{n}") for n in range(8)), plain):
        subprocess.run(["ssh-add", "-q", key], check=True)


def fingerprint(key: Path) -> str:
    """As ssh-keygen tells it."""
    shown = subprocess.run(["ssh-keygen", "-lf", key], capture_output=True, text=True, check=True).stdout
    return shown.split()[1]


@asynccontextmanager
async def relay(port: int) -> AsyncIterator[tuple[int, Callable[[], None]]]:
    """A cable to `port` that can be cut without either end hearing of it."""
    cut = asyncio.Event()

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while chunk := await source.read(65536):
            if not cut.is_set():
                target.write(chunk)
                await target.drain()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(copy(reader, far_writer), name="there")
                pumps.create_task(copy(far_reader, writer), name="back")
        finally:
            far_writer.close()
            writer.close()

    async with asyncio.TaskGroup() as tasks:
        carried: list[asyncio.Task[None]] = []

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            carried.append(tasks.create_task(carry(reader, writer), name="cable"))

        async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
            yield server.sockets[0].getsockname()[1], cut.set
            for task in carried:
                task.cancel()


@pytest.mark.parametrize("listens", [True, False])
async def test_a_stream_that_nobody_waits_for_any_more_is_taken_back(
    sshd: Sshd, caplog: pytest.LogCaptureFixture, listens: bool
) -> None:
    """Whether it opens, is refused, or is ended by the engine in the moment in which it opens."""
    open_ = 0

    async def end_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_
        open_ += 1
        writer.close()
        await writer.wait_closed()
        open_ -= 1

    server = await asyncio.start_server(end_at_once, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1] if listens else free_port()
    async with Connection(sshd.spec()) as connection:

        async def look() -> None:
            with suppress(WorkerError):
                (await connection.stream("127.0.0.1", port))[1].close()

        for turn in range(60):
            async with asyncio.TaskGroup() as tasks:
                looking = [tasks.create_task(look(), name="look") for _ in range(4)]
                for _ in range(turn % 6):
                    await asyncio.sleep(0)
                await asyncio.sleep(turn % 5 / 1000)  # given up at many a moment of the opening
                for one in looking:
                    one.cancel()
        assert await upper(connection) == "A\n"
    server.close()
    assert open_ == 0
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
