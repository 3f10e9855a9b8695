"""The service probes the configured workers: metrics, `/workers` and `worker_status` tell the same."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import aiohttp
import msgspec
import pytest

from exporters.prometheus import PrometheusExporter
from exporters.snapshot import Snapshot
from service.config_distributed import DistributedConfig, EngineConfig, WorkerConfig
from service.eventlog.open import open_log
from service.prober import Prober
from service.projections.workers import WorkerProjection
from service.worker_specs import specs_of
from sshworker.probe_result import ProbeOutcome
from tests.llama import running_llama
from tests.monitor_process import MonitorProcess
from tests.monitor_server import WAIT_S, Server, StartServer, config_with, event, receive, until
from tests.otlp_receiver import attributes_of, http_receiver
from tests.sshd import Sshd, free_port

UP = 'translation_worker_up{worker="gpu-1"}'
# What a probe may change between two answers.
PROBED = dict.fromkeys(
    (
        *("last_probe", "last_success", "probe_result", "probe_reason"),
        *("load_ratio", "memory_used_bytes", "memory_total_bytes", "gpus"),
    ),
    ANY,
)


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


async def test_each_probe_is_a_span_that_says_why_it_failed(start: StartServer, sshd: Sshd) -> None:
    """`worker probe`: `server.address`, `server.port`, and `error.type` where it did not pass."""
    async with http_receiver() as collector:
        otlp = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }
        server = await start(distributed=distributed(sshd), telemetry={"otlp": otlp})
        await until_state(server, "up", "degraded")
        sshd.cut()
        await until_state(server, "down")
        sent = collector.named
        await collector.until(lambda: any(span.status.code for span in sent("worker probe")))
        passed, *_, failed = (span for span in sent("worker probe"))
        where = {"server.address": "127.0.0.1", "server.port": sshd.port}
        assert attributes_of(passed.attributes) == where
        assert attributes_of(failed.attributes) == {**where, "error.type": "refused"}
        assert await spans_counted(server, "exported") >= 2
    assert await spans_counted(server, "export_failed") >= 1  # the collector is gone
    sshd.start()


async def spans_counted(server: Server, outcome: str) -> float:
    """How many spans have met this outcome, once there are any."""
    line = f'translation_spans_total{{outcome="{outcome}"}} '
    async with asyncio.timeout(20):
        while True:
            found = next(one for one in (await server.metrics()).splitlines() if one.startswith(line))
            if count := float(found.removeprefix(line)):
                return count
            await asyncio.sleep(0.1)


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


@pytest.mark.slow
async def test_every_result_of_a_probe_is_counted_from_a_real_cause(
    start: StartServer, start_sshd: Callable[..., Sshd]
) -> None:
    """Eight workers, each with a fault of its own, and one without: `…_probes_total` tells which it was."""
    sshd, tunnels = start_sshd(), start_sshd(lines=("AllowTcpForwarding no",))
    ended = asyncio.Event()

    async def never(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    silent = await asyncio.start_server(never, "127.0.0.1", 0)
    hole = silent.sockets[0].getsockname()[1]

    def worker(sshd: Sshd, *, url: str | None = None, **other: Any) -> WorkerConfig:
        usual = distributed(sshd)["workers"]["gpu-1"]
        engine = None if url is None else EngineConfig(kind="openai", url=url)
        return msgspec.structs.replace(usual, engine=engine, **other)

    with running_llama() as llama:
        workers = {
            "success": worker(sshd, url=llama.url),
            "timeout": worker(sshd, port=hole),
            "refused": worker(sshd, port=free_port()),
            "unreachable": worker(sshd, host="no-such-host.invalid"),
            "auth_failed": worker(sshd, user="nobody-here"),
            "host_key_mismatch": worker(sshd, host_key="SHA256:" + "A" * 43),
            "engine_down": worker(sshd, url=f"http://127.0.0.1:{free_port()}/v1"),
            "wedged": worker(sshd, url=f"http://127.0.0.1:{hole}/v1"),
            "error": worker(
                tunnels, url=llama.url, host_key=tunnels.host_key.with_suffix(".pub").read_text()
            ),
        }
        assert set(workers) == set(ProbeOutcome)
        config = {**distributed(sshd), "workers": workers, "health_check_interval": 12.0}
        server = await start(distributed=config)
        async with asyncio.timeout(90):
            while set(workers) - await counted(server):  # noqa: ASYNC110 - of other tasks' counters
                await asyncio.sleep(0.2)
        metrics = await server.metrics()
        up = {one for one in workers if f'translation_worker_up{{worker="{one}"}} 1.0' in metrics}
        assert up == {"success"}
        found = {one["id"]: one for one in (await server.get("/workers"))["workers"]}
        assert found["wedged"]["state"] == "wedged"
        assert "AllowTcpForwarding" in found["error"]["reason"]
        assert all(found[one]["state"] == "down" for one in set(workers) - up - {"wedged"})
    ended.set()
    silent.close()


async def counted(server: Server) -> set[str]:
    """The workers of whose probes at least one had the result that they are named after."""
    found = re.findall(
        r"^translation_worker_probes_total\{(.*)\} [1-9]", await server.metrics(), re.MULTILINE
    )
    labels = [dict(re.findall(r'(\w+)="([^"]*)"', text)) for text in found]
    return {one["worker"] for one in labels if one["worker"] == one["result"]}


async def statuses(server: Server) -> list[dict[str, Any]]:
    """The `worker_status` of the service's own that the log holds."""
    answer = await server.get("/sessions/_workers/events?limit=1000")
    return [told["data"] for told in answer["events"]]


