"""The ssh engine against real workers: sshd processes, programs and a model behind them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from sshworker.spec import Engine as EngineSpec
from sshworker.state import WorkerState
from tests.monitor_process import MonitorProcess
from tests.parts import need
from tests.ssh_engine import by_command, engine, segment
from tests.sshd import Sshd, asked, free_port, words_program
from tests.translator.conftest import Collector
from translation_events.address import MonitorAddress
from translation_events.event import ErrorType
from translator.engines.apertium import mode_for
from translator.engines.choice import Fleet, choose_engine
from translator.engines.engine import EngineError, EngineUnavailable
from translator.engines.ssh import SshEngine
from translator.output import Job
from translator.translation import Translation, TranslationFailed

Start = Callable[..., Sshd]


async def translate(
    engine: SshEngine, collector: Collector, tmp_path: Path, text: str, **options: Any
) -> str:
    (tmp_path / "in.md").write_text(text)
    job = Job(tmp_path / "in.md", tmp_path / "out.md")
    await Translation([job], engine, collector, source="en", target="es", **options).run()
    return job.output.read_text()


async def test_a_command_gets_the_text_and_its_output_is_the_translation(sshd: Sshd) -> None:
    """Text on stdin, result on stdout, `{source}` and `{target}` filled in; usage names the worker."""
    spec = sshd.spec(engine=by_command(words_program(sshd)), max_capacity=2)
    async with engine(spec) as ssh:
        done = await ssh.translate(segment("A **dog** reads."))
        assert (ssh.name, ssh.model, ssh.capacity) == ("ssh", "sh", 2)
    assert re.sub(r"⟦\d+⟧", "", done.text) == "A DOG READS."
    assert asked(sshd)[0].startswith("en es ")
    (usage,) = done.usages
    assert (usage.worker, usage.requests, usage.result, usage.provider) == ("gpu-1", 1, "success", "command")
    assert done.worker is not None
    assert (done.worker.name, done.worker.type, done.worker.host) == ("gpu-1", "ssh-command", "127.0.0.1")
    assert (done.worker.port, done.worker.capacity, done.worker.model) == (sshd.port, 2, "sh")


async def test_the_trace_goes_along(sshd: Sshd) -> None:
    """The program finds the trace of the translation in TRACEPARENT."""
    context = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    async with engine(sshd.spec(engine=by_command(words_program(sshd)))) as ssh:
        with use_span(NonRecordingSpan(context)):
            await ssh.translate(segment("The dog."))
    assert asked(sshd)[0].split()[2].startswith(f"00-{0xABC:032x}-")


async def test_what_a_real_monitor_finds_by_probing_is_heard(sshd: Sshd, tmp_path: Path) -> None:
    """A worker is what the monitor says before it has done anything, and for the monitor's reason."""
    template = words_program(sshd)
    file = tmp_path / "config.json"
    worker = {
        "host": "127.0.0.1", "port": sshd.port, "user": sshd.account.user, "key_file": str(sshd.account.key),
        "remote_dir": str(sshd.remote_dir), "engine": {"kind": "command", "command": template},
    }  # fmt: skip
    known = str(sshd.known_hosts)
    distributed = {"enabled": True, "known_hosts": known, "workers": {"gpu-1": worker}}
    file.write_text(json.dumps({"distributed": distributed}))
    monitor = MonitorProcess(tmp_path / "events.db", environ={"MONITOR_CONFIG": str(file)})
    await monitor.start()
    try:
        address = MonitorAddress.parse(monitor.url)
        async with engine(sshd.spec(engine=by_command(template)), monitor=address) as ssh:
            async with asyncio.timeout(20):
                # On a busy machine the load makes it degraded.
                while ssh.workers[0].state not in (WorkerState.UP, WorkerState.DEGRADED):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert ssh.workers[0].done == 0
            (seen,) = (await monitor.get("/workers"))["workers"]
            assert ssh.workers[0].reason == seen["reason"]
            await monitor.stop()
            async with asyncio.timeout(20):
                while ssh.workers[0].state is not WorkerState.UNKNOWN:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert (await ssh.translate(segment("The dog."))).text == "THE DOG."
    finally:
        await monitor.stop()


