"""One worker is one row at `/workers`, in however many ways events name it."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.config_distributed import WorkerConfig
from service.projections.worker_names import WorkerNames
from tests.monitor_server import Server, StartServer, config_with, event, running


@pytest.mark.parametrize("first", ["name", "address", "both"])
async def test_a_worker_named_in_two_ways_is_one_worker(server: Server, first: str) -> None:
    """A translator tells a worker's state by its name and its work by name and address: one worker, whichever
    comes first, with the state and slots of the one and the address and errors of the other."""
    state = {"worker": "gpu-a", "state": "up", "reason": "works", "slots": {"capacity": 4, "active": 2}}
    told = event("s1", "worker_status", data=state)
    where = {"host": "10.0.0.7", "port": 2200, "model": "llama"}
    await server.post(event("s1"))
    await server.post({"name": told, "address": event(worker_info=where)}.get(first, event("s1")))
    await server.post(event("s1", "translation_error", worker_info={**where, "name": "gpu-a"}, error="x"))
    await server.post(told)
    (worker,) = (await server.get("/workers"))["workers"]
    shown = {name: worker[name] for name in ("name", "host", "port", "state", "reason", "active", "errors")}
    assert shown == {
        "name": "gpu-a",
        "host": "10.0.0.7",
        "port": 2200,
        "state": "up",
        "reason": "works",
        "active": 2,
        "errors": 1,
    }


async def test_what_was_told_of_a_name_alone_is_told_of_its_worker(server: Server) -> None:
    """The name came first and the address without it: once both come together, one worker is left."""
    state = {"worker": "gpu-a", "state": "down", "slots": {"capacity": 4, "active": 3}}
    where = {"host": "10.0.0.7", "port": 2200}
    await server.post([event("s1"), event("s1", "worker_status", data=state), event("s1", worker_info=where)])
    assert len((await server.get("/workers"))["workers"]) == 2
    await server.post(event("s1", worker_info={**where, "name": "gpu-a"}))
    (worker,) = (await server.get("/workers"))["workers"]
    assert (worker["id"], worker["state"], worker["active"]) == ("10.0.0.7:2200", "down", 3)
    await server.post(event("s1", "worker_status", data={**state, "state": "up"}))
    (worker,) = (await server.get("/workers"))["workers"]
    assert worker["state"] == "up"


async def test_two_machines_of_one_name_are_two_workers(server: Server) -> None:
    """A name does not make one worker of two addresses."""
    for host in ("10.0.0.7", "10.0.0.8"):
        await server.post(event("s1", worker_info={"host": host, "port": 22, "name": "gpu"}))
    assert {w["id"] for w in (await server.get("/workers"))["workers"]} == {"10.0.0.7:22", "10.0.0.8:22"}


async def test_a_configured_address_is_its_worker_whatever_the_events_call_it(start: StartServer) -> None:
    """A translator with a configuration of its own calls the monitor's worker otherwise: still one worker."""
    server = await start(
        distributed={"workers": {"mine": WorkerConfig(host="10.0.0.7", port=2200, user="u")}}
    )
    state = {"worker": "theirs", "state": "up", "slots": {"capacity": 4, "active": 2}}
    where = {"host": "10.0.0.7", "port": 2200, "name": "theirs"}
    told = event("s1", "worker_status", data=state)
    await server.post([event("s1"), told, event("s1", worker_info=where), told])
    (worker,) = (await server.get("/workers"))["workers"]
    assert (worker["id"], worker["state"], worker["active"]) == ("mine", "unknown", 2)


async def test_what_was_taken_over_stays_so_through_a_restart(start: StartServer, tmp_path: Path) -> None:
    """The names that events taught are known again, and the row that was taken over does not come back."""
    state = {"worker": "gpu-a", "state": "up", "slots": {"capacity": 4, "active": 3}}
    where = {"host": "10.0.0.7", "port": 2200}
    told = event("s1", "worker_status", data=state)
    path = tmp_path / "events.db"
    async with running(config_with(path)) as server:
        await server.post([event("s1"), told, event("s1", worker_info=where)])
        await server.post(event("s1", worker_info={**where, "name": "gpu-a"}))
        assert len((await server.get("/workers"))["workers"]) == 1
    server = await start(path)
    await server.post(told)
    (worker,) = (await server.get("/workers"))["workers"]
    assert (worker["id"], worker["state"]) == ("10.0.0.7:2200", "up")


def test_names_taken_one_after_the_other_are_not_kept() -> None:
    """A producer that calls one machine by ten thousand names leaves one in the memory."""
    names = WorkerNames()
    for number in range(10_000):
        names.learn(f"w{number}", f"w{number}", None, None)
        assert names.learn("10.0.0.7:22", f"w{number}", "10.0.0.7", 22)
        names.forget(f"w{number}")
    assert names.of_status("w9999") == "10.0.0.7:22"
    assert names.of_status("w9998") == "w9998"
    assert len(names) == 1
