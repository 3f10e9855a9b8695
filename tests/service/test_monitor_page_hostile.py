"""Whatever an event says is shown as text: it becomes no markup, no link, no script, and breaks no layout."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Page, ViewportSize, expect

from tests.browser import OUTAGE, OpenPage, read_log, until_live, until_shown
from tests.monitor_server import Server, event, receive

pytestmark = pytest.mark.slow  # the wide look: a page in Chromium for each

HOSTILE = {
    "markup": "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>&lt;&amp;&#x3c;",
    "quotes": "\"'><svg onload=alert(3)>`${alert(4)}`</title></style></textarea>",
    "link": "javascript:alert(5)",
    "bidi": "\u202egnp.exe\u202c \u2067abc\u2069 \u202d",
    "zero-width": "a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg",
    "marks": "Z" + "\u0335\u0322\u034d\u0354\u0347\u0301\u0303\u030a" * 60 + "algo" + "\u0310" * 200,
    "families": "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466" * 40
    + "\U0001f3f3\ufe0f\u200d\U0001f308",
    "rtl": "مرحبا بالعالم 123 (שלום) – سطر 5 من 10",
    "control": "nul\x00 bel\x07 esc\x1b[31mred\x1b[0m del\x7f \x85 ls\u2028 ps\u2029 vt\x0b tab\t\n\nend",
    "long": "W" * 60_000,
    "ligatures": "﷽" * 60 + "ｗｉｄｅ" * 20,
}
# Valid ids that are a scheme, a name of every object, and as long as one may be.
SESSIONS = {"markup": "javascript:alert-1", "quotes": "constructor", "long": "long-" + "x" * 123}
VIEWPORTS = {"phone": ViewportSize(width=390, height=844), "desk": ViewportSize(width=1280, height=800)}
SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
# An element that reaches out of the page, or of a neighbour's place, is seen by nobody's scroll bar.
SPILT = """() => [...document.querySelectorAll('dd, td, .name, .message, .step, .error-text, .step-name')]
    .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline'
        && getComputedStyle(e).overflowX === 'visible' && e.getClientRects().length > 0)
    .map(e => `${e.tagName}.${e.className}: ${e.textContent.slice(0, 40)}`)"""
INJECTION = """() => {
    const script = document.createElement('script');
    script.textContent = 'window.injected = true';
    const button = document.createElement('button');
    button.setAttribute('onclick', 'window.injected = true');
    button.setAttribute('style', 'width: 777px');
    const style = document.createElement('style');
    style.textContent = 'button { height: 777px }';
    const link = document.createElement('a');
    link.href = 'javascript:window.injected = true';
    const image = document.createElement('img');
    image.setAttribute('onerror', 'window.injected = true');
    image.src = '/nothing-here.png';
    document.body.append(script, button, style, link, image);
    button.click();
    link.click();
    const { width, height } = button.getBoundingClientRect();
    return [width === 777, height === 777];
}"""
FORGIVEN = ("CSP: ", "Content Security Policy", "404 (Not Found)")


def session_of(name: str) -> str:
    return SESSIONS.get(name, name)


def told_by(name: str) -> list[dict[str, Any]]:
    """Events that carry the text wherever an event may carry one."""
    text, session = HOSTILE[name], session_of(name)
    few = text[:200]
    data = {"engine": few, "model": few, "title": text[:9_000], "worker": few, few: [few, {few: few}]}
    info = {"host": few, "name": few, "type": few, "model": few, "port": 22, "capacity": 3}
    usage = {"provider": few, "model": few, "worker": few, "output_tokens": 5, "cost_usd": 0.5}
    item = {"step": few, "current_item": text[:9_000], "total_items": 9}
    return [
        event(session, "translation_started", message=text, id=text[:128]),
        event(session, message=text[:9_000], progress=10, data=data, worker_info=info, usage=usage, **item),
        event(session, error=text[:9_000], unheard_of=text[:9_000], **{few or "x": few}),
        event(session, "step_completed", step=few),
        event(session, "translation_error", error=text, error_type=few),
        event(session, "translation_error", error=text[:9_000], fatal=True, **item),
        event(f"w-{name}", "worker_status", data={"worker": few, "state": "down", "reason": few}),
    ]


async def tell(server: Server) -> int:
    """Publish all of it over a WebSocket; the last seq."""
    publisher = await server.ws("role=publisher&ack=1")
    seq = 0
    for name in HOSTILE:
        for one in told_by(name):
            await publisher.send_json(one)
            answer = await receive(publisher)
            assert answer["type"] == "ack", answer
            seq = answer["seq"]
    return seq


async def holds_only_text(page: Page) -> None:
    """Nothing of the text has become an element, and nothing is wider than its place."""
    for selector in (
        "img[onerror]",
        "[src=x]",
        "[onload]",
        'a[href^="javascript:"]',
        "body b:text-is('bold')",
    ):
        await expect(page.locator(selector)).to_have_count(0)
    assert await page.evaluate(SIDEWAYS) == 0, "the page can be scrolled sideways"
    assert await page.evaluate(SPILT) == []


@pytest.mark.parametrize(
    "viewport",
    [pytest.param(VIEWPORTS[name], id=name) for name in ("phone", "desk")],
)
async def test_hostile_text_is_text_in_every_view(
    server: Server, open_page: OpenPage, viewport: ViewportSize
) -> None:
    """Markup, scripts, overrides, 60 KB without a space, zero-width, emoji: text, and no layout breaks."""
    last = await tell(server)
    page = await open_page(server.url, "/enhanced-monitor.html", viewport=viewport)
    await until_shown(page, last)
    await expect(page.locator(".card")).to_have_count(6)  # of ended sessions that many are shown
    await expect(page.locator("#history-rows tr")).to_have_count(len(HOSTILE))
    await expect(page.locator(".worker .name", has_text="<img src=x onerror").first).to_be_visible()
    await holds_only_text(page)
    await read_log(page)
    await holds_only_text(page)
    await page.locator("#log-text").fill("<img src=x onerror=alert(1)>")
    await expect(
        page.locator("#log-lines .message", has_text="<img src=x onerror=alert(1)>").first
    ).to_be_visible()
    await page.locator("#log-text").fill("")
    await page.locator("#log-type").select_option("translation_progress")
    for name in HOSTILE:
        await page.locator("#log-session").fill(session_of(name))
        mine = f'[data-session="{session_of(name)}"]'
        await expect(page.locator(f"#log-lines .line:not({mine})")).to_have_count(0)
        line = page.locator(f"#log-lines {mine}").first
        await line.locator(".seq").click()
        await expect(line.locator(".whole")).to_be_visible()
        await holds_only_text(page)
    for name in HOSTILE:
        await page.goto(f"{server.url}/monitor?session={session_of(name)}")
        await until_live(page)
        await expect(page.locator("#session-errors li")).to_have_count(2)
        await expect(page.locator("#session-steps li")).to_have_count(2)
        await holds_only_text(page)
        assert session_of(name) in await page.title()
        await page.goto(f"{server.url}/sessions/{session_of(name)}/report")
        await expect(page.locator("h1")).to_have_text(session_of(name))
        await holds_only_text(page)
        assert await page.title() == f"Session {session_of(name)}"


async def test_text_that_turns_its_line_around_leaves_its_neighbours_alone(
    server: Server, open_page: OpenPage
) -> None:
    """Overrides are written out and every text is isolated: columns and their order stay where they are."""
    await tell(server)
    page = await open_page(server.url, "/monitor?session=bidi")
    line = page.locator("#log-lines [data-type=translation_progress]").first
    await expect(line.locator(".message")).to_have_text(
        "⟦U+202E⟧gnp.exe⟦U+202C⟧ ⟦U+2067⟧abc⟦U+2069⟧ ⟦U+202D⟧"
    )
    straight = [await box(page, part) for part in (".seq", "time", ".type", ".percent")]
    await page.goto(f"{server.url}/monitor?session=rtl")
    await until_live(page)
    assert [await box(page, part) for part in (".seq", "time", ".type", ".percent")] == straight
    now = page.locator(".card .now")
    step, message = await now.locator(".step").bounding_box(), await now.locator(".message").bounding_box()
    assert step is not None
    assert message is not None
    assert step["x"] + step["width"] <= message["x"], (
        "the step comes before the message, whatever their direction"
    )
    control = page.locator("#log-lines .message")
    await page.goto(f"{server.url}/monitor?session=control")
    await expect(control.first).to_contain_text("nul⟦U+0000⟧ bel⟦U+0007⟧ esc⟦U+001B⟧[31mred")
    await expect(control.first).to_contain_text("ls ⏎ ps ⏎ vt⟦U+000B⟧ tab")
    await page.goto(f"{server.url}/monitor?session=marks")
    await expect(control.first).to_have_text(re.compile(r"⟦\+\d+ marks⟧"))


async def box(page: Page, part: str) -> int:
    """Where a part of a progress line begins, from the left."""
    place = await page.locator(f"#log-lines [data-type=translation_progress] {part}").first.bounding_box()
    assert place is not None, part
    return round(place["x"])


@pytest.mark.parametrize("path", ["/monitor", "/sessions/book/report", "/static/offline.html"])
async def test_injected_script_and_style_do_nothing(server: Server, open_page: OpenPage, path: str) -> None:
    """A strict Content-Security-Policy: without `unsafe-inline`, and it holds when something gets in."""
    status, _ = await server.post([event("book", message="x")])
    assert status == 200
    async with server.client.get(server.url + path) as response:
        policy = response.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    assert {"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    page = await open_page(server.url, path, forgive=FORGIVEN, live=False)
    await page.evaluate(
        "addEventListener('securitypolicyviolation', v => (window.told ??= []).push(v.violatedDirective))"
    )
    assert await page.evaluate(INJECTION) == [False, False]
    await page.wait_for_function("() => window.told?.length >= 4")
    told = set(await page.evaluate("window.told"))
    assert any(directive.startswith("script-src") for directive in told)
    assert any(directive.startswith("style-src") for directive in told)
    assert await page.evaluate("window.injected") is None


async def test_an_address_that_names_no_session_says_what_an_id_is(
    server: Server, open_page: OpenPage
) -> None:
    """`?session=` with anything else: told as such, as text, and no fault of a server or a proxy."""
    page = await open_page(server.url, "/monitor?session=<img src=x>", forgive=OUTAGE, live=False)
    banner = page.get_by_role("alert")
    await expect(banner).to_contain_text("“<img src=x>” is not the id of a session", timeout=10_000)
    await holds_only_text(page)
