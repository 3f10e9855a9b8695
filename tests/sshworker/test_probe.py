"""A probe finds what is wrong with a worker, each outcome from a real cause."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from sshworker import host_health
from sshworker.probe import Probe
from sshworker.probe_result import Layer, ProbeOutcome
from sshworker.spec import Engine
from sshworker.state import WorkerState
from tests.probing import engine, fake_tools, probe
from tests.sshd import Sshd, free_port, until

StartSshd = Callable[..., Sshd]


async def test_a_worker_that_works_is_up(start_sshd: StartSshd) -> None:
    """TCP, SSH and the engine's program answer: success, with the host's load and memory."""
    spec = start_sshd().spec(engine=Engine("command", command="cat -u"))
    result = await probe(spec)
    assert (result.outcome, result.passed) == (ProbeOutcome.SUCCESS, True)
    assert result.state in (WorkerState.UP, WorkerState.DEGRADED)
    assert set(result.layers_s) == {Layer.TCP, Layer.SSH, Layer.ENGINE}
    assert result.load_ratio is not None
    assert result.memory_total_bytes is not None


async def test_a_refused_port(start_sshd: StartSshd) -> None:
    """Nothing listens: refused, down."""
    spec = replace(start_sshd().spec(), port=free_port())
    result = await probe(spec)
    assert (result.outcome, result.state) == (ProbeOutcome.REFUSED, WorkerState.DOWN)
    assert set(result.layers_s) == {Layer.TCP}


async def test_a_host_that_cannot_be_reached(start_sshd: StartSshd) -> None:
    """A name nobody knows: unreachable."""
    result = await probe(replace(start_sshd().spec(), host="no-such-host.invalid"))
    assert result.outcome is ProbeOutcome.UNREACHABLE


async def test_a_port_that_takes_connections_and_says_nothing(start_sshd: StartSshd) -> None:
    """A black hole behind an open port: timeout, within the deadline."""
    ended = asyncio.Event()

    async def swallow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    result = await probe(replace(start_sshd().spec(), port=port), timeout_s=1.0)
    ended.set()
    server.close()
    assert (result.outcome, result.layer) == (ProbeOutcome.TIMEOUT, Layer.SSH)


async def test_a_key_the_worker_does_not_take(start_sshd: StartSshd) -> None:
    """No key that opens: auth_failed."""
    result = await probe(replace(start_sshd().spec(), user="nobody-here"))
    assert result.outcome is ProbeOutcome.AUTH_FAILED


async def test_another_host_key(start_sshd: StartSshd) -> None:
    """The host shows another key than the pinned one: host_key_mismatch."""
    fingerprint = "SHA256:" + "A" * 43
    result = await probe(replace(start_sshd().spec(), host_key=fingerprint))
    assert result.outcome is ProbeOutcome.HOST_KEY_MISMATCH


async def test_all_reasons_are_told_the_worst_first(start_sshd: StartSshd) -> None:
    """One line: a missing model, then a GPU's tool that fails."""
    sshd = start_sshd()
    tools = fake_tools(sshd, {"nvidia-smi": "echo Failed to initialize NVML; exit 18"})
    async with engine(processing=False) as (url, _):
        result = await probe(tools.spec(engine=Engine("openai", url=url, model="large")))
    assert result.state is WorkerState.DEGRADED
    model, gpu, *_ = result.reason.split("; ")
    assert model == "the engine does not have the model large (it has small)"
    assert gpu == "nothing is known of the GPUs: nvidia-smi fails with 18 (Failed to initialize NVML)"


async def test_a_gpu_tool_that_hangs_takes_the_gpus_from_sight_and_nothing_else(
    start_sshd: StartSshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nvidia-smi that never ends: bounded, ended on the far side, told, and the worker stays usable."""
    sshd = fake_tools(start_sshd(), {"nvidia-smi": "trap '' TERM; while :; do sleep 4321; done"})
    monkeypatch.setattr(host_health, "TIMEOUT_S", 1.0)
    async with Probe(sshd.spec(engine=Engine("command", command="cat"))) as prober:
        for _ in range(2):  # the second spares the tool, and remembers
            result = await prober.run()
            assert (result.outcome, result.state) == (ProbeOutcome.SUCCESS, WorkerState.DEGRADED)
            assert "the GPUs: nvidia-smi did not end within 1 s" in result.reason
            assert result.load_ratio is not None
        await asyncio.to_thread(until, lambda: not sshd.account.processes("sleep 4321"), timeout_s=15)
        await asyncio.to_thread(until, lambda: not sshd.leftovers())


async def test_probes_leave_nothing_behind(start_sshd: StartSshd) -> None:
    """No task, no channel, no process and no folder on the far side, whatever the probes found."""
    sshd = start_sshd()
    before = asyncio.all_tasks()
    async with engine() as (url, _):
        for kind in (
            Engine("command", command="cat"),
            Engine("openai", url=url),
            Engine("command", command="x"),
        ):
            async with Probe(sshd.spec(engine=kind)) as prober:
                for _ in range(3):
                    await prober.run()
    assert {
        task for task in asyncio.all_tasks() - before if task.get_name().startswith(("ssh", "probe"))
    } == set()
    await asyncio.to_thread(until, lambda: not sshd.account.processes("."))
    assert sshd.leftovers() == []


async def test_the_whole_probe_is_bounded(start_sshd: StartSshd) -> None:
    """A worker that dawdles at each layer has its probe ended by one limit, and nothing is left of it."""
    sshd = fake_tools(start_sshd(), {"getconf": "exec sleep 5432"})
    async with Probe(sshd.spec(engine=Engine("command", command="cat"))) as prober:
        began = time.monotonic()
        result = await prober.run(timeout_s=2.0)
        assert time.monotonic() - began < 4.0
        assert (result.outcome, result.layer) == (ProbeOutcome.TIMEOUT, Layer.SSH)
        assert "within 2 s" in result.reason
        await asyncio.to_thread(until, lambda: not sshd.account.processes("sleep 5432"), timeout_s=15)


async def test_whatever_a_worker_answers_a_probe_has_a_result(start_sshd: StartSshd) -> None:
    """A fault of the probe's own making is an error, told, not an exception."""
    result = await probe(start_sshd().spec(engine=Engine("command", command="unclosed 'quote")))
    assert (result.outcome, result.passed) == (ProbeOutcome.ERROR, False)


async def test_a_probe_comes_back_after_the_worker_did(start_sshd: StartSshd) -> None:
    """The connection it holds is opened anew: down while sshd is away, up when it is back."""
    sshd = start_sshd()
    async with Probe(sshd.spec()) as prober:
        assert (await prober.run()).passed
        sshd.cut()
        assert not (await prober.run()).passed
        sshd.start()
        assert (await prober.run()).passed
