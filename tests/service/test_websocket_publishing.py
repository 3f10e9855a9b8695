"""Publishing over `/ws`: replies in order, refusals that keep the connection, batches."""

from __future__ import annotations

import aiohttp
import orjson

from tests.monitor_server import Server, StartServer, event, receive, receive_many


async def test_every_event_is_answered_in_the_order_received(server: Server) -> None:
    """One reply per event, in the order received: refusals stand in their place between the acks."""
    ws = await server.ws("role=publisher&ack=1")
    frames: list[bytes] = []
    for number in range(200):
        if number % 5 == 3:
            frames.append(
                b'{"type":"translation_progress","session_id":"s1","id":"e%d","progress":101}' % number
            )
        elif number % 5 == 4:
            frames.append(b"{not json")
        else:
            frames.append(orjson.dumps(event(id=f"e{number}")))
    for frame in frames:
        await ws.send_str(frame.decode())
    replies = await receive_many(ws, len(frames))
    seqs = []
    for number, reply in enumerate(replies):
        if number % 5 == 3:
            assert reply["type"] == "error"
            assert (reply["code"], reply["field"], reply["id"]) == ("invalid_event", "progress", f"e{number}")
        elif number % 5 == 4:
            assert (reply["type"], reply["code"]) == ("error", "invalid_json")
        else:
            assert (reply["type"], reply["id"]) == ("ack", f"e{number}")
            assert "duplicate" not in reply
            seqs.append(reply["seq"])
    assert seqs == list(range(1, 121))


async def test_an_event_without_id_is_acknowledged_with_a_null_id(server: Server) -> None:
    """`{"type":"ack","id":ID|null,"seq":N}`."""
    ws = await server.ws("role=publisher&ack=1")
    await ws.send_json(event())
    assert await receive(ws) == {"type": "ack", "id": None, "seq": 1}


async def test_a_repeat_is_acknowledged_with_the_first_seq_and_not_relayed(server: Server) -> None:
    """The same `id` in the same session is one event; in another session it is another event."""
    viewer = await server.ws("role=viewer")
    ws = await server.ws("role=publisher&ack=1")
    for session_id in ("s1", "s1", "s2", "s1"):
        await ws.send_json(event(session_id, id="same"))
    assert await receive_many(ws, 4) == [
        {"type": "ack", "id": "same", "seq": 1},
        {"type": "ack", "id": "same", "seq": 1, "duplicate": True},
        {"type": "ack", "id": "same", "seq": 2},
        {"type": "ack", "id": "same", "seq": 1, "duplicate": True},
    ]
    await ws.send_json(event("s3", id="last"))
    assert [e["session_id"] for e in await receive_many(viewer, 3)] == ["s1", "s2", "s3"]
    metrics = await server.metrics()
    assert 'translation_events_duplicate_total{source="ws"} 2.0' in metrics
    assert 'translation_events_total{type="translation_progress"} 3.0' in metrics


async def test_without_ack_only_refusals_are_answered(server: Server) -> None:
    """`ack=1` asks for acks; a bad event is told in any case."""
    ws = await server.ws("role=publisher")
    await ws.send_json(event(id="good"))
    await ws.send_json({"type": "translation_progress", "id": "bad"})
    reply = await receive(ws)
    assert (reply["type"], reply["id"], reply["field"]) == ("error", "bad", "session_id")
    assert (await server.get("/status"))["event_log"]["last_seq"] == 1


async def test_a_connections_session_fills_a_missing_one(server: Server) -> None:
    """A connection's `session_id` fills a missing one, and leaves another as it is."""
    viewer = await server.ws("role=viewer")
    ws = await server.ws("role=publisher&session_id=mine&ack=1")
    await ws.send_json({"type": "translation_started"})
    await ws.send_json({"type": "translation_started", "session_id": "other"})
    assert [reply["type"] for reply in await receive_many(ws, 2)] == ["ack", "ack"]
    assert [e["session_id"] for e in await receive_many(viewer, 2)] == ["mine", "other"]


async def test_a_connection_for_all_sessions_fills_nothing(server: Server) -> None:
    """`*` is no session: an event without one is refused, naming the field."""
    ws = await server.ws("session_id=*&ack=1")
    await ws.send_json({"type": "translation_started"})
    reply = await receive(ws)
    assert (reply["code"], reply["field"]) == ("invalid_event", "session_id")