async def probes(server: Server) -> float:
    """How many probes have finished."""
    return sum(
        float(line.rpartition(" ")[2])
        for line in (await server.metrics()).splitlines()
        if line.startswith("translation_worker_probes_total{") and 'worker="gpu-1"' in line
    )


async def until_probes(server: Server, count: float) -> None:
    """Wait until so many have finished."""
    async with asyncio.timeout(WAIT_S * 2):
        while await probes(server) < count:  # noqa: ASYNC110 - of another task's counter
            await asyncio.sleep(0.05)


async def order(server: Server, path: str, body: bytes = b"{}", **headers: str) -> tuple[int, dict[str, Any]]:
    """Post to `/workers/…`; status and JSON."""
    headers = {"Content-Type": "application/json", **headers}
    async with server.client.post(f"{server.url}/workers/{path}", data=body, headers=headers) as answer:
        return answer.status, json.loads(await answer.read())


async def test_a_state_that_stays_is_told_once_in_five_minutes(start: StartServer, sshd: Sshd) -> None:
    """On a change of state and at most every 5 min otherwise, however often it is probed."""
    server = await start(distributed={**distributed(sshd), "health_check_interval": 0.1})
    await until_state(server, "up", "degraded")
    await until_probes(server, 5)
    told = [told["state"] for told in await statuses(server)]
    assert told
    assert all(one != next_one for one, next_one in pairwise(told)), (
        told
    )  # a busy host may be degraded at times


async def test_probing_goes_on_while_the_log_cannot_be_written(sshd: Sshd) -> None:
    """The metrics and `/workers` know what the log could not be told."""
    config = config_with(distributed=distributed(sshd)).distributed
    (spec,) = specs_of(config)
    event_log = await open_log("memory:")
    await event_log.aclose()  # from here on every append raises LogUnavailable
    workers = WorkerProjection(config)
    metrics = PrometheusExporter(version="1", revision="r", snapshot=no_snapshot, workers=["gpu-1"])
    counted: list[str] = []
    metrics.worker_probed = lambda _, result, __: counted.append(result)  # type: ignore[method-assign]
    prober = Prober(event_log, workers, metrics, interval_s=0.1)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(prober.watch(spec), name="probe gpu-1")
        await until(lambda: len(counted) >= 3, "three probes")
        watching.cancel()
    assert set(counted) == {"success"}
    (view,) = workers.views()
    assert view["state"] in ("up", "degraded")


def no_snapshot() -> Snapshot:
    """Nobody scrapes here."""
    raise AssertionError


