"""`translate --engine ssh` as a person runs it: real workers that die, hang and dawdle, a real monitor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import WAIT_S, Command, Run, Start
from tests.monitor_process import MonitorProcess
from tests.sshd import Sshd, asked, make_key, words_program

LINES = [f"line {n} of the keeper and his **long** book" for n in range(24)]
TEXT = "# the book\n\n" + "\n\n".join(LINES) + "\n\n- `code` stays\n"
WANTED = TEXT.upper().replace("`CODE`", "`code`")


@pytest.fixture(autouse=True)
def quiet_libraries(environ: dict[str, str]) -> None:
    """Warnings of the SSH library are not ours to fail for."""
    environ["PYTHONWARNINGS"] = "ignore"


def config(tmp_path: Path, workers: Mapping[str, tuple[Sshd, str]], **more: Any) -> Path:
    """A configuration file with these workers: an sshd each, and what it runs."""
    path = tmp_path / "config.json"
    known = tmp_path / "known_hosts"
    known.write_text("".join(sshd.known_hosts.read_text() for sshd, _ in workers.values()))
    path.write_text(json.dumps({
        "distributed": {
            "enabled": True,
            "ssh_timeout": 5,
            "ssh_max_retries": 0,
            "known_hosts": str(known),
            "workers": {
                name: {
                    "host": "127.0.0.1", "port": sshd.port, "user": sshd.account.user,
                    "key_file": str(sshd.account.key), "remote_dir": str(sshd.remote_dir),
                    "engine": {"kind": "command", "command": command}, **more,
                }
                for name, (sshd, command) in workers.items()
            },
        },
    }))  # fmt: skip
    return path


def arguments(tmp_path: Path, config: Path, session: str, *more: str) -> list[str]:
    """`translate in.md -o out.md` with the workers of a configuration."""
    (tmp_path / "in.md").write_text(TEXT)
    return [
        "translate", str(tmp_path / "in.md"), "-o", str(tmp_path / "out.md"), "--from", "en", "--to", "es",
        "--config", str(config), "--session-id", session, *more,
    ]  # fmt: skip


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  # another process's doing
            await asyncio.sleep(0.02)


async def events(monitor: MonitorProcess, session: str) -> list[dict[str, Any]]:
    return list((await monitor.get(f"/sessions/{session}/events?limit=1000"))["events"])


async def test_three_workers_one_killed_one_wedged_one_slow(
    start: Start, start_sshd: Callable[..., Sshd], monitor: MonitorProcess, tmp_path: Path
) -> None:
    """The output is complete, in order, each segment once; the monitor tells the same story."""
    killed, wedged, slow = start_sshd(), start_sshd(), start_sshd()
    file = config(tmp_path, {
        "killed": (killed, words_program(killed, pause_s=0.3)),
        "wedged": (wedged, words_program(wedged, hang=True)),
        "slow": (slow, words_program(slow, pause_s=0.2)),
    })  # fmt: skip
    command: Command = await start(
        *arguments(tmp_path, file, "book", "--monitor", monitor.url, "--engine", "ssh"),
        "--answer-timeout", "3",
    )  # fmt: skip
    await until(lambda: len(asked(killed)) > 1 and len(asked(wedged)) > 0)
    killed.cut()
    ended = await command.end()
    assert ended.code == 0, ended.err
    assert "worker killed is down: " in ended.err, "the person at the terminal is told too"
    assert (tmp_path / "out.md").read_text() == WANTED
    session = await monitor.get("/sessions/book")
    assert (session["status"], session["failed_items"], session["engine"]) == ("completed", 0, "ssh")
    assert session["items_done"] == session["total_items"] == len(LINES) + 2
    told = await events(monitor, "book")
    segments = [e["data"]["segment"] for e in told if "segment" in (e.get("data") or {})]
    assert len(segments) == len(set(segments)) == session["total_items"]
    assert {"killed", "slow"} <= set(session["workers"])
    usages = [u for e in told for u in e.get("usage", [])]
    assert {(u["worker"], u["result"]) for u in usages} >= {
        ("killed", "worker_lost"), ("wedged", "timeout"), ("slow", "success"),
    }  # fmt: skip
    states = {(e["data"]["worker"], e["data"]["state"]) for e in told if e["type"] == "worker_status"}
    assert {("slow", "up"), ("killed", "down")} <= states
    assert not wedged.account.processes("sleep 300")


async def test_with_all_workers_dead_the_session_is_lost_and_another_engine_goes_on(
    start: Start, run: Run, start_sshd: Callable[..., Sshd], monitor: MonitorProcess, tmp_path: Path
) -> None:
    """`lost`, exit code 1; what was done is kept, and `--resume` finishes it with another engine."""
    one, two = start_sshd(), start_sshd()
    file = config(tmp_path, {
        "one": (one, words_program(one, pause_s=0.2)), "two": (two, words_program(two, pause_s=0.2)),
    })  # fmt: skip
    usual = arguments(tmp_path, file, "dead", "--monitor", monitor.url)
    command = await start(*usual, "--patience", "1")
    await until(lambda: len(asked(one)) > 1 and len(asked(two)) > 1)
    one.cut()
    two.cut()
    ended = await command.end()
    assert ended.code == 1
    assert "no worker has taken work" in ended.err
    assert "--resume" in ended.err
    session = await monitor.get("/sessions/dead")
    assert session["status"] == "lost"
    assert not (tmp_path / "out.md").exists()

    resumed = await run(*usual, "--engine", "glossary", "--resume")
    assert resumed.code == 0, resumed.err
    out = (tmp_path / "out.md").read_text()
    assert out.startswith("# THE BOOK")
    assert "libro" in out
    assert (await monitor.get("/sessions/dead"))["status"] == "completed"


async def test_a_wrong_host_key_ends_it_at_once_and_says_so(
    run: Run, sshd: Sshd, monitor: MonitorProcess, tmp_path: Path
) -> None:
    """Nothing is sent to a host whose key is another one, and no other engine steps in."""
    other = make_key(sshd.folder / "other").with_suffix(".pub").read_text()
    pinned = " ".join(other.split()[:2])
    file = config(tmp_path, {"gpu-1": (sshd, words_program(sshd))}, host_key=pinned)
    ended = await run(*arguments(tmp_path, file, "key", "--monitor", monitor.url))
    assert ended.code == 1
    assert "gpu-1" in ended.err
    assert "key" in ended.err
    assert not asked(sshd)
    assert not (tmp_path / "out.md").exists()
    assert (await monitor.get("/sessions/key"))["status"] == "failed"
    (failure,) = [e for e in await events(monitor, "key") if e["type"] == "translation_error"]
    assert (failure["error_type"], failure["fatal"]) == ("host_key", True)


async def test_a_missing_program_is_told_at_the_start_and_the_others_do_the_work(
    run: Run, start_sshd: Callable[..., Sshd], monitor: MonitorProcess, tmp_path: Path
) -> None:
    """Before the first segment, with what to do; where no worker is left it ends there, exit code 1."""
    good, bare = start_sshd(), start_sshd()
    file = config(tmp_path, {"good": (good, words_program(good)), "bare": (bare, "no-such-translator -x")})
    ended = await run(*arguments(tmp_path, file, "some", "--monitor", monitor.url))
    assert ended.code == 0, ended.err
    assert (tmp_path / "out.md").read_text() == WANTED
    told = "worker bare is down: the worker has no program no-such-translator; install it there"
    before, _, after = ended.err.partition("Translating ")
    assert told in before
    assert "bare" not in after.partition("Wrote ")[0]
    assert "Engine: 1 of 2 SSH workers" in before
    session = await monitor.get("/sessions/some")
    assert (session["status"], session["errors"]) == ("completed", 0)

    (tmp_path / "out.md").unlink()
    file = config(tmp_path, {"bare": (bare, "no-such-translator -x")})
    ended = await run(*arguments(tmp_path, file, "none", "--monitor", monitor.url))
    assert ended.code == 1
    last = ended.err.strip().splitlines()[-1]
    assert last.startswith("translation-monitor translate: no SSH worker can be used: bare: ")
    assert ended.err.count("install it there") == 1, "told once"
    assert "install it there" in last
    assert not (tmp_path / "out.md").exists()
    session = await monitor.get("/sessions/none")
    assert (session["status"], session["items_done"]) == ("failed", None)
    (failure,) = [e for e in await events(monitor, "none") if e["type"] == "translation_error"]
    assert (failure["error_type"], failure["fatal"]) == ("engine_down", True)


async def test_a_program_outside_the_workers_list_is_refused_before_anything_is_sent(
    run: Run, sshd: Sshd, tmp_path: Path
) -> None:
    """Exit code 2, naming what was allowed, without a login; named in the list, it is run."""
    usual = {"gpu-1": (sshd, words_program(sshd))}
    nobody = ("--monitor", "http://127.0.0.1:9")
    file = config(tmp_path, usual, allow=["apertium", "llama-cli"])
    ended = await run(*arguments(tmp_path, file, "no", *nobody))
    assert ended.code == 2
    assert "gpu-1.engine.command runs /bin/sh" in ended.err
    assert "allowed: apertium, llama-cli." in ended.err
    assert "Accepted publickey" not in (sshd.folder / "log").read_text()
    file = config(tmp_path, usual, allow=["apertium", "/bin/sh"])
    ended = await run(*arguments(tmp_path, file, "yes", *nobody))
    assert ended.code == 0, ended.err
    assert "Accepted publickey" in (sshd.folder / "log").read_text()
    assert (tmp_path / "out.md").read_text() == WANTED


async def test_workers_that_are_not_configured_are_wrong_usage(run: Run, sshd: Sshd, tmp_path: Path) -> None:
    """Exit code 2, with what there is and what to name: nothing has been tried."""
    file = config(tmp_path, {"gpu-1": (sshd, words_program(sshd))}, tags=["cuda", "fast"])
    tags = await run(*arguments(tmp_path, file, "tags", "--tags", "rocm"))
    assert (tags.code, "has the tags rocm; there are: cuda, fast." in tags.err) == (2, True)
    file.write_text("{}")
    none = await run(*arguments(tmp_path, file, "none", "--engine", "ssh"))
    assert (none.code, "name a file with --config" in none.err) == (2, True)
    assert not asked(sshd)


async def test_ctrl_c_leaves_nothing_running_on_the_workers(
    start: Start, sshd: Sshd, monitor: MonitorProcess, tmp_path: Path
) -> None:
    """The programs are ended on the far side, their folders gone; the session is cancelled."""
    file = config(tmp_path, {"gpu-1": (sshd, words_program(sshd, hang=True))}, max_capacity=3)
    command = await start(*arguments(tmp_path, file, "stop", "--monitor", monitor.url))
    await until(lambda: len(sshd.account.processes("sleep 300")) == 3)
    ended = await command.stop()
    assert ended.code == 130, ended.err
    await until(lambda: not sshd.account.processes("sleep 300") and not sshd.leftovers())
    assert (await monitor.get("/sessions/stop"))["status"] == "cancelled"


async def test_a_single_worker_from_the_environment_is_watched_checked_and_used(
    start: Start, sshd: Sshd, tmp_path: Path, environ: dict[str, str]
) -> None:
    """`SSH_WORKER_*` alone are enough for `serve`, `workers check` and `translate`."""
    environ |= {
        "SSH_WORKER_HOST": "127.0.0.1",
        "SSH_WORKER_PORT": str(sshd.port),
        "SSH_WORKER_USER": sshd.account.user,
        "SSH_WORKER_KEY_FILE": str(sshd.account.key),
        "SSH_WORKER_REMOTE_DIR": str(sshd.remote_dir),
        "SSH_WORKER_ENGINE_COMMAND": words_program(sshd),
        "MONITOR_KNOWN_HOSTS": str(sshd.known_hosts),
    }
    checked = await (await start("workers", "check")).end()
    assert (checked.code, "default  up" in checked.out or "default  degraded" in checked.out) == (0, True)
    watching = MonitorProcess(tmp_path / "one.db", environ=environ)
    await watching.start()
    try:
        (tmp_path / "in.md").write_text(TEXT)
        command = await start(
            "translate", str(tmp_path / "in.md"), "-o", str(tmp_path / "out.md"), "--from", "en",
            "--to", "es", "--engine", "ssh", "--session-id", "book", "--monitor", watching.url,
        )  # fmt: skip
        ended = await command.end()
        assert ended.code == 0, ended.err
        assert (tmp_path / "out.md").read_text() == WANTED
        worker = await watching.get("/workers/default")
        assert (worker["configured"], worker["engine"], worker["last_session"]) == (True, "command", "book")
    finally:
        await watching.kill()