async def test_a_publisher_receives_nothing_but_replies(server: Server) -> None:
    """`role=publisher` receives nothing but replies, its own events neither."""
    ws = await server.ws("role=publisher&ack=1")
    other = await server.ws("role=publisher&ack=1")
    for number in range(3):
        await other.send_json(event(id=f"o{number}"))
        await receive(other)
        await ws.send_json(event(id=f"m{number}"))
    assert [(await receive(ws))["id"] for _ in range(3)] == ["m0", "m1", "m2"]


async def test_without_a_role_a_connection_publishes_and_sees_its_own_events(server: Server) -> None:
    """`role` absent: publishes and views, its own events included."""
    ws = await server.ws("ack=1")
    await ws.send_json(event(id="mine", message="hello"))
    got = await receive_many(ws, 2)
    assert sorted(m["type"] for m in got) == ["ack", "translation_progress"]
    assert next(m for m in got if m["type"] != "ack")["message"] == "hello"


async def test_a_viewer_may_not_publish(server: Server) -> None:
    """`role=viewer` may not publish: `read_only`, and the connection goes on viewing."""
    ws = await server.ws("role=viewer")
    await ws.send_json(event(id="x"))
    reply = await receive(ws)
    assert (reply["type"], reply["code"]) == ("error", "read_only")
    await server.post(event("later"))
    assert (await receive(ws))["session_id"] == "later"
    assert 'rejected_total{reason="read_only",source="ws"} 1.0' in await server.metrics()


async def test_messages_that_are_no_events_get_an_error_and_the_connection_stays(server: Server) -> None:
    """Anything a client sends is taken as an event: a `hello` of another protocol is refused, no more."""
    ws = await server.ws("role=publisher&ack=1")
    sent = [
        '{"type":"hello"}',
        '{"type":"subscribe","session_id":"s1"}',
        "[]",
        '"text"',
        "17",
        "null",
        "",
        " ",
    ]
    for text in sent:
        await ws.send_str(text)
    replies = await receive_many(ws, len(sent))
    assert {reply["type"] for reply in replies} == {"error"}
    assert {reply["code"] for reply in replies} <= {"invalid_event", "invalid_json"}
    assert replies[0]["field"] in ("type", "session_id")
    assert replies[1]["field"] == "type"
    await ws.send_json(event(id="still here"))
    assert (await receive(ws))["id"] == "still here"


async def test_binary_frames_are_taken_as_text(server: Server) -> None:
    """A client that sends bytes means JSON all the same."""
    ws = await server.ws("ack=1&role=publisher")
    await ws.send_bytes(orjson.dumps(event(id="b")))
    await ws.send_bytes(b"\xff\xfe\x00")
    ack, refusal = await receive_many(ws, 2)
    assert ack["id"] == "b"
    assert refusal["code"] == "invalid_json"


async def test_an_ended_session_by_a_client_is_refused(server: Server) -> None:
    """`session_ended` comes only from the server."""
    ws = await server.ws("ack=1&role=publisher")
    await ws.send_json(event(type="session_ended", status="failed", reason="x"))
    assert (await receive(ws))["field"] == "type"


async def test_a_batch_is_answered_by_index(server: Server) -> None:
    """A frame may be an array of events; replies may come as one array, each with its `index`."""
    ws = await server.ws("role=publisher&ack=1&batch=1")
    await ws.send_json([event(id="a"), {"type": "nonsense", "id": "b"}, event(id="c"), 17])
    replies = await _replies(ws, 4)
    assert [r["index"] for r in replies] == [0, 1, 2, 3]
    assert [r["type"] for r in replies] == ["ack", "error", "ack", "error"]
    assert [r.get("id") for r in replies] == ["a", "b", "c", None]


async def test_a_batch_connection_takes_single_events_too(server: Server) -> None:
    """`batch=1` allows arrays; a single event has no index."""
    ws = await server.ws("role=publisher&ack=1&batch=1")
    await ws.send_json(event(id="one"))
    assert await receive(ws) == {"type": "ack", "id": "one", "seq": 1}
    await ws.send_json([])
    await ws.send_json([event(id="two")])
    assert await receive(ws) == {"type": "ack", "id": "two", "seq": 2, "index": 0}


