"""A probe finds what is wrong with a worker, each outcome from a real cause."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from sshworker import host_health
from sshworker.engine_health import EngineHealth, read_engine
from sshworker.probe import Probe
from sshworker.probe_result import Layer, PhaseTotals, ProbeOutcome, ProbeResult
from sshworker.spec import Engine, WorkerSpec
from sshworker.state import WorkerState
from tests.llama import running_llama, running_model
from tests.sshd import WRAPPER, Sshd, free_port, until

StartSshd = Callable[..., Sshd]


async def probe(spec: WorkerSpec, *, timeout_s: float = 20.0) -> ProbeResult:
    """One probe of its own."""
    async with Probe(spec) as prober:
        return await prober.run(timeout_s=timeout_s)


@contextlib.asynccontextmanager
async def engine(
    *,
    processing: bool = True,
    tells_slots: bool = True,
    prefix: str = "",
    answering: asyncio.Event | None = None,
) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that speaks as llama.cpp does; the list holds its decoded and its prefilled tokens."""
    tokens = [7, 0]
    never = asyncio.Event()

    async def health(_: web.Request) -> web.Response:
        if answering is not None and not answering.is_set():
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
    app.router.add_get(f"{prefix}/health", health)
    app.router.add_get(f"{prefix}/v1/models", models)
    app.router.add_get(f"{prefix}/slots", slots)
    app.router.add_get(f"{prefix}/metrics", metrics)
    async with serving(app, prefix) as url:
        try:
            yield url, tokens
        finally:
            never.set()


@contextlib.asynccontextmanager
async def serving(app: web.Application, prefix: str = "") -> AsyncIterator[str]:
    """Serve on a free port; yields the address an engine's would be."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}{prefix}/v1"
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


def force(sshd: Sshd, allowed: str, script: str) -> None:
    """From now on the account's key runs this script only."""
    target = sshd.account.folder / f"translation-worker-{sshd.port}-forced.sh"
    target.write_text(script)
    target.chmod(0o755)
    public = sshd.account.key.with_suffix(".pub").read_text()
    line = f'restrict,port-forwarding,command="{target} --allow {allowed}" {public}'
    (sshd.folder / "authorized_keys").write_text(line)


async def test_a_worker_with_a_forced_command_tells_what_any_other_does(start_sshd: StartSshd) -> None:
    """A key that may run one program is asked for load, memory and that program, and is plainly up."""
    sshd = start_sshd()
    force(sshd, "tr", WRAPPER.read_text())
    result = await probe(sshd.spec(engine=Engine("command", command="tr a-z A-Z")))
    assert (result.outcome, result.load_ratio is not None) == (ProbeOutcome.SUCCESS, True)
    assert result.memory_total_bytes is not None
    assert result.reason == "the last probe passed" or "load" in result.reason
    assert sshd.leftovers() == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("no-such-engine -x", "may not run no-such-engine"),
        ("gone", "no program gone"),
        ("cat", "may not run"),
    ],
)
async def test_what_a_forced_command_cannot_run_is_an_engine_down(
    start_sshd: StartSshd, command: str, words: str
) -> None:
    """Not there, or not allowed: every segment would fail, so the worker is down."""
    sshd = start_sshd()
    force(sshd, "tr gone", WRAPPER.read_text())
    result = await probe(sshd.spec(engine=Engine("command", command=command)))
    assert (result.outcome, result.state) == (ProbeOutcome.ENGINE_DOWN, WorkerState.DOWN)
    assert words in result.reason


async def test_a_program_nobody_may_look_for_is_degraded(start_sshd: StartSshd) -> None:
    """An older wrapper refuses to tell: what may be asked has passed, so it is usable, never plainly up."""
    sshd = start_sshd()
    force(sshd, "tr", WRAPPER.read_text().replace("in $allowed health; do", "in $allowed; do"))
    result = await probe(sshd.spec(engine=Engine("command", command="tr a-z A-Z")))
    assert (result.outcome, result.state, result.passed) == (
        ProbeOutcome.SUCCESS,
        WorkerState.DEGRADED,
        True,
    )
    assert "nobody could look whether tr is there" in result.reason
    assert result.load_ratio is None


