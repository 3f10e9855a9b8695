"""A probe finds whether a server behind the tunnel answers, and whether its tokens move."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import aiohttp
import pytest
from aiohttp import web

from sshworker.probe import Probe
from sshworker.probe_result import Layer, ProbeOutcome
from sshworker.spec import Engine
from sshworker.state import WorkerState
from tests.llama import running_llama, running_model
from tests.probing import engine, probe, serving
from tests.sshd import Sshd, free_port

StartSshd = Callable[..., Sshd]


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


@pytest.mark.slow
async def test_a_server_that_answers_nothing_twice_is_wedged(start_sshd: StartSshd) -> None:
    """llama.cpp stopped: connections are taken, none is answered. Once is a timeout, twice is wedged; it
    wakes up and passes."""
    with running_llama() as llama:
        async with Probe(start_sshd().spec(engine=Engine("openai", url=llama.url))) as prober:
            assert (await prober.run()).passed
            llama.stand_still()
            once = await prober.run()
            assert (once.outcome, once.state) == (ProbeOutcome.TIMEOUT, WorkerState.DOWN)
            twice = await prober.run()
            assert (twice.outcome, twice.state) == (ProbeOutcome.WEDGED, WorkerState.WEDGED)
            llama.process.send_signal(signal.SIGCONT)
            assert (await prober.run()).passed


async def test_a_server_known_to_stand_still_is_wedged_at_its_first_silence(start_sshd: StartSshd) -> None:
    """Its slots were busy without a token already: no second look is needed."""
    answers = asyncio.Event()
    answers.set()
    async with (
        engine(answering=answers) as (url, _),
        Probe(start_sshd().spec(engine=Engine("openai", url=url)), stands_still_s=3.0) as prober,
    ):
        assert (await prober.run()).passed
        assert (await prober.run()).passed, "it has stood still for less than 3 s"
        answers.clear()
        assert (await prober.run()).outcome is ProbeOutcome.WEDGED


async def test_an_engine_killed_between_probes_is_down_and_back_up(start_sshd: StartSshd) -> None:
    """llama.cpp dies and is started again: engine_down, then success, over the same connection."""
    sshd = start_sshd(lines=("LogLevel VERBOSE",))
    with running_llama() as llama:
        port = int(llama.url.removesuffix("/v1").rpartition(":")[2])
        async with Probe(sshd.spec(engine=Engine("openai", url=llama.url))) as prober:
            assert (await prober.run()).passed
            llama.kill()
            down = await prober.run()
            assert (down.outcome, down.layer) == (ProbeOutcome.ENGINE_DOWN, Layer.ENGINE)
            with running_llama(port=port):
                assert (await prober.run()).passed
    assert (sshd.folder / "log").read_text().count("Accepted publickey") == 1


@pytest.mark.slow
async def test_requests_that_go_on_waiting_for_a_slot_degrade_a_worker(start_sshd: StartSshd) -> None:
    """llama.cpp with more requests than slots: once is a moment, twice is said, and gone when it is over."""
    with running_llama() as llama:
        async with Probe(start_sshd().spec(engine=Engine("openai", url=llama.url))) as prober:
            body = {"prompt": "Once", "n_predict": 400, "ignore_eos": True}
            async with aiohttp.ClientSession() as client, asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(ask(client, llama.url, body), name="completion") for _ in range(4)]
                async with asyncio.timeout(20):
                    while not (result := await prober.run()).slots_active:
                        pass
                assert "requests wait" not in result.reason
                result = await prober.run()
                assert result.state is WorkerState.DEGRADED
                assert "2 requests wait for a slot" in result.reason
                for task in asked:
                    task.cancel()
            # The server may finish what nobody waits for any more, on a busy machine slowly.
            async with asyncio.timeout(90):
                while "requests wait" in (await prober.run()).reason:
                    pass


async def ask(client: aiohttp.ClientSession, url: str, body: dict[str, object]) -> None:
    """A completion that is long under way."""
    async with client.post(f"{url.removesuffix('/v1')}/completion", json=body) as answer:
        await answer.read()


async def test_an_engine_behind_a_path_is_asked_there(start_sshd: StartSshd) -> None:
    """`--api-prefix`, or a proxy: health, slots and counters stand under the same prefix."""
    async with engine(prefix="/llm/one") as (url, _):
        result = await probe(start_sshd().spec(engine=Engine("openai", url=url, model="small")))
    assert result.passed, result.reason
    assert (result.slots_active, result.tokens_total.decode) == (1, 7)


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


@pytest.mark.slow
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
