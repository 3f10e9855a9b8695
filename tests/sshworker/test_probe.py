"""A probe finds what is wrong with a worker, each outcome from a real cause."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from aiohttp import web

from sshworker.engine_health import read_engine
from sshworker.host_health import read_health
from sshworker.probe import Probe
from sshworker.probe_result import Gpu, Layer, PhaseTotals, ProbeOutcome, ProbeResult
from sshworker.spec import Engine, WorkerSpec
from sshworker.state import WorkerState
from tests.llama import running_model
from tests.sshd import WRAPPER, Sshd, free_port

StartSshd = Callable[..., Sshd]


async def probe(spec: WorkerSpec, *, timeout_s: float = 20.0) -> ProbeResult:
    """One probe of its own."""
    async with Probe(spec) as prober:
        return await prober.run(timeout_s=timeout_s)


@contextlib.asynccontextmanager
async def engine(
    *, processing: bool = True, answers: bool = True, tells_slots: bool = True
) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that speaks as llama.cpp does; the list holds its decoded and its prefilled tokens."""
    tokens = [7, 0]
    never = asyncio.Event()

    async def health(_: web.Request) -> web.Response:
        if not answers:
            await never.wait()
        return web.json_response({"status": "ok"})

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "small"}]})

    async def slots(_: web.Request) -> web.Response:
        if not tells_slots:
            await never.wait()
        busy = {"id": 0, "is_processing": processing, "n_prompt_tokens_processed": tokens[1]}
        return web.json_response([busy, {"id": 1, "is_processing": False}])

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            text=f"llamacpp:prompt_tokens_total 3\nllamacpp:tokens_predicted_total {tokens[0]}\n"
        )

    app = web.Application()
    app.router.add_get("/health", health)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/slots", slots)
    app.router.add_get("/metrics", metrics)
    async with serving(app) as url:
        try:
            yield url, tokens
        finally:
            never.set()


@contextlib.asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Serve on a free port; yields the address an engine's would be."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        await runner.cleanup()


async def test_a_worker_that_works_is_up(start_sshd: StartSshd) -> None:
    """TCP, SSH and the engine's program answer: success, with the host's load and memory."""
    spec = start_sshd().spec(engine=Engine("command", command="cat -u"))
    result = await probe(spec)
    assert (result.outcome, result.passed) == (ProbeOutcome.SUCCESS, True)
    assert result.state in (WorkerState.UP, WorkerState.DEGRADED)
    assert set(result.layers_s) == {Layer.TCP, Layer.SSH, Layer.ENGINE}
    assert result.load_ratio is not None
    assert result.memory_total_bytes is not None


async def test_a_program_that_is_not_there_is_an_engine_down(start_sshd: StartSshd) -> None:
    """The command engine's program is looked for."""
    result = await probe(start_sshd().spec(engine=Engine("command", command="no-such-translator -x")))
    assert (result.outcome, result.layer) == (ProbeOutcome.ENGINE_DOWN, Layer.ENGINE)
    assert "no-such-translator" in result.reason


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


async def test_an_engine_nobody_started(start_sshd: StartSshd) -> None:
    """The tunnel leads to a closed port: engine_down."""
    url = f"http://127.0.0.1:{free_port()}/v1"
    result = await probe(start_sshd().spec(engine=Engine("openai", url=url)))
    assert (result.outcome, result.layer) == (ProbeOutcome.ENGINE_DOWN, Layer.ENGINE)


@pytest.mark.parametrize(("health", "models"), [(404, 404), (500, 401), (200, 404)])
async def test_what_is_no_engine_is_not_called_up(start_sshd: StartSshd, health: int, models: int) -> None:
    """Something else at the port, or an engine that says it is ill: engine_down, never up."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=health if request.path == "/health" else models, text="hello")

    app = web.Application()
    app.router.add_get("/{any:.*}", answer)
    async with serving(app) as url:
        result = await probe(start_sshd().spec(engine=Engine("openai", url=url)))
    assert (result.outcome, result.passed) == (ProbeOutcome.ENGINE_DOWN, False)


async def test_a_program_nobody_may_look_for_is_degraded(forced: Sshd) -> None:
    """An account that may not run what looks for the program is never plainly up."""
    target = forced.account.folder / f"translation-worker-{forced.port}-tr.sh"
    target.write_text(WRAPPER.read_text())
    target.chmod(0o755)
    keys = forced.folder / "authorized_keys"
    public = forced.account.key.with_suffix(".pub").read_text()
    keys.write_text(f'restrict,port-forwarding,command="{target} --allow tr" {public}')
    result = await probe(forced.spec(engine=Engine("command", command="no-such-engine")))
    assert result.state is not WorkerState.UP
    assert "no-such-engine" in result.reason


async def test_whatever_a_worker_answers_a_probe_has_a_result(start_sshd: StartSshd) -> None:
    """A fault of the probe's own making is an error, told, not an exception."""
    result = await probe(start_sshd().spec(engine=Engine("command", command="unclosed 'quote")))
    assert (result.outcome, result.passed) == (ProbeOutcome.ERROR, False)


