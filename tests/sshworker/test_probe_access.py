"""A probe of a worker whose account may not do everything: what it still finds out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sshworker.probe import Probe
from sshworker.probe_result import Layer, ProbeOutcome
from sshworker.spec import Engine
from sshworker.state import WorkerState
from tests.probing import engine, probe
from tests.sshd import WRAPPER, Sshd

StartSshd = Callable[..., Sshd]


async def test_a_program_that_is_not_there_is_an_engine_down(start_sshd: StartSshd) -> None:
    """The command engine's program is looked for."""
    result = await probe(start_sshd().spec(engine=Engine("command", command="no-such-translator -x")))
    assert (result.outcome, result.layer) == (ProbeOutcome.ENGINE_DOWN, Layer.ENGINE)
    assert "no-such-translator" in result.reason


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


@pytest.mark.slow
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


@pytest.mark.slow
async def test_a_program_cannot_run_where_no_session_opens(start_sshd: StartSshd) -> None:
    """MaxSessions 0 and a command: no segment could be translated, so it is not called usable."""
    result = await probe(start_sshd(max_sessions=0).spec(engine=Engine("command", command="cat")))
    assert (result.outcome, result.state) == (ProbeOutcome.ERROR, WorkerState.DOWN)
    assert "MaxSessions" in result.reason