async def test_apertium_on_a_worker_keeps_the_markup(sshd: Sshd) -> None:
    """A real program: where it loses the marks, the runs of text between them are translated one by one."""
    need(mode_for("en", "es") is not None, "apt-get install apertium apertium-eng-spa")
    async with engine(sshd.spec(engine=by_command("apertium -u {source_long}-{target_long}"))) as ssh:
        source = segment("The **old house** and [the book](https://example.org).")
        done = await ssh.translate(source)
        source.check(done.text)
    assert "casa" in done.text.lower()
    assert "dog" not in done.text


async def test_a_model_behind_a_tunnel_is_asked_by_the_same_code(sshd: Sshd, llama_url: str) -> None:
    """Tokens and the seconds of both phases come from the server; the model is the server's own."""
    async with engine(sshd.spec(engine=EngineSpec("openai", url=llama_url))) as ssh:
        assert ssh.model.endswith(".gguf")
        try:
            usages = (await ssh.translate(segment("The dog reads."))).usages
        except EngineError as error:  # a small model may fail; what it consumed is told all the same
            usages = error.usages
    assert {usage.worker for usage in usages} == {"gpu-1"}
    assert sum(usage.output_tokens for usage in usages) > 0
    assert all(usage.prefill_s is not None and usage.decode_s is not None for usage in usages)


async def test_a_connection_the_server_has_closed_meanwhile_costs_no_worker(sshd: Sshd) -> None:
    """A request that meets a connection just closed for idleness is sent once more, to the same worker."""
    requests = 0

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    async def chat(request: web.Request) -> web.StreamResponse:
        nonlocal requests
        requests += 1
        if requests == 2:
            assert request.transport is not None
            request.transport.close()  # without a word, as a server does that has just timed out
        text = (await request.json())["messages"][-1]["content"]
        message = {"role": "assistant", "content": f"zu {text}"}
        return web.json_response({
            "id": "c", "object": "chat.completion", "created": 1, "model": "tiny",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        })  # fmt: skip

    app = web.Application()
    app.router.add_get("/v1/models", models)
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        async with engine(sshd.spec(engine=EngineSpec("openai", url=url))) as ssh:
            for _ in range(3):
                assert (await ssh.translate(segment("The dog."))).text == "zu The dog."
            (worker,) = ssh.workers
            assert (worker.done, worker.failed) == (3, 0)
    finally:
        await runner.cleanup()
    assert requests == 4


async def test_work_of_a_lost_worker_goes_to_another_and_each_segment_comes_once(
    start_sshd: Start, collector: Collector, tmp_path: Path
) -> None:
    """The output is complete and in order; the session says which workers there are and who was lost."""
    one, other = start_sshd(), start_sshd()
    specs = [
        s.spec(id=name, engine=by_command(words_program(s, pause_s=0.05)), max_capacity=2)
        for name, s in (("one", one), ("other", other))
    ]
    lines = [f"line {n} of the book" for n in range(30)]

    async def cut() -> None:
        while len(asked(one)) < 4:  # noqa: ASYNC110  # another process's doing
            await asyncio.sleep(0.01)
        one.cut()

    async with engine(*specs, emitter=collector) as ssh, asyncio.TaskGroup() as tasks:
        tasks.create_task(cut(), name="cut")
        text = "\n\n".join(lines) + "\n"
        out = await translate(ssh, collector, tmp_path, text, concurrency=ssh.capacity)
    assert out == text.upper()
    segments = [e["data"]["segment"] for e in collector.of("translation_progress") if "segment" in e["data"]]
    assert len(segments) == len(set(segments)) == 30
    assert not collector.of("translation_error")
    states = [(e["data"]["worker"], e["data"]["state"]) for e in collector.of("worker_status")]
    assert {("one", "up"), ("one", "down"), ("other", "up")} <= set(states)
    named = [e["worker_info"]["name"] for e in collector.events if "worker_info" in e]
    assert set(named) == {"one", "other"}
    usages = [u for e in collector.events for u in e.get("usage", [])]
    assert {u["result"] for u in usages} <= {"success", "worker_lost", "refused"}
    assert sum(u["result"] == "success" for u in usages) == 30


