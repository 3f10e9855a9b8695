"""`doctor`: finds what is broken and says what to do, without changing anything or showing a key."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cli.checks import (
    State,
    check_alertmanager,
    check_disk,
    check_event_log,
    check_keys,
    check_notify,
    check_otlp,
    check_spool,
)
from service.config import EventLogConfig
from service.secret import Secret
from tests.monitor_process import MonitorProcess
from tests.sshd import Sshd

from .conftest import Run


@pytest.fixture(autouse=True)
def _free_port(environ: dict[str, str]) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        environ["MONITOR_SERVER_PORT"] = str(found.getsockname()[1])


async def checks_of(run: Run, code: int) -> dict[str, dict[str, Any]]:
    """The checks by name."""
    ended = await run("doctor", "--json")
    assert ended.code == code, ended.out
    return {check["name"]: check for check in json.loads(ended.out)["checks"]}


async def test_a_sound_machine_has_no_fault(run: Run, tmp_path: Path) -> None:
    """Exit code 0, and nothing has been made or changed."""
    found = await checks_of(run, 0)
    assert {
        "config",
        "server",
        "event log",
        "disk",
        "traces",
        "alerts",
        "notify",
        "workers",
        "engines",
        "spool",
    } <= found.keys()
    assert "the port is free" in found["server"]["found"]
    assert "does not exist yet and can be made" in found["event log"]["found"]
    assert os.listdir(tmp_path) == []


async def test_our_own_server_is_recognised(
    run: Run, environ: dict[str, str], monitor: MonitorProcess
) -> None:
    """A port held by the monitor itself is no fault, and its log is checked beside it."""
    environ["MONITOR_SERVER_PORT"] = str(monitor.port)
    environ["MONITOR_EVENT_LOG"] = f"sqlite:///{monitor.path}"
    found = await checks_of(run, 0)
    assert found["server"]["found"].startswith(f"runs at {monitor.url}")
    assert found["event log"]["found"].endswith("whole, 0 events")


async def test_a_stranger_on_the_port_is_named(run: Run, environ: dict[str, str]) -> None:
    """A busy port says who holds it and what to do."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = environ["MONITOR_SERVER_PORT"] = str(server.sockets[0].getsockname()[1])
        found = (await checks_of(run, 1))["server"]
    assert found["state"] == "broken"
    assert f"port {port} is held by" in found["found"]
    assert "MONITOR_SERVER_PORT" in found["advice"]


async def test_a_wrong_setting_is_found(run: Run, environ: dict[str, str]) -> None:
    """The configuration is read as the server would read it."""
    environ["MONITOR_MAX_CONNECTIONS"] = "0"
    found = (await checks_of(run, 1))["config"]
    assert found["found"].startswith("MONITOR_MAX_CONNECTIONS is 0; allowed:")


async def test_each_worker_is_probed(run: Run, environ: dict[str, str], sshd: Sshd) -> None:
    """One that can be used, and the same without its program: broken, with what to do."""
    environ |= {
        "SSH_WORKER_HOST": "127.0.0.1",
        "SSH_WORKER_PORT": str(sshd.port),
        "SSH_WORKER_USER": sshd.account.user,
        "SSH_WORKER_KEY_FILE": str(sshd.account.key),
        "SSH_WORKER_REMOTE_DIR": str(sshd.remote_dir),
        "SSH_WORKER_ENGINE_COMMAND": "tr a-z A-Z",
        "MONITOR_KNOWN_HOSTS": str(sshd.known_hosts),
        "PYTHONWARNINGS": "ignore",
    }
    found = (await checks_of(run, 0))["worker default"]
    assert found["state"] in (State.FINE, State.WARNING)  # a busy machine is degraded by its load
    assert found["found"].startswith(("up: ", "degraded: "))
    environ["SSH_WORKER_ENGINE_COMMAND"] = "no-such-translator"
    found = (await checks_of(run, 1))["worker default"]
    assert (found["state"], "install it there" in found["found"]) == (State.BROKEN, True)
    assert "workers check default" in found["advice"]


async def test_no_key_is_shown(run: Run, environ: dict[str, str]) -> None:
    """Keys are only ever "set" or "not set"."""
    environ["OPENAI_API_KEY"] = "hush-1"
    environ["OPENAI_BASE_URL"] = "http://user:hush-2@127.0.0.1:9/v1"
    environ["OTEL_EXPORTER_OTLP_HEADERS"] = "authorization=hush-3"
    for arguments in (("doctor",), ("doctor", "--json")):
        ended = await run(*arguments)
        assert ended.code == 0
        assert "hush" not in ended.out + ended.err
    assert "OPENAI_API_KEY" in ended.out


