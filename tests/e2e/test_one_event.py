"""One event, from the producer's bytes to every face it has."""

from __future__ import annotations

import sqlite3

import aiohttp
from playwright.async_api import expect

from tests.browser import OpenPage, until_shown
from tests.monitor_process import MonitorProcess
from tests.monitor_server import event, receive
from tests.otlp_receiver import Received

RAW = (
    b'{"type":"translation_progress","session_id":"book-7","step":"translation","id":"e-55",'
    b'"message":"Translating line 55","progress":55.0,"current_item":"line_55","total_items":100,'
    b'"flavour":{"unknown":[1,2,18446744073709551616]}}'
)


async def test_one_event_reaches_log_viewer_counter_span_page_and_history(
    traced_monitor: MonitorProcess, collector: Received, open_page: OpenPage
) -> None:
    """One event is stored, relayed, counted, traced and shown, and all tell the same."""
    monitor = traced_monitor
    page = await open_page(monitor.url)
    async with aiohttp.ClientSession() as client:
        viewer = await client.ws_connect(f"{monitor.url}/ws?role=viewer")
        publisher = await client.ws_connect(f"{monitor.url}/ws?role=publisher&ack=1")

        await publisher.send_str(RAW.decode())
        ack = await receive(publisher)
        seq = ack["seq"]
        assert ack == {"type": "ack", "id": "e-55", "seq": seq}

        frame = await viewer.receive(timeout=5)
        assert isinstance(frame.data, str)
        assert frame.data.startswith(RAW[:-1].decode()), "the producer's own bytes, unknown fields and all"
        assert f'"seq":{seq},"received_at":' in frame.data

        with sqlite3.connect(f"file:{monitor.path}?mode=ro", uri=True) as log:
            rows = log.execute("SELECT body FROM events WHERE seq = ?", (seq,)).fetchall()
        assert [body.decode() for (body,) in rows] == [frame.data]

        assert (await monitor.metrics())['translation_events_total{type="translation_progress"}'] == 1

        await until_shown(page, seq)
        line = page.locator(f'#log-lines [data-seq="{seq}"]')
        await expect(line).to_contain_text("Translating line 55")
        card = page.locator('.card[data-session="book-7"]')
        await expect(card.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "55")

        await publisher.send_json(event("book-7", "translation_completed", failed_items=0))
        end = await receive(publisher)
        await viewer.close()
        await publisher.close()

    session = await monitor.get("/sessions/book-7")
    assert (session["status"], session["first_seq"], session["last_seq"]) == ("completed", seq, end["seq"])
    await collector.until(lambda: bool(collector.named("translate")))
    (root,) = collector.named("translate")
    assert root.trace_id.hex() == session["trace_id"]
    (listed,) = (await monitor.get("/sessions/history"))["sessions"]
    assert listed == session
    await expect(page.locator('[data-session="book-7"][data-status="completed"]').first).to_be_attached()