async def test_when_no_worker_is_left_the_session_is_lost(
    sshd: Sshd, collector: Collector, tmp_path: Path
) -> None:
    """A fatal `worker_lost`, after the patience, with each worker's reason."""
    spec = sshd.spec(engine=by_command(words_program(sshd)))
    async with engine(spec, emitter=collector, patience_s=0.5) as ssh:
        sshd.cut()
        with pytest.raises(TranslationFailed) as failed:
            await translate(ssh, collector, tmp_path, "one\n\ntwo\n\nthree\n")
    assert failed.value.error_type is ErrorType.WORKER_LOST
    (fatal,) = collector.of("translation_error", fatal=True)
    assert fatal["error_type"] == "worker_lost"
    assert "gpu-1 is down" in fatal["error"]


def program(sshd: Sshd, condition: str) -> EngineSpec:
    """A program that puts capitals for small letters, and hangs where a shell's `condition` holds."""
    path = sshd.account.folder / f"at-times-{sshd.port}.sh"
    path.write_text(
        f'text=$(cat)\necho "$text" >> {sshd.account.folder}/asked-{sshd.port}\n'
        f"if {condition}; then exec sleep 300; fi\n"
        "printf '%s\\n' \"$text\" | tr a-z A-Z\n"
    )
    path.chmod(0o644)
    return by_command(f"/bin/sh {path}")


