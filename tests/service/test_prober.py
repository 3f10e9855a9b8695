"""The service probes the configured workers: metrics, `/workers` and `worker_status` tell the same."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from service.config_distributed import DistributedConfig, WorkerConfig
from tests.monitor_server import WAIT_S, Server, StartServer, event, receive
from tests.sshd import Sshd

UP = 'translation_worker_up{worker="gpu-1"}'


def distributed(sshd: Sshd) -> dict[str, Any]:
    """The sshd as the worker `gpu-1`, probed all the time."""
    worker = WorkerConfig(
        host="127.0.0.1",
        port=sshd.port,
        user=sshd.account.user,
        key_file=(str(sshd.account.key),),
        remote_dir=str(sshd.remote_dir),
        max_capacity=4,
    )
    config = DistributedConfig(
        enabled=True,
        workers={"gpu-1": worker},
        health_check_interval=1.0,
        known_hosts=str(sshd.known_hosts),
    )
    return {name: getattr(config, name) for name in msgspec.structs.asdict(config)}


async def until_state(server: Server, *states: str) -> dict[str, Any]:
    """Wait until the worker is in one of the states; returns its view."""
    async with asyncio.timeout(WAIT_S * 2):
        while True:
            worker: dict[str, Any] = await server.get("/workers/gpu-1")
            if worker["state"] in states:
                return worker
            await asyncio.sleep(0.05)


async def test_a_worker_that_dies_is_told_down_and_up_again(start: StartServer, sshd: Sshd) -> None:
    """Up, killed, back: `/workers`, the gauge, the probe counters and the stream follow."""
    server = await start(distributed=distributed(sshd))
    viewer = await server.ws("role=viewer&session_id=_workers&last=10")
    worker = await until_state(server, "up", "degraded")
    assert (worker["configured"], worker["capacity"], worker["probe_result"]) == (True, 4, "success")
    assert worker["last_success"] == worker["last_probe"]
    assert f"{UP} 1.0" in await server.metrics()
    first = await receive(viewer)
    assert (first["type"], first["data"]["worker"]) == ("worker_status", "gpu-1")

    sshd.cut()
    worker = await until_state(server, "down")
    assert worker["reason"]
    metrics = await server.metrics()
    assert f"{UP} 0.0" in metrics
    assert 'translation_worker_probe_duration_seconds_count{layer="ssh",worker="gpu-1"}' in metrics
    while (told := await receive(viewer))["data"]["state"] != "down":
        pass
    assert told["data"]["probe"]["result"] in ("refused", "timeout", "error", "unreachable")

    sshd.start()
    await until_state(server, "up", "degraded")
    assert f"{UP} 1.0" in await server.metrics()
    await viewer.close()


async def test_a_worker_nobody_has_probed_yet_is_not_shown_up(start: StartServer, sshd: Sshd) -> None:
    """Before the first probe has finished the gauge is there, and 0."""
    sshd.cut()
    server = await start(distributed=distributed(sshd))
    assert f"{UP} 0.0" in await server.metrics()
    await until_state(server, "down")
    sshd.start()


async def test_a_producer_cannot_say_what_a_configured_worker_is(start: StartServer, sshd: Sshd) -> None:
    """Only probes say it; a translator's slots count while its session lives."""
    server = await start(distributed=distributed(sshd))
    await until_state(server, "up", "degraded")
    data = {"worker": "gpu-1", "state": "down", "slots": {"capacity": 9, "active": 3}}
    status, _ = await server.post(
        [event("book", "translation_started"), event("book", "worker_status", data=data)]
    )
    assert status == 200
    worker = await server.get("/workers/gpu-1")
    assert worker["state"] in ("up", "degraded")
    assert (worker["active"], worker["capacity"]) == (3, 4)
    await server.post(event("book", "translation_completed", failed_items=0))
    assert (await server.get("/workers/gpu-1"))["active"] == 0