async def test_an_engine_that_takes_the_connection_and_never_answers_is_wedged(start_sshd: StartSshd) -> None:
    """Accepts, never answers: wedged."""
    async with engine(answers=False) as (url, _):
        result = await probe(start_sshd().spec(engine=Engine("openai", url=url)))
    assert (result.outcome, result.state) == (ProbeOutcome.WEDGED, WorkerState.WEDGED)


async def test_busy_slots_without_a_token_are_wedged_although_health_is_ok(start_sshd: StartSshd) -> None:
    """`/health` says OK while generation stands still: the counters are believed."""
    async with engine() as (url, tokens):
        spec = start_sshd().spec(engine=Engine("openai", url=url, model="small"))
        async with Probe(spec, stands_still_s=0.0) as prober:
            first = await prober.run()
            assert (first.outcome, first.slots_active, first.slots_capacity) == (ProbeOutcome.SUCCESS, 1, 2)
            second = await prober.run()
            assert (second.outcome, second.state) == (ProbeOutcome.WEDGED, WorkerState.WEDGED)
            tokens[0] += 1
            assert (await prober.run()).passed
            tokens[1] += 512
            assert (await prober.run()).passed, "a long prefill is work"


async def test_one_late_answer_is_not_yet_wedged_but_lasting_silence_is(start_sshd: StartSshd) -> None:
    """Slots are told of between two batches: one that takes long is no reason to take the work away."""
    workers = start_sshd()
    async with (
        engine(tells_slots=False) as (url, _),
        Probe(workers.spec(engine=Engine("openai", url=url)), stands_still_s=1.0) as prober,
    ):
        assert (await prober.run()).passed
        assert (await prober.run()).state is WorkerState.WEDGED


async def test_an_engine_without_the_wanted_model_is_degraded(start_sshd: StartSshd) -> None:
    """It answers, but not with what was asked for: usable, and said."""
    async with engine(processing=False) as (url, _):
        result = await probe(start_sshd().spec(engine=Engine("openai", url=url, model="large")))
    assert (result.outcome, result.state) == (ProbeOutcome.SUCCESS, WorkerState.DEGRADED)
    assert "large" in result.reason


async def test_a_real_llama_server_tells_its_slots_and_counters(start_sshd: StartSshd) -> None:
    """llama.cpp behind the tunnel: models, slots and token counters."""
    with running_model() as url:
        result = await probe(start_sshd().spec(engine=Engine("openai", url=url)))
    assert result.passed, result.reason
    assert result.models
    assert result.slots_capacity is not None
    assert result.tokens_total.decode is not None


async def test_a_probe_comes_back_after_the_worker_did(start_sshd: StartSshd) -> None:
    """The connection it holds is opened anew: down while sshd is away, up when it is back."""
    sshd = start_sshd()
    async with Probe(sshd.spec()) as prober:
        assert (await prober.run()).passed
        sshd.cut()
        assert not (await prober.run()).passed
        sshd.start()
        assert (await prober.run()).passed


def test_small_counters_are_read() -> None:
    """Prometheus writes small values with a negative exponent."""
    metrics = "llamacpp:prompt_seconds_total 9.1e-05\nllamacpp:tokens_predicted_total e\n"
    assert read_engine(None, None, metrics).busy_s_total == PhaseTotals(9.1e-05)


def test_lines_that_make_no_sense_are_passed_over() -> None:
    """Whatever a host prints, the rest is read."""
    health = read_health("motd\nload 1.5\ncpus 3\nmemory x y\ngpu 0 50 1 2\ngpu 1 [N/A] 1 2\n")
    assert health.load_ratio == 0.5
    assert health.memory_total_bytes is None
    assert health.gpus == (Gpu(0, 0.5, 2.0**20, 2.0**21),)
    assert read_engine([], "?", "llamacpp:x nonsense").tokens_total == PhaseTotals()
