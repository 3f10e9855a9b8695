"""The page's end of `/ws` by itself, in a browser, on a real server: no event is lost without a word."""

from __future__ import annotations

from tests.browser import OUTAGE, OpenPage, progress
from tests.cable import cabled
from tests.monitor_server import Server

# A stream of one session beside the page's own. `newest` is what the server is said to have had of it.
FOLLOW = """async ([session, newest, unreadable]) => {
    const { Stream } = await import('/static/stream.js');
    window.got = [];
    window.faults = [];
    addEventListener('error', fault => { window.faults.push(fault.message); fault.preventDefault(); });
    const probe = async () => {
        const { event_log: log } = await (await fetch('/status')).json();
        return { logId: log.id, newest, viewers: 1, viewersLimit: 9, viewersFree: 8, unavailableSince: null };
    };
    const nothing = () => {};
    new Stream({ session, probe, handlers: {
        event(event) {
            if (event.current_item === unreadable) throw new Error(`cannot show ${unreadable}`);
            window.got.push(event.seq);
        },
        failed(event) { window.failed = event.seq; },
        gap: nothing, reset: nothing, opened: nothing, slept: nothing,
        state(state) { window.state = state.name; },
    } }).start();
}"""


async def test_a_stream_that_was_live_without_an_event_misses_none_of_an_outage(
    server: Server, open_page: OpenPage
) -> None:
    """Retention had taken all there was: after a cut the stream goes on from there, not at the newest few."""
    await server.publish(*(progress(n, session_id="other") for n in range(5)))
    async with cabled(server.port) as cable:
        page = await open_page(cable.url, forgive=OUTAGE)
        await page.evaluate(FOLLOW, ["book", 5, None])
        await page.wait_for_function("() => window.state === 'live'")
        cable.sever()
        await page.wait_for_function("() => window.state === 'waiting'")
        seqs = await server.publish(*(progress(n) for n in range(300)))
        cable.mend()
        await page.wait_for_function("last => window.got.at(-1) === last", arg=seqs[-1])
        assert await page.evaluate("window.got") == seqs
        await page.close()


async def test_an_event_that_cannot_be_shown_takes_no_other_along(
    server: Server, open_page: OpenPage
) -> None:
    """A fault in showing one event is reported and told; those behind it in the same message are shown."""
    page = await open_page(server.url)
    await page.evaluate(FOLLOW, ["book", 0, "line_7"])
    await page.wait_for_function("() => window.state === 'live'")
    seqs = await server.publish(*(progress(n) for n in range(20)))
    await page.wait_for_function("last => window.got.at(-1) === last", arg=seqs[-1])
    assert await page.evaluate("window.got") == [*seqs[:7], *seqs[8:]]
    assert await page.evaluate("window.failed") == seqs[7]
    assert await page.evaluate("window.faults") == ["Uncaught Error: cannot show line_7"]