async def test_an_engine_is_up_where_the_account_may_only_forward(start_sshd: StartSshd) -> None:
    """MaxSessions 0: the engine answers through its tunnel, so it is up; the host's figures are absent."""
    sshd = start_sshd(max_sessions=0)
    async with engine(processing=False) as (url, _):
        spec = sshd.spec(engine=Engine("openai", url=url, model="small"))
        async with Probe(spec) as prober:
            result = await prober.run()
            assert (result.state, result.reason) == (WorkerState.UP, "the last probe passed")
            assert (result.load_ratio, result.memory_total_bytes, result.gpus) == (None, None, ())
            again = await prober.run()
            assert again.layers_s[Layer.SSH] < 2.0, "what it refuses is not asked for each time"


@pytest.mark.parametrize("program", ["/bin/false", "/bin/echo for tunnels only"])
async def test_an_engine_is_up_where_the_key_runs_something_else(start_sshd: StartSshd, program: str) -> None:
    """`restrict,port-forwarding,command="/bin/false"`: a key for the tunnel, and no fault of the host."""
    async with engine(processing=False) as (url, _):
        result = await probe(start_sshd(forced=program).spec(engine=Engine("openai", url=url, model="small")))
    assert (result.state, result.reason) == (WorkerState.UP, "the last probe passed")
    assert result.load_ratio is None


async def test_a_program_cannot_run_where_no_session_opens(start_sshd: StartSshd) -> None:
    """MaxSessions 0 and a command: no segment could be translated, so it is not called usable."""
    result = await probe(start_sshd(max_sessions=0).spec(engine=Engine("command", command="cat")))
    assert (result.outcome, result.state) == (ProbeOutcome.ERROR, WorkerState.DOWN)
    assert "MaxSessions" in result.reason


async def test_all_reasons_are_told_the_worst_first(start_sshd: StartSshd) -> None:
    """One line: a missing model, then a GPU's tool that fails."""
    sshd = start_sshd()
    tools = fake_tools(sshd, {"nvidia-smi": "echo Failed to initialize NVML; exit 18"})
    async with engine(processing=False) as (url, _):
        result = await probe(tools.spec(engine=Engine("openai", url=url, model="large")))
    assert result.state is WorkerState.DEGRADED
    model, gpu, *_ = result.reason.split("; ")
    assert model == "the engine does not have the model large"
    assert gpu == "nothing is known of the GPUs: nvidia-smi fails with 18 (Failed to initialize NVML)"


def fake_tools(sshd: Sshd, scripts: dict[str, str]) -> Sshd:
    """The same worker with programs of these names first on its PATH; restarts its sshd."""
    folder = sshd.account.folder / f"tools-{sshd.port}"
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    sshd.cut()
    sshd.lines = (f"SetEnv PATH={folder}:/usr/bin:/bin", *sshd.lines)
    sshd.start()
    return sshd


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


async def test_a_real_server_has_its_model_by_the_names_people_use(start_sshd: StartSshd) -> None:
    """llama.cpp lists a path or a file: with and without its extension it is the model."""
    with running_llama() as llama:
        found = await probe(start_sshd().spec(engine=Engine("openai", url=llama.url)))
        (listed,) = found.models
        file = Path(llama.model).name
        health = EngineHealth(models=(listed,))
        names = (listed, file, Path(file).stem) if listed.endswith(".gguf") else (listed,)
        assert all(health.has_model(name) for name in names), listed


@pytest.mark.parametrize(
    ("listed", "wanted", "has"),
    [
        ("/models/gemma-3-4b.Q4_K_M.gguf", "gemma-3-4b.Q4_K_M.gguf", True),
        ("/models/gemma-3-4b.Q4_K_M.gguf", "gemma-3-4b.Q4_K_M", True),
        ("C:\\models\\gemma.gguf", "gemma", True),
        ("/models/gemma-3-4b.Q4_K_M.gguf", "gemma-3-4b", False),
        ("llama3.2:latest", "llama3.2", True),
        ("llama3.2:1b", "llama3.2", False),
        ("Qwen/Qwen2.5", "Qwen2", False),
        ("Qwen/Qwen2.5", "Qwen2.5", False),  # vLLM takes the whole name only
    ],
)
def test_a_model_is_known_by_the_names_its_server_takes(listed: str, wanted: str, has: bool) -> None:
    """The id, a model file's own name with and without its extension, Ollama's name without `:latest`."""
    assert read_engine({"data": [{"id": listed}]}, None, "").has_model(wanted) is has
    assert read_engine({"data": [{"id": "x", "aliases": [wanted]}]}, None, "").has_model(wanted)


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


def test_counters_that_make_no_sense_are_passed_over() -> None:
    """Whatever an engine answers, the rest is read."""
    assert read_engine([], "?", "llamacpp:x nonsense").tokens_total == PhaseTotals()