async def test_a_drained_worker_stays_so_whatever_its_probes_find(start: StartServer, sshd: Sshd) -> None:
    """Drained, killed, undrained: the state is the operator's, then the probe's again; the gauge is always
    the probe's."""
    server = await start(distributed=distributed(sshd))
    await until_state(server, "up", "degraded")
    status, worker = await order(server, "gpu-1/drain", b'{"reason": "new GPU"}')
    assert status == 200
    assert (worker["state"], worker["reason"], worker["draining"]) == ("draining", "drained: new GPU", True)
    assert await order(server, "gpu-1/drain") == (200, worker | PROBED), "idempotent"
    await until_probes(server, await probes(server) + 1)
    assert (await server.get("/workers/gpu-1"))["state"] == "draining"
    assert UP + " 1.0" in await server.metrics()

    sshd.cut()
    async with asyncio.timeout(WAIT_S * 2):
        while UP + " 0.0" not in await server.metrics():  # noqa: ASYNC110 - of another task's gauge
            await asyncio.sleep(0.05)
    worker = await server.get("/workers/gpu-1")
    assert (worker["state"], worker["reason"]) == ("draining", "drained: new GPU")
    assert worker["probe_result"] != "success"
    assert worker["load_ratio"] is None, "of a host that does not answer nothing is known"
    async with asyncio.timeout(WAIT_S):
        while (told := (await statuses(server))[-1])["probe"]["result"] == "success":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (told["state"], told["reason"]) == ("draining", "drained: new GPU"), "told at once, still draining"

    status, worker = await order(server, "gpu-1/undrain")
    assert (status, worker["state"], worker["draining"]) == (200, "down", False)
    assert worker["reason"] == worker["probe_reason"]
    assert await order(server, "gpu-1/undrain") == (
        200,
        {**worker, "last_probe": ANY, "reason": ANY} | PROBED,
    )
    assert [told["state"] for told in await statuses(server)][-2:] == ["draining", "down"]
    sshd.start()


async def test_only_a_configured_worker_can_be_drained(start: StartServer, sshd: Sshd) -> None:
    """Unknown or merely seen: 404, with those that are configured; a wrong order is told, and none is taken
    from a page or as text."""
    server = await start(distributed=distributed(sshd))
    seen = {"host": "10.0.0.9", "port": 22}
    assert (await server.post(event("book", "translation_started", worker_info=seen)))[0] == 200
    assert (await server.get("/workers/10.0.0.9:22"))["configured"] is False
    for nobody in ("nobody", "10.0.0.9:22"):
        for path in (f"{nobody}/drain", f"{nobody}/undrain"):
            status, problem = await order(server, path)
            assert (status, problem["code"]) == (404, "not_found")
            assert "gpu-1" in problem["detail"]
    for body in (b'{"reason": 1}', b'{"why": "x"}', b"[]", b'{"reason": "' + b"x" * 501 + b'"}'):
        status, problem = await order(server, "gpu-1/drain", body)
        assert (status, problem["code"], problem["field"]) == (400, "bad_request", "reason")
    assert (await order(server, "gpu-1/drain", b"{"))[0] == 400
    assert (await order(server, "gpu-1/drain", **{"Content-Type": "text/plain"}))[0] == 415
    assert (await order(server, "gpu-1/drain", Origin="http://evil.example"))[0] == 403
    assert (await server.get("/workers/gpu-1"))["draining"] is False


async def test_a_drain_outlives_a_killed_server(tmp_path: Path, sshd: Sshd) -> None:
    """Acknowledged is durable: drained, it is so after kill -9; undrained, it is not after another."""
    worker = {
        "host": "127.0.0.1",
        "port": sshd.port,
        "user": sshd.account.user,
        "key_file": str(sshd.account.key),
        "remote_dir": str(sshd.remote_dir),
    }
    section = {"enabled": True, "health_check_interval": 1, "workers": {"gpu-1": worker}}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"distributed": {**section, "known_hosts": str(sshd.known_hosts)}}))
    monitor = MonitorProcess(tmp_path / "events.db", environ={"MONITOR_CONFIG": str(config)})
    await monitor.start()
    try:
        async with aiohttp.ClientSession() as client:
            for path, draining in (("drain", True), ("undrain", False)):
                async with client.post(f"{monitor.url}/workers/gpu-1/{path}", json={}) as answer:
                    assert answer.status == 200, await answer.text()
                await monitor.kill()
                await monitor.start()
                view = await monitor.get("/workers/gpu-1")
                assert view["draining"] is draining
                assert (view["state"] == "draining") is draining
        samples = await monitor.metrics()
        assert samples[UP] in (0.0, 1.0)
    finally:
        await monitor.stop()
