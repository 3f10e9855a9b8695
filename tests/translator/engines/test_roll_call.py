"""The roll call before the work: who cannot do it is told, with what to do about it, and the others begin."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sshworker.spec import Engine as EngineSpec
from sshworker.state import WorkerState
from tests.ssh_engine import by_command, engine, segment
from tests.sshd import WRAPPER, Sshd, asked, free_port, make_key, words_program
from tests.translator.conftest import Collector
from translation_events.errors import ConfigError
from translation_events.event import ErrorType
from translator.engines.engine import EngineUnavailable
from translator.engines.roll_call import READY_WITHIN_S

Start = Callable[..., Sshd]


async def test_a_wrong_host_key_is_told_before_anything_is_sent(sshd: Sshd) -> None:
    """A clear error at the start, with the class of the failure."""
    other = make_key(sshd.folder / "other").with_suffix(".pub").read_text()
    spec = sshd.spec(engine=by_command("tr a b"), host_key=" ".join(other.split()[:2]))
    with pytest.raises(EngineUnavailable) as refused:
        async with engine(spec):
            pass
    assert refused.value.error_type is ErrorType.HOST_KEY
    assert "gpu-1" in refused.value.detail
    assert "host key" in refused.value.detail.lower() or "host's key" in refused.value.detail.lower()


async def test_one_worker_that_cannot_be_used_is_said_and_the_others_work(
    sshd: Sshd, collector: Collector
) -> None:
    """A wrong key does not mend by itself: such a worker gets no work."""
    other = make_key(sshd.folder / "other").with_suffix(".pub").read_text()
    command = by_command(words_program(sshd))
    bad = sshd.spec(id="bad", engine=command, host_key=" ".join(other.split()[:2]))
    async with engine(bad, sshd.spec(id="good", engine=command), emitter=collector) as ssh:
        for _ in range(3):
            done = await ssh.translate(segment("The dog."))
            assert done.worker is not None
            assert done.worker.name == "good"
        assert {w.id: w.state for w in ssh.workers} == {"bad": WorkerState.DOWN, "good": WorkerState.UP}
    assert [e["data"]["state"] for e in collector.of("worker_status") if e["data"]["worker"] == "bad"][
        -1
    ] == "down"


async def test_what_is_missing_is_told_of_each_worker_before_anything_is_sent(
    start_sshd: Start, collector: Collector
) -> None:
    """A program not there, one the key may not run, a server not started, a machine that is off: each with
    what to do about it; the one that is well does the work."""
    good, other = start_sshd(), start_sshd()
    tight = start_sshd(forced=f"{WRAPPER} --allow cat")
    works = by_command(words_program(good))
    server = EngineSpec("openai", url=f"http://127.0.0.1:{free_port()}/v1", model="tiny")
    specs = [
        other.spec(id="bare", engine=by_command("no-such-translator -x")),
        tight.spec(id="tight", engine=by_command("tr a b")),
        other.spec(id="idle", engine=server),
        replace(other.spec(id="off", engine=works), port=free_port()),
        good.spec(id="good", engine=works),
    ]
    async with engine(*specs, emitter=collector) as ssh:
        assert ssh.statement.startswith("1 of 5 SSH workers")
        assert ssh.statement.endswith(": good")
        for _ in range(3):
            assert (await ssh.translate(segment("The dog."))).text == "THE DOG."
    told = {
        e["data"]["worker"]: e["data"]["reason"]
        for e in reversed(collector.of("worker_status"))
        if e["data"]["state"] == "down"
    }
    assert set(told) == {"bare", "tight", "idle", "off"}
    assert told["bare"] == (
        "the worker has no program no-such-translator; install it there, or name it by its full path"
    )
    assert told["tight"] == "the key may not run tr; name it after --allow in the worker's authorized_keys"
    assert "is it running there?" in told["idle"]
    assert "is sshd running" in told["off"]


async def test_when_all_lack_their_program_nothing_begins(start_sshd: Start) -> None:
    """Each worker is named with its fault, and the failure is the engine's, not that workers were lost."""
    specs = [start_sshd().spec(id=name, engine=by_command(f"no-{name} -x")) for name in ("one", "two")]
    with pytest.raises(EngineUnavailable) as refused:
        async with engine(*specs):
            pass
    assert refused.value.error_type is ErrorType.ENGINE_DOWN
    assert "one: the worker has no program no-one" in refused.value.detail
    assert "two: the worker has no program no-two" in refused.value.detail


async def test_one_silent_machine_does_not_hold_up_the_others(sshd: Sshd, collector: Collector) -> None:
    """It takes the connection and says nothing: the work begins without it, a few seconds after the first."""
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    works = by_command(words_program(sshd))
    hung = replace(sshd.spec(id="hung", engine=works), port=port, connect_timeout_s=30.0)
    began = time.monotonic()
    async with engine(hung, sshd.spec(id="good", engine=works), emitter=collector) as ssh:
        assert time.monotonic() - began < READY_WITHIN_S / 2
        assert (await ssh.translate(segment("The dog."))).text == "THE DOG."
        (told,) = [e["data"] for e in collector.of("worker_status") if e["data"]["worker"] == "hung"]
    silent.close()
    assert told["state"] == "down"
    assert "it is tried again" in told["reason"]


async def test_a_worker_that_was_off_at_the_start_is_used_when_it_is_back(
    start_sshd: Start, collector: Collector, tmp_path: Path
) -> None:
    """It is tried again while the work goes on, and a trial that goes well is all it takes."""
    late, here = start_sshd(), start_sshd()
    late.cut()
    specs = [
        one.spec(id=name, engine=by_command(words_program(one, pause_s=0.1)))
        for name, one in (("late", late), ("here", here))
    ]
    async with engine(*specs, emitter=collector) as ssh, asyncio.timeout(60):
        late.start()
        while not asked(late):
            await ssh.translate(segment("The dog."))
    states = [e["data"]["state"] for e in collector.of("worker_status") if e["data"]["worker"] == "late"]
    assert states[0] == "down"
    assert states[-1] == "up"


async def test_tags_choose_the_workers(sshd: Sshd) -> None:
    """Only workers with all the tags; none with them is an error that says so."""
    command = by_command(words_program(sshd))
    specs = [sshd.spec(id="a", engine=command, tags=("gpu", "es")), sshd.spec(id="b", engine=command)]
    async with engine(*specs, tags=("gpu",)) as ssh:
        assert [worker.id for worker in ssh.workers] == ["a"]
    with pytest.raises(ConfigError, match="has the tags tpu; there are: es, gpu"):
        async with engine(*specs, tags=("tpu",)):
            pass
