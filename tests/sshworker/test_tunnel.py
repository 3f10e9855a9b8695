"""A real HTTP engine behind a real sshd, through a port that stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from sshworker.connection import Connection
from sshworker.errors import Failure, WorkerError
from sshworker.tunnel import Tunnel
from tests.sshd import Sshd, free_port

Start = Callable[..., Sshd]


@asynccontextmanager
async def engine() -> AsyncIterator[str]:
    """A server that echoes, and one that streams slowly; its URL."""

    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"first\n")
        await request.app["go"].wait()
        await answer.write(b"last\n")
        return answer

    app = web.Application(client_max_size=10**8)
    app["go"] = asyncio.Event()
    app.router.add_post("/v1/echo", echo)
    app.router.add_get("/v1/stream", stream)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        app["go"].set()
        await runner.cleanup()


pytestmark = pytest.mark.filterwarnings("ignore:It is recommended to use web.AppKey")


async def echo(session: aiohttp.ClientSession, tunnel: Tunnel, body: bytes) -> bytes:
    """One request through the tunnel."""
    async with session.post(f"{tunnel.url}/echo", data=body) as answer:
        return await answer.read()


async def test_requests_pass_through_one_held_connection(start_sshd: Start) -> None:
    """The model stays loaded: no command is run, one connection carries all."""
    sshd = start_sshd(lines=("LogLevel VERBOSE",))
    large = b"x" * 1_000_000
    async with (
        engine() as url,
        Connection(sshd.spec()) as connection,
        Tunnel(connection, url) as tunnel,
        aiohttp.ClientSession() as session,
    ):
        assert tunnel.url.startswith("http://127.0.0.1:")
        assert tunnel.url.endswith("/v1")
        assert tunnel.url != url
        await tunnel.open()
        bodies = await asyncio.gather(*(echo(session, tunnel, b"%d" % n) for n in range(50)))
        assert bodies == [b"%d" % n for n in range(50)]
        assert await echo(session, tunnel, large) == large
        assert connection.channels.active == 0
    assert (sshd.folder / "log").read_text().count("Accepted publickey") == 1


@pytest.mark.slow
async def test_five_hundred_segments_at_once_pass_through_one_connection(start_sshd: Start) -> None:
    """More than the tunnel carries at a time: the others wait, none is lost, and the sshd sees one login."""
    sshd = start_sshd(lines=("LogLevel VERBOSE",))
    async with (
        engine() as url,
        Connection(sshd.spec()) as connection,
        Tunnel(connection, url) as tunnel,
        # No connection is kept, so that those beyond the tunnel's limit get their turn.
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session,
    ):
        bodies = await asyncio.gather(*(echo(session, tunnel, b"%d" % n) for n in range(500)))
        assert bodies == [b"%d" % n for n in range(500)]
        async with asyncio.timeout(10):
            while tunnel.streams:  # noqa: ASYNC110  # what the tunnel's own tasks make true
                await asyncio.sleep(0.01)
    assert (sshd.folder / "log").read_text().count("Accepted publickey") == 1


async def test_an_answer_is_streamed_as_it_comes(sshd: Sshd) -> None:
    """Tokens pass one by one."""
    async with (
        engine() as url,
        Connection(sshd.spec()) as connection,
        Tunnel(connection, url) as tunnel,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session,
        session.get(f"{tunnel.url}/stream") as answer,
    ):
        assert await answer.content.readline() == b"first\n"


async def test_after_a_loss_the_same_port_works_again(sshd: Sshd) -> None:
    """A request under way ends at once; the next reopens the connection."""
    async with (
        engine() as url,
        Connection(sshd.spec(max_retries=5)) as connection,
        Tunnel(connection, url) as tunnel,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session,
    ):
        address = tunnel.url
        async with session.get(f"{tunnel.url}/stream") as answer:
            assert await answer.content.readline() == b"first\n"
            sshd.cut()
            with pytest.raises(aiohttp.ClientError):
                await answer.content.read()
        sshd.start()
        assert await echo(session, tunnel, b"again") == b"again"
        assert tunnel.url == address


async def test_an_engine_that_is_down_is_told(sshd: Sshd) -> None:
    """SSH works, its engine does not: another cause, another name."""
    async with (
        Connection(sshd.spec()) as connection,
        Tunnel(connection, f"http://127.0.0.1:{free_port()}/v1") as tunnel,
        aiohttp.ClientSession() as session,
    ):
        with pytest.raises(WorkerError) as caught:
            await tunnel.open()
        assert caught.value.failure is Failure.ENGINE_DOWN
        with pytest.raises(aiohttp.ClientError):
            await echo(session, tunnel, b"x")
        assert tunnel.failure is not None
        assert tunnel.failure.failure is Failure.ENGINE_DOWN
        assert connection.is_open


async def test_a_worker_that_forbids_forwarding_is_told(start_sshd: Start) -> None:
    """`restrict` without `port-forwarding`, or AllowTcpForwarding no."""
    sshd = start_sshd(lines=("AllowTcpForwarding no",))
    async with (
        engine() as url,
        Connection(sshd.spec()) as connection,
        Tunnel(connection, url) as tunnel,
    ):
        with pytest.raises(WorkerError, match="AllowTcpForwarding") as caught:
            await tunnel.open()
        assert caught.value.failure is Failure.COMMAND_REFUSED


async def test_closing_ends_all_that_passes_through(sshd: Sshd) -> None:
    """Who opens, closes: no task stays, and nobody listens at the port."""
    async with engine() as url, Connection(sshd.spec()) as connection:
        await connection.open()
        before = asyncio.all_tasks()
        async with aiohttp.ClientSession() as session:
            async with Tunnel(connection, url) as tunnel:
                answer = await session.get(f"{tunnel.url}/stream")
                assert await answer.content.readline() == b"first\n"
                assert tunnel.streams == 1
            assert tunnel.streams == 0
            with pytest.raises(aiohttp.ClientError):
                await answer.content.read()
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"{tunnel.url}/stream")
            answer.close()
        names = {task.get_name() for task in asyncio.all_tasks() - before}
        assert not {name for name in names if name.startswith("ssh")}


async def test_a_forced_command_leaves_the_tunnel_open(forced: Sshd) -> None:
    """`restrict,port-forwarding,command=…`, as documented."""
    async with (
        engine() as url,
        Connection(forced.spec()) as connection,
        Tunnel(connection, url) as tunnel,
        aiohttp.ClientSession() as session,
    ):
        assert await echo(session, tunnel, b"x") == b"x"