@pytest.mark.slow
async def test_an_outage_of_all_workers_fails_no_segment_while_one_may_come_back(
    sshd: Sshd, collector: Collector, tmp_path: Path
) -> None:
    """However often a segment was lost meanwhile: nobody answered anything, so no text is to blame."""
    outage = sshd.account.folder / "outage"
    spec = sshd.spec(engine=program(sshd, f"test -e {outage}"))
    outage.touch()

    async def come_back() -> None:
        # So often lost, the segment would have failed had anything else been answered.
        while asked(sshd).count("1, 2, 3.") < 3:  # noqa: ASYNC110  # another process's doing
            await asyncio.sleep(0.05)
        outage.unlink()

    try:
        async with (
            engine(spec, emitter=collector, answer_timeout_s=0.3, patience_s=60) as ssh,
            asyncio.timeout(60),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(come_back(), name="come back")
            out = await translate(ssh, collector, tmp_path, "one\n\ntwo\n", concurrency=1)
    finally:
        outage.unlink(missing_ok=True)
    assert out == "ONE\n\nTWO\n"
    assert asked(sshd)[:6] == ["one"] * 3 + ["1, 2, 3."] * 3
    assert not collector.of("translation_error")


@pytest.mark.slow
@pytest.mark.parametrize(("answer_timeout_s", "patience_s"), [(0.3, 60.0), (1.5, 1.5)])
async def test_a_text_that_hangs_the_only_worker_fails_alone(
    sshd: Sshd, collector: Collector, tmp_path: Path, answer_timeout_s: float, patience_s: float
) -> None:
    """Lost three times over it, the worker answers something harmless on its trial: so it is the text, and no
    worker is lost, however short the patience is beside the time an answer may take."""
    spec = sshd.spec(engine=program(sshd, 'test "$text" = poison'))
    limits = {"answer_timeout_s": answer_timeout_s, "patience_s": patience_s}
    async with engine(spec, emitter=collector, **limits) as ssh, asyncio.timeout(60):
        out = await translate(ssh, collector, tmp_path, "poison\n\ntwo\n", concurrency=1)
    assert out == "poison\n\nTWO\n"
    (failed,) = collector.of("translation_error")
    assert (failed["error_type"], failed["worker_info"]["name"]) == ("timeout", "gpu-1")
    assert not failed.get("fatal")
    assert asked(sshd) == ["poison"] * 3 + ["1, 2, 3."] + ["poison"] * 2 + ["two"]


@pytest.mark.slow
async def test_a_worker_that_hangs_on_everything_is_lost(
    sshd: Sshd, collector: Collector, tmp_path: Path
) -> None:
    """It does not answer the harmless text either: no worker is left when the patience ends."""
    spec = sshd.spec(engine=program(sshd, "true"))
    limits = {"answer_timeout_s": 1.5, "patience_s": 1.5}
    async with engine(spec, emitter=collector, **limits) as ssh, asyncio.timeout(60):
        with pytest.raises(TranslationFailed) as failed:
            await translate(ssh, collector, tmp_path, "one\n\ntwo\n", concurrency=1)
    assert failed.value.error_type is ErrorType.WORKER_LOST
    assert set(asked(sshd)) == {"one", "1, 2, 3."}


async def test_a_program_that_fails_fails_the_segment_with_its_last_words(sshd: Sshd) -> None:
    """A failed command is never called complete; another worker, or another try, comes first."""
    program = sshd.account.folder / f"fails-{sshd.port}.sh"
    program.write_text("cat > /dev/null; echo no model here >&2; exit 3\n")
    async with engine(sshd.spec(engine=by_command(f"/bin/sh {program}"))) as ssh:
        with pytest.raises(EngineError) as failed:
            await ssh.translate(segment("The dog."))
    assert failed.value.error_type is ErrorType.SERVER_ERROR
    assert not failed.value.fatal
    assert "no model here" in failed.value.detail
    assert [usage.result for usage in failed.value.usages] == ["server_error"] * 2


async def test_cancelling_leaves_nothing_running_on_the_worker(sshd: Sshd) -> None:
    """The program is ended on the far side, seen there."""
    spec = sshd.spec(engine=by_command(words_program(sshd, hang=True)))
    async with engine(spec) as ssh, asyncio.TaskGroup() as tasks:
        work = tasks.create_task(ssh.translate(segment("The dog.")), name="work")
        while not sshd.account.processes("sleep 300"):  # noqa: ASYNC110  # another process's doing
            await asyncio.sleep(0.02)
        work.cancel()
    async with asyncio.timeout(10):
        while sshd.account.processes("sleep 300"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_configured_workers_come_first_and_nothing_lesser_takes_their_place(sshd: Sshd) -> None:
    """Where workers with an engine are configured they are used, or it is said that they cannot be."""
    fleet = Fleet([sshd.spec(engine=by_command(words_program(sshd)))], Collector())
    chosen = await choose_engine("en", "es", environ={}, fleet=fleet)
    await chosen.engine.aclose()
    assert chosen.engine.name == "ssh"
    assert "configured" in chosen.reason
    sshd.cut()
    with pytest.raises(EngineUnavailable, match="--engine"):
        await choose_engine("en", "es", environ={}, fleet=fleet)
    watched = Fleet([sshd.spec()], Collector())
    assert (await choose_engine("en", "es", environ={}, fleet=watched)).engine.name != "ssh"


async def test_without_a_monitor_the_workers_are_used_by_their_own_work(sshd: Sshd) -> None:
    """A feed that is not there harms nothing."""
    nobody = MonitorAddress.parse(f"http://127.0.0.1:{free_port()}")
    async with engine(sshd.spec(engine=by_command(words_program(sshd))), monitor=nobody) as ssh:
        assert (await ssh.translate(segment("The dog."))).text == "THE DOG."
