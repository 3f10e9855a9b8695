"""Service and translation together: a worker that is drained, one that is down, slots of two translations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import fleet
from tests.alerting import until
from tests.cli.conftest import Run, Start
from tests.monitor_process import MonitorProcess
from tests.sshd import Sshd, asked, make_key, words_program

PROBE_EVERY_S = 1.0
LINES = [f"line {n} of the keeper and his long book" for n in range(40)]
TEXT = "\n\n".join(LINES) + "\n"


@pytest.fixture(autouse=True)
def quiet_libraries(environ: dict[str, str]) -> None:
    """Warnings of the SSH library are not ours to fail for."""
    environ["PYTHONWARNINGS"] = "ignore"


def fleet_config(folder: Path, pause_s: float, capacity: int, **sshds: Sshd) -> Path:
    """A configuration with these workers, each taking so long for a line."""
    workers = {
        name: fleet.worker(sshd, command=words_program(sshd, pause_s=pause_s)) | {"max_capacity": capacity}
        for name, sshd in sshds.items()
    }
    return fleet.write_config(folder, sshds, workers, health_check_interval=PROBE_EVERY_S)


def translate(
    folder: Path, config: Path, monitor: MonitorProcess, session: str, text: str = TEXT
) -> list[str]:
    """The arguments of a translation of its own document."""
    (folder / f"{session}.md").write_text(text)
    return [
        "translate", str(folder / f"{session}.md"), "-o", str(folder / f"{session}.out.md"),
        "--from", "en", "--to", "es", "--engine", "ssh", "--config", str(config),
        "--session-id", session, "--monitor", monitor.url,
    ]  # fmt: skip


async def until_asked(sshd: Sshd, count: int) -> None:
    """Wait until the worker has been given so many lines."""

    async def is_so() -> bool:
        return len(asked(sshd)) >= count

    await until(is_so, f"the worker has been asked {count} times")


@pytest.mark.slow
async def test_a_drained_worker_ends_what_it_has_and_gets_nothing_new_until_undrained(
    start: Start, run: Run, start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    """Drained in the middle of a translation, the others do the rest; undrained, it works again."""
    one, other = start_sshd(), start_sshd()
    config = fleet_config(tmp_path, 0.3, 1, one=one, other=other)
    async with fleet.probing_monitor(tmp_path, config) as monitor:
        # So long that there is work left when a busy machine has started the command that drains.
        text = f"{TEXT}\n{TEXT}\n{TEXT}"
        command = await start(*translate(tmp_path, config, monitor, "book", text))
        await until_asked(one, 1)
        drained = await run("workers", "drain", "one", "--reason", "new disk", "--monitor", monitor.url)
        assert drained.code == 0, drained.err

        async def is_heard() -> bool:
            told = await fleet.events_of(monitor, "book")
            return any(
                (e["data"]["worker"], e["data"]["state"]) == ("one", "draining")
                for e in told
                if e["type"] == "worker_status"
            )

        await until(is_heard, "the translation knows that the worker is drained")
        given = len(asked(one))
        others = len(asked(other))
        await until_asked(other, others + 4)
        assert len(asked(one)) == given, "a drained worker was given new work"
        assert not one.account.processes(f"words-{one.port}"), "what it had in hand has ended"
        assert (await monitor.get("/workers/one"))["reason"] == "drained: new disk"

        undrained = await run("workers", "undrain", "one", "--monitor", monitor.url)
        assert undrained.code == 0, undrained.err
        await until_asked(one, given + 1)
        code, err = await fleet.ended(command.process, 90)
        assert code == 0, err
        assert "worker one is draining: drained: new disk" in err
        assert "worker one takes work again" in err
        told = await fleet.events_of(monitor, "book")
        by = fleet.done_by(told)
        session = await monitor.get("/sessions/book")
    assert (session["status"], session["errors"]) == ("completed", 0)
    assert (tmp_path / "book.out.md").read_text() == text.upper()
    assert sorted(by) == list(range(1, 3 * len(LINES) + 1))
    usages = [u for event in told for u in event.get("usage", [])]
    assert {u["result"] for u in usages} == {"success"}, "what it had in hand came to its end"
    assert len(usages) == 3 * len(LINES)
    assert len(asked(one)) == sum(worker == "one" for worker in by.values())


@pytest.mark.slow
async def test_a_worker_the_monitor_calls_down_gets_no_work(
    start: Start, start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    """The translator could well use it: it obeys all the same, until the monitor calls the worker up."""
    well, shunned = start_sshd(), start_sshd()
    folder = tmp_path / "monitor"
    folder.mkdir()
    watched = fleet_config(folder, 0.3, 1, well=well, shunned=shunned)
    config = fleet_config(tmp_path, 0.3, 1, well=well, shunned=shunned)
    async with fleet.probing_monitor(folder, watched) as monitor:
        # The monitor alone takes the worker's host for another one, from its next connection on.
        known = (folder / "known_hosts").read_text()
        other_key = make_key(shunned.folder / "other").with_suffix(".pub").read_text()
        (folder / "known_hosts").write_text(
            well.known_hosts.read_text() + f"[127.0.0.1]:{shunned.port} {other_key}"
        )
        shunned.cut()
        shunned.start()
        await until_mismatch(monitor, "shunned")
        command = await start(*translate(tmp_path, config, monitor, "book"))
        await until_asked(well, 6)
        assert not asked(shunned)
        told = await fleet.events_of(monitor, "book")
        heard = [e["data"] for e in told if e["type"] == "worker_status" and e["data"]["worker"] == "shunned"]
        assert heard[-1]["state"] == "down"
        assert heard[-1]["reason"] == (await monitor.get("/workers/shunned"))["reason"]
        (folder / "known_hosts").write_text(known)
        await until_asked(shunned, 2)
        assert (await monitor.get("/workers/shunned"))["state"] in fleet.TAKES_WORK
        code, err = await fleet.ended(command.process, 60)
        assert code == 0, err
    assert (tmp_path / "book.out.md").read_text() == TEXT.upper()


async def until_mismatch(monitor: MonitorProcess, worker: str) -> None:
    """Wait until a probe has met another host key there."""

    async def is_so() -> bool:
        return (await monitor.get(f"/workers/{worker}"))["probe_result"] == "host_key_mismatch"

    await until(is_so, "a probe meets another host key")


async def test_active_slots_are_the_sum_over_two_translations(
    start: Start, sshd: Sshd, tmp_path: Path
) -> None:
    """Each reports its own slots and tokens; the monitor adds them up while both live."""
    config = fleet_config(tmp_path, 0.5, 2, **{"gpu-1": sshd})
    slots = 'translation_worker_active_slots{worker="gpu-1"}'
    async with fleet.probing_monitor(tmp_path, config) as monitor:
        assert (await monitor.metrics()).get(slots, 0) == 0
        first = await start(*translate(tmp_path, config, monitor, "first"))
        second = await start(*translate(tmp_path, config, monitor, "second"))

        async def all_are_told() -> bool:
            return (await monitor.metrics()).get(slots) == 4

        await until(all_are_told, "two translations hold two slots each")
        for session in ("first", "second"):
            told = await fleet.events_of(monitor, session)
            held = [e["data"]["slots"] for e in told if e["type"] == "worker_status" and "slots" in e["data"]]
            assert {"capacity": 2, "active": 2} in held
        assert (await monitor.get("/workers/gpu-1"))["active"] == 4
        assert (await first.stop()).code == 130
        assert (await monitor.metrics())[slots] == 2
        assert (await second.stop()).code == 130
        assert (await monitor.metrics())[slots] == 0