async def test_without_batch_an_array_is_refused(server: Server) -> None:
    """`batch=1` is opt-in."""
    ws = await server.ws("role=publisher&ack=1")
    await ws.send_json([event(id="a")])
    reply = await receive(ws)
    assert (reply["type"], reply["code"]) == ("error", "invalid_event")
    assert (await server.get("/status"))["event_log"]["last_seq"] == 0


async def test_an_array_that_is_no_json_is_refused_as_a_whole(server: Server) -> None:
    """An array that cannot be read has one answer, without an index; the next frame is taken."""
    ws = await server.ws("role=publisher&ack=1&batch=1")
    await ws.send_str('[{"type":"translation_started","session_id":"s1"},')
    reply = await receive(ws)
    assert reply["code"] == "invalid_json"
    assert "index" not in reply
    await ws.send_json([event(id="next")])
    assert (await receive(ws))["id"] == "next"


async def test_a_batch_larger_than_the_inbox_is_answered_whole_and_in_order(server: Server) -> None:
    """5,000 events in one frame, every tenth refused: 5,000 replies in order."""
    ws = await server.ws("role=publisher&ack=1&batch=1")
    batch = [event(f"s{n % 7}", id=f"{n}") if n % 10 else {"type": "x"} for n in range(5000)]
    await ws.send_json(batch)
    replies = await _replies(ws, 5000)
    assert [r["index"] for r in replies] == list(range(5000))
    assert [r["type"] for r in replies] == ["ack" if n % 10 else "error" for n in range(5000)]
    seqs = [r["seq"] for r in replies if r["type"] == "ack"]
    assert seqs == list(range(1, 4501))


async def test_an_event_over_its_limit_inside_a_batch_is_refused_alone(start: StartServer) -> None:
    """64 KiB an event also where the frame may hold 1 MiB."""
    server = await start()
    ws = await server.ws("role=publisher&ack=1&batch=1")
    await ws.send_json([event(id="a"), event(id="big", message="x" * 70_000), event(id="c")])
    replies = await _replies(ws, 3)
    assert [(r["type"], r.get("code")) for r in replies] == [
        ("ack", None),
        ("error", "too_large"),
        ("ack", None),
    ]
    assert 'rejected_total{reason="too_large",source="ws"} 1.0' in await server.metrics()


async def test_half_a_million_values_in_a_frame_do_not_hold_up_the_others(server: Server) -> None:
    """An array of 200,000 numbers is answered value by value while another publisher is served between."""
    hostile = await server.ws("role=publisher&batch=1")
    await hostile.send_str("[" + ",".join("1" * 200_000) + "]")
    ws = await server.ws("role=publisher&ack=1")
    await ws.send_json(event(id="between"))
    assert (await receive(ws))["id"] == "between"
    answered = 0
    first = await hostile.receive(timeout=10)
    while answered < 200_000:
        replies = orjson.loads(first.data)
        answered += len(replies)
        if answered < 200_000:
            first = await hostile.receive(timeout=30)
    assert answered == 200_000
    assert f'rejected_total{{reason="invalid_event",source="ws"}} {200_000.0}' in await server.metrics()


async def _replies(ws: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, object]]:
    """`count` replies, however they are spread over arrays."""
    replies: list[dict[str, object]] = []
    while len(replies) < count:
        message = await receive(ws)
        replies += message if isinstance(message, list) else [message]
    return replies


async def test_the_servers_own_session_can_be_viewed_and_not_written(server: Server) -> None:
    """A connection's `session_id` fills a missing one only where the client may name it itself."""
    ws = await server.ws("session_id=_workers&ack=1")
    data = {"worker": "gpu-1", "state": "up"}
    for sent in ({"type": "worker_status", "data": data}, event("_workers", "worker_status", data=data)):
        await ws.send_json(sent)
        reply = await receive(ws)
        assert (reply["type"], reply["code"], reply["field"]) == ("error", "invalid_event", "session_id")
    await ws.send_json(event("mine"))
    assert (await receive(ws))["type"] == "ack"
    assert (await server.get("/status"))["event_log"]["last_seq"] == 1