def test_a_key_with_white_space_is_a_fault() -> None:
    """A copied line end in a key is the usual reason for a refused one."""
    found = {check.name: check for check in check_keys({"OPENAI_API_KEY": "k\n", "DEEPSEEK_API_KEY": "k"})}
    assert found["OPENAI_API_KEY"].state is State.BROKEN
    assert found["DEEPSEEK_API_KEY"].found == "set"
    assert found["ANTHROPIC_API_KEY"].found == "not set"


def test_a_collector_that_does_not_answer_is_found() -> None:
    """The OTLP endpoint is tried by a connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert check_otlp({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}).state is State.FINE
    dead = check_otlp({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
    assert dead.state is State.BROKEN
    assert "start the collector" in dead.advice
    assert check_otlp({}).state is State.FINE
    assert check_otlp({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://:x"}).state is State.BROKEN
    assert (
        check_otlp({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SDK_DISABLED": "true"}).state is State.FINE
    )


def test_an_alertmanager_that_does_not_answer_is_found() -> None:
    """Its address is tried by a connection; the password in it is not shown."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Secret(f"http://ana:hush@127.0.0.1:{server.getsockname()[1]}")
        assert check_alertmanager(address).state is State.FINE
    dead = check_alertmanager(address)
    assert dead.state is State.BROKEN
    assert "correct MONITOR_ALERTMANAGER_URL" in dead.advice
    assert "hush" not in str(dead)
    assert check_alertmanager(None).state is State.FINE


def test_an_address_nobody_knows_is_found() -> None:
    """Whom to tell is looked at without telling anybody, and no address is shown."""
    assert check_notify([]).state is State.FINE
    fine = check_notify([Secret("ntfy://hush@127.0.0.1/t"), Secret("json://127.0.0.1:9/x")])
    assert fine.found == "people are told at 1 (ntfy), 2 (json)"
    broken = check_notify([Secret("json://127.0.0.1/x"), Secret("pigeon://hush")])
    assert broken.state is State.BROKEN
    assert "address 2 (pigeon://…)" in broken.found
    assert "hush" not in str(fine) + str(broken)


async def test_a_damaged_log_comes_with_a_way_on(tmp_path: Path, monitor: MonitorProcess) -> None:
    """A torn file, another program's and none at all are told apart."""
    await monitor.stop()
    config = EventLogConfig(url=f"sqlite:///{monitor.path}")
    assert check_event_log(config).found == f"{monitor.path}: whole, 0 events"
    data = bytearray(monitor.path.read_bytes())
    data[4096:8192] = b"\xff" * 4096
    monitor.path.write_bytes(data)
    torn = check_event_log(config)
    assert torn.state is State.BROKEN
    assert "is damaged" in torn.found
    assert "mv " in torn.found

    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE t (x)")
    assert (
        "not an event log of this program"
        in check_event_log(EventLogConfig(url=f"sqlite:///{foreign}")).found
    )
    text = tmp_path / "notes.txt"
    text.write_text("not a database " * 100)
    assert check_event_log(EventLogConfig(url=f"sqlite:///{text}")).state is State.BROKEN
    assert check_event_log(EventLogConfig(url="memory:")).state is State.WARNING


def test_events_left_behind_are_told(tmp_path: Path) -> None:
    """A spool that waits says how to deliver it."""
    assert check_spool(tmp_path / "none").state is State.FINE
    journal = tmp_path / "127.0.0.1_8090-x" / "journal"
    journal.mkdir(parents=True)
    (journal / "00000001.0.ndjson").write_text("{}\n" * 1000)
    waiting = check_spool(tmp_path)
    assert waiting.state is State.WARNING
    assert "3 kB" in waiting.found
    assert f"emit --spool {tmp_path}" in waiting.advice


def test_the_disk_is_that_of_the_log(tmp_path: Path) -> None:
    """A folder that does not exist yet is judged by the nearest one that does."""
    found = check_disk(EventLogConfig(url=f"sqlite:///{tmp_path}/a/b/events.db"))
    assert str(tmp_path) in found.found
    assert "GB free" in found.found
