"""Reading over HTTP: shapes, limits, problems. Source: docs/protocol.md, "HTTP"."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import pytest
from yarl import URL

from tests.monitor_server import Server, event

SESSION_FIELDS = {
    *("session_id", "kind", "status", "progress", "step", "message", "current_item", "items_done"),
    *("total_items", "started_at", "updated_at", "ended_at", "duration_s", "eta_s", "errors", "last_error"),
    *("failed_items", "workers", "engine", "model", "usage", "trace_id", "attempt", "first_seq", "last_seq"),
}
WORKER = {"host": "gpu-1", "port": 2222, "type": "ssh-llamacpp", "model": "llama", "capacity": 4}


async def _finish(server: Server, session_id: str, **fields: Any) -> None:
    await server.post([event(session_id, "translation_started"), event(session_id, **fields)])
    await server.post(event(session_id, "translation_completed"))


async def _problem(server: Server, path: str, status: int, **kwargs: Any) -> Any:
    method = kwargs.pop("method", "GET")
    url = URL(server.url + path, encoded=True)
    async with server.client.request(method, url, allow_redirects=False, **kwargs) as response:
        assert response.status == status, await response.text()
        assert response.content_type == "application/problem+json"
        problem = orjson.loads(await response.read())
        assert problem["status"] == status
        assert problem["title"]
        assert problem["detail"]
        return problem


async def test_a_session_is_shown_with_every_field(server: Server) -> None:
    """The shape of a session, while it runs and when it has ended."""
    started = time.time() - 60
    await server.post(
        [
            event("book", "translation_started", step="parsing", total_items=10, timestamp=started),
            event("book", "step_completed", step="parsing", timestamp=started + 1),
            event(
                "book",
                step="translation",
                message="Translating line 4/10",
                progress=55.0,
                current_item="line_4",
                timestamp=started + 10,
                worker_info=WORKER,
                usage={"provider": "openai", "model": "m", "input_tokens": 10, "output_tokens": 5},
            ),
            event("book", "translation_error", error="Connection timeout", timestamp=started + 11),
        ]
    )
    session = await server.get("/sessions/book")
    assert set(session) >= SESSION_FIELDS
    assert session["kind"] == "translation"
    assert session["status"] == "running"
    assert session["progress"] == 55.0
    assert session["step"] == "translation"
    assert (session["current_item"], session["items_done"], session["total_items"]) == ("line_4", 4, 10)
    assert session["started_at"] == pytest.approx(started, abs=0.001)
    assert session["updated_at"] == pytest.approx(started + 11, abs=0.001)
    assert session["ended_at"] is None
    assert session["duration_s"] == pytest.approx(60, abs=5)
    assert session["eta_s"] is None
    assert (session["errors"], session["last_error"]) == (1, "Connection timeout")
    assert session["workers"] == ["gpu-1:2222"]
    assert (session["usage"]["input_tokens"], session["usage"]["output_tokens"]) == (10, 5)
    assert len(session["trace_id"]) == 32
    assert (session["attempt"], session["first_seq"], session["last_seq"]) == (1, 1, 4)
    (listed,) = (await server.get("/sessions"))["sessions"]
    assert {**listed, "duration_s": 0} == {**session, "duration_s": 0}

    await server.post(event("book", "translation_completed", failed_items=1, timestamp=started + 20))
    ended = await server.get("/sessions/book")
    assert ended["status"] == "completed_with_failures"
    assert ended["failed_items"] == 1
    assert ended["progress"] == 100.0
    assert ended["ended_at"] == pytest.approx(started + 20, abs=0.001)
    assert ended["duration_s"] == pytest.approx(20, abs=0.001)
    assert (await server.get("/sessions"))["sessions"] == []
    assert (await server.get("/sessions/history"))["sessions"] == [ended]


async def test_active_sessions_come_newest_first(server: Server) -> None:
    """`/sessions`: the active ones."""
    await server.post([event(s) for s in ("a", "b", "c", "a")])
    assert [s["session_id"] for s in (await server.get("/sessions"))["sessions"]] == ["a", "c", "b"]


async def test_history_pages_through_every_ended_session_once(server: Server) -> None:
    """`before` is the `last_seq` of the last row, answers carry `next_before`; newest first."""
    for number in range(25):
        await _finish(server, f"s{number:02}")
    await server.post(event("running"))
    seen: list[str] = []
    path = "/sessions/history?limit=7"
    pages = 0
    while True:
        page = await server.get(path)
        pages += 1
        assert len(page["sessions"]) <= 7
        seen += [s["session_id"] for s in page["sessions"]]
        if page["next_before"] is None:
            break
        assert page["next_before"] == page["sessions"][-1]["last_seq"]
        path = f"/sessions/history?limit=7&before={page['next_before']}"
    assert seen == [f"s{number:02}" for number in reversed(range(25))]
    assert pages == 4


async def test_history_is_filtered_by_status_and_searched(server: Server) -> None:
    """`status` takes several names, `q` looks into ids, messages, errors, workers, engine and model."""
    await _finish(server, "good", message="Chapter One")
    await server.post([event("bad"), event("bad", "translation_error", fatal=True, error="Disk FULL")])
    await server.post([event("left"), event("left", "translation_cancelled")])
    await _finish(server, "remote", worker_info={"name": "Thinker", "host": "h"}, data={"engine": "llm"})

    async def found(query: str) -> list[str]:
        return [s["session_id"] for s in (await server.get(f"/sessions/history?{query}"))["sessions"]]

    assert await found("") == ["remote", "left", "bad", "good"]
    assert await found("status=failed") == ["bad"]
    assert await found("status=failed,cancelled") == ["left", "bad"]
    assert await found("status=running") == []
    assert await found("q=chapter%20one") == ["good"]
    assert await found("q=disk%20full") == ["bad"]
    assert await found("q=THINKER") == ["remote"]
    assert await found("q=llm&status=completed") == ["remote"]
    assert await found("q=nothing%20like%20it") == []


async def test_a_sessions_events_come_in_order_page_by_page(server: Server) -> None:
    """`{"events":[…],"next_after":SEQ|null}`: every event once, as it was relayed."""
    await server.post([event(f"s{n % 2}", message=f"m{n}", extra={"kept": n}) for n in range(50)])
    path, seen, pages = "/sessions/s1/events?limit=10", [], 0
    while True:
        page = await server.get(path)
        pages += 1
        seen += page["events"]
        if page["next_after"] is None:
            break
        assert page["next_after"] == page["events"][-1]["seq"]
        path = f"/sessions/s1/events?limit=10&after={page['next_after']}"
    assert [e["seq"] for e in seen] == list(range(2, 51, 2))
    assert [e["extra"]["kept"] for e in seen] == list(range(1, 50, 2))
    assert pages == 3
    ws = await server.ws("session_id=s1&after=0")
    assert [(await ws.receive_json(timeout=10)) for _ in seen] == seen


async def test_a_sessions_events_can_be_filtered_by_type(server: Server) -> None:
    """`types=` keeps to the types named; a page that is exactly full has no next."""
    await _finish(server, "s1")
    page = await server.get("/sessions/s1/events?types=translation_started,translation_completed&limit=2")
    assert [e["type"] for e in page["events"]] == ["translation_started", "translation_completed"]
    assert page["next_after"] is None


async def test_the_events_of_all_sessions_come_page_by_page(server: Server) -> None:
    """`GET /events`: the whole log in order, each event once, under the same limits."""
    published = await server.post([event(f"s{n % 3}", message=f"m{n}") for n in range(25)])
    path, seen = "/events?limit=10", []
    while True:
        page = await server.get(path)
        assert len(page["events"]) <= 10
        seen += page["events"]
        if page["next_after"] is None:
            break
        assert page["next_after"] == page["events"][-1]["seq"]
        path = f"/events?limit=10&after={page['next_after']}"
    assert [e["seq"] for e in seen] == [result["seq"] for result in published[1]["results"]]
    assert [e["message"] for e in seen] == [f"m{n}" for n in range(25)]
    ws = await server.ws("after=0")
    assert [(await ws.receive_json(timeout=10)) for _ in seen] == seen
    assert (await server.get("/events?types=step_completed")) == {"events": [], "next_after": None}
    for query in ("limit=0", "limit=1001", "after=x", "types=nonsense"):
        assert (await _problem(server, f"/events?{query}", 400))["code"] == "bad_request"


async def test_limits_are_1_to_1000(server: Server) -> None:
    """`limit` 1–1000, 100 if absent."""
    await server.post([event() for _ in range(1200)])
    assert len((await server.get("/sessions/s1/events"))["events"]) == 100
    assert len((await server.get("/sessions/s1/events?limit=1000"))["events"]) == 1000
    for limit in ("0", "1001", "-1", "x", "1e3", "9" * 5000, "%D9%A1"):
        problem = await _problem(server, f"/sessions/s1/events?limit={limit}", 400)
        assert (problem["code"], problem["field"]) == ("bad_request", "limit")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/sessions/s1/events?after=x", "after"),
        ("/sessions/s1/events?after=9223372036854775808", "after"),
        ("/sessions/s1/events?types=nonsense", "types"),
        ("/sessions/history?before=-1", "before"),
        ("/sessions/history?status=done", "status"),
        ("/sessions/history?limit=0", "limit"),
    ],
)
async def test_a_wrong_parameter_is_named(server: Server, path: str, field: str) -> None:
    """`application/problem+json` with a stable code, the parameter and what is allowed."""
    problem = await _problem(server, path, 400)
    assert (problem["code"], problem["field"]) == ("bad_request", field)
    assert "allowed" in problem["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/sessions/unknown",
        "/sessions/unknown/events",
        "/workers/unknown",
        "/nothing",
        "/sessions/a/b/c",
        "/sessions/%00",
        "/sessions/%FF%FE",
        "/sessions/%ED%A0%80",
        "/x%ED%A0%80%0A",
        "/sessions/a%2Fb/events",
        "/sessions/..%2F..%2Fetc%2Fpasswd",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2fapp.py",
        "/sessions/" + "x" * 4000,
        "/sessions/s'%20OR%20'1'='1",
    ],
)
async def test_what_is_not_there_is_a_404_problem(server: Server, path: str) -> None:
    """Unknown paths and hostile characters: 404, code `not_found`, nothing of the inside."""
    await server.post(event())
    assert (await _problem(server, path, 404))["code"] == "not_found"


async def test_a_wrong_method_says_which_are_allowed(server: Server) -> None:
    """405 with `Allow`."""
    problem = await _problem(server, "/workers/x/drain", 405)
    assert problem["code"] == "method_not_allowed"
    async with server.client.delete(f"{server.url}/sessions/x") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD"


async def test_head_answers_as_get_without_a_body(server: Server) -> None:
    """HEAD is GET without the body."""
    await server.post(event())
    for path in (
        "/status",
        "/sessions",
        "/sessions/s1",
        "/healthz",
        "/readyz",
        "/health",
        "/metrics",
        "/monitor",
    ):
        async with server.client.head(server.url + path) as response:
            assert response.status == 200, path
            assert await response.read() == b""


async def test_status_counts_what_there_is(server: Server) -> None:
    """`/status`: version, uptime, the log, counts of sessions, viewers, publishers, events, workers."""
    await _finish(server, "done", worker_info=WORKER)
    await server.post(event("running"))
    await server.ws("role=viewer&client_id=me&session_id=running&types=translation_progress")
    await server.ws("role=publisher")
    status = await server.get("/status?connections=1")
    assert status["version"]
    assert status["uptime_s"] >= 0
    log = status["event_log"]
    assert (log["kind"], log["first_seq"], log["last_seq"], log["durable"]) == ("memory", 1, 4, False)
    assert log["id"]
    assert log["size_bytes"] > 0
    assert status["events"] == 4
    assert (status["sessions"]["running"], status["sessions"]["completed"]) == (1, 1)
    assert (status["viewers"], status["publishers"], status["workers"]) == (1, 1, 1)
    viewer, publisher = sorted(status["connections"], key=lambda c: c["role"], reverse=True)
    assert (viewer["client_id"], viewer["role"], viewer["lag"]) == ("me", "viewer", 0)
    assert viewer["filter"] == {"session_id": "running", "types": ["translation_progress"]}
    assert viewer["since"] <= time.time()
    assert (publisher["client_id"], publisher["role"], publisher["lag"]) == (None, "publisher", None)
    assert "connections" not in await server.get("/status")


async def test_workers_are_shown_as_events_name_them(server: Server) -> None:
    """`/workers`, `/workers/{id}`: state and reason, capacity, active, last seen, models, errors."""
    await server.post([event(worker_info=WORKER), event(data={"worker_info": {**WORKER, "model": "other"}})])
    await server.post(event("s1", "translation_error", worker_info=WORKER, error="x"))
    (worker,) = (await server.get("/workers"))["workers"]
    assert (worker["id"], worker["state"], worker["capacity"], worker["errors"]) == (
        "gpu-1:2222",
        "unknown",
        4,
        1,
    )
    assert worker["models"] == ["other", "llama"]
    assert worker["last_seen"] <= time.time()
    assert await server.get("/workers/gpu-1:2222") == worker


async def test_the_earlier_programs_routes_answer_as_before(server: Server) -> None:
    """`/health` and `/api/v1/status/{id}` as the earlier program answered."""
    await server.ws("role=viewer")
    assert await server.get("/health") == {
        "status": "healthy",
        "component": "ssh-monitor-server",
        "websockets": 1,
    }
    await server.post(event("s1", message="on its way"))
    await _finish(server, "s2")
    assert await server.get("/api/v1/status/s1") == {
        "session_id": "s1",
        "status": "running",
        "message": "on its way",
    }
    assert (await server.get("/api/v1/status/s2"))["status"] == "completed"
    unknown = await server.get("/api/v1/status/nobody")
    assert (unknown["session_id"], unknown["status"]) == ("nobody", "unknown")
    assert isinstance(unknown["message"], str)


async def test_health_and_readiness(server: Server) -> None:
    """`/healthz` live; `/readyz` ready."""
    assert (await server.get("/healthz"))["status"] == "ok"
    assert await server.get("/readyz") == {"status": "ready", "reasons": []}


async def test_metrics_come_as_text_or_openmetrics(server: Server) -> None:
    """Prometheus text; OpenMetrics by `Accept`."""
    await server.post(event())
    assert 'translation_events_total{type="translation_progress"} 1.0' in await server.metrics()
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with server.client.get(f"{server.url}/metrics", headers=accept) as response:
        assert response.content_type == "application/openmetrics-text"
        assert (await response.text()).rstrip().endswith("# EOF")


async def test_the_front_page_leads_to_the_monitor(server: Server) -> None:
    """`/` redirects to `/monitor`, keeping the query; pages carry a strict policy."""
    async with server.client.get(f"{server.url}/?session=a", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (302, "/monitor?session=a")
    for path in ("/monitor", "/enhanced-monitor.html"):
        async with server.client.get(server.url + path) as response:
            assert response.status == 200
            assert response.content_type == "text/html"
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy


async def test_a_page_that_is_known_already_is_a_304_without_a_body(server: Server) -> None:
    """A 304 and a HEAD end with their headers: the next answer on the connection is read as it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"Host: localhost:{server.port}\r\nAccept-Encoding: gzip, deflate, br\r\n"
    writer.write(f"GET /static/monitor.js HTTP/1.1\r\n{head}\r\n".encode())
    headers = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    size = next(
        int(x.split(b":")[1]) for x in headers.split(b"\r\n") if x.lower().startswith(b"content-length")
    )
    await reader.readexactly(size)
    tag = next(x for x in headers.decode().split("\r\n") if x.lower().startswith("etag")).partition(": ")[2]
    writer.write(f"GET /static/monitor.js HTTP/1.1\r\n{head}If-None-Match: {tag}\r\n\r\n".encode())
    writer.write(f"HEAD /static/monitor.js HTTP/1.1\r\n{head}\r\n".encode())
    writer.write(f"GET /healthz HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode())
    rest = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    answers = rest.split(b"HTTP/1.1 ")
    assert [answer[:3] for answer in answers] == [b"", b"304", b"200", b"200"]
    assert [len(answer.partition(b"\r\n\r\n")[2]) for answer in answers[1:]] == [
        0,
        0,
        len(b'{"status":"ok"}'),
    ]


async def test_answers_are_not_kept_by_caches(server: Server) -> None:
    """State is never answered from a cache."""
    async with server.client.get(f"{server.url}/sessions") as response:
        assert response.headers["Cache-Control"] == "no-store"


async def test_every_get_includes_what_was_acknowledged_before_it(server: Server) -> None:
    """Read your writes, under the load of other publishers: no GET answers from the past."""
    done = asyncio.Event()

    async def load(number: int) -> None:
        while not done.is_set():
            await server.post([event(f"load{number}-{n % 5}") for n in range(200)])

    async def write_and_read(number: int) -> None:
        for turn in range(15):
            session_id = f"mine{number}-{turn}"
            _, answer = await server.post(event(session_id, "translation_started"))
            session = await server.get(f"/sessions/{session_id}")
            assert session["last_seq"] == answer["results"][0]["seq"]
            events = (await server.get(f"/sessions/{session_id}/events"))["events"]
            assert [e["seq"] for e in events] == [session["last_seq"]]
            assert (await server.get(f"/api/v1/status/{session_id}"))["status"] == "running"
            assert session_id in {s["session_id"] for s in (await server.get("/sessions"))["sessions"]}

    async with asyncio.TaskGroup() as tasks:
        for number in range(2):
            tasks.create_task(load(number), name=f"load {number}")
        writers = [tasks.create_task(write_and_read(n), name=f"writer {n}") for n in range(3)]
        await asyncio.wait(writers)
        done.set()
