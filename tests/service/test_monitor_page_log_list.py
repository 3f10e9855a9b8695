"""The live log's lines: where somebody reads stays where it is, and only what is in sight is in the page."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser import OpenPage, faults, progress, read_log, shown_seqs, until_shown
from tests.monitor_server import Server, event

pytestmark = pytest.mark.slow  # the wide look: a page in Chromium for each

WORDS = "wrapping lines have heights of their own "
# The greatest distance, in CSS pixels, that a line in sight moves from where it was, frame by frame.
WATCH = """seq => {
  const line = document.querySelector(`#log-lines [data-seq="${seq}"]`);
  const frame = line.closest("#log-lines");
  const place = () => line.getBoundingClientRect().top - frame.getBoundingClientRect().top;
  const top = place();
  window.moved = 0;
  window.frames = 0;
  const look = () => {
    window.frames += 1;
    window.moved = Math.max(window.moved, line.isConnected ? Math.abs(place() - top) : 1e9);
    requestAnimationFrame(look);
  };
  look();
}"""


@pytest.mark.parametrize("width", [390, 1280])
async def test_a_reader_is_not_moved_by_thousands_of_new_lines(
    server: Server, open_page: OpenPage, width: int
) -> None:
    """The reader's place never jumps, on a phone too; only what is in sight is in the page."""
    page = await open_page(server.url, viewport={"width": width, "height": 844})

    def lines(first: int, count: int) -> list[dict[str, Any]]:
        return [
            event(f"s{n % 20}", message=WORDS * (n % 7 + 1), step="translation")
            for n in range(first, first + count)
        ]

    seqs = await server.publish(*lines(0, 500))
    await until_shown(page, seqs[-1])
    await page.locator("#log-lines").hover()
    for _ in range(8):
        await page.mouse.wheel(0, -700)
        await page.wait_for_timeout(30)
    await expect(page.locator("#to-end")).to_be_visible()
    middle = await page.evaluate(
        "() => { const box = document.getElementById('log-lines').getBoundingClientRect();"
        " return Number(document.elementFromPoint(box.x + 60, box.y + box.height / 2)"
        ".closest('.line').dataset.seq); }"
    )
    await page.evaluate(WATCH, middle)
    for first in range(500, 6500, 500):  # more than the page keeps
        seqs += await server.publish(*lines(first, 500))
    await expect(page.locator("#to-end")).to_contain_text("↓ ", timeout=20_000)
    await page.wait_for_function("() => window.frames > 100")
    assert await page.evaluate("() => window.moved") < 1
    assert await page.locator("#log-lines .line").count() < 250
    # Reading on from there, nothing is left out.
    for _ in range(20):
        await page.mouse.wheel(0, 500)
        await page.wait_for_timeout(30)
        shown = await shown_seqs(page)
        assert shown == seqs[seqs.index(shown[0]) :][: len(shown)]


async def test_turning_the_phone_keeps_the_place(server: Server, open_page: OpenPage) -> None:
    """Lines that wrap otherwise get other heights: the first line in sight stays it."""
    page = await open_page(server.url, viewport={"width": 390, "height": 844})
    seqs = await server.publish(*(event("book", message=WORDS * (n % 9)) for n in range(400)))
    await until_shown(page, seqs[-1])
    await page.goto(f"{server.url}/monitor#{seqs[200]}")
    line = page.locator(f'#log-lines [data-seq="{seqs[200]}"]')
    await expect(line).to_be_in_viewport()
    for width, height in ((844, 390), (390, 844), (1280, 800)):
        await page.set_viewport_size({"width": width, "height": height})
        await page.locator("#log").scroll_into_view_if_needed()
        await expect(line).to_be_in_viewport()
        assert await page.locator("#log-lines .line").count() < 250
    up = await read_log(page)
    assert sorted({*up, *await read_log(page, down=True)}) == seqs


async def test_the_newest_line_stays_in_sight_until_somebody_goes_up(
    server: Server, open_page: OpenPage
) -> None:
    """Following sticks to the end under bursts; one notch of the wheel leaves it, a click follows again."""
    page = await open_page(server.url)
    seqs: list[int] = []
    for first in range(0, 3000, 300):
        seqs += await server.publish(
            *(event("book", message=WORDS * (n % 5)) for n in range(first, first + 300))
        )
        await expect(page.locator(f'#log-lines [data-seq="{seqs[-1]}"]')).to_be_in_viewport(timeout=15_000)
    await page.locator("#log-lines").hover()
    await page.mouse.wheel(0, -40)
    await expect(page.locator("#to-end")).to_be_visible()
    top = (await shown_seqs(page))[0]
    more = await server.publish(*(progress(n) for n in range(200)))
    await expect(page.locator("#to-end")).to_have_text("↓ 200 new")
    await expect(page.locator(f'#log-lines [data-seq="{top}"]')).to_be_attached()
    await page.keyboard.press("e")
    await expect(page.locator(f'#log-lines [data-seq="{more[-1]}"]')).to_be_in_viewport()
    await expect(page.locator("#to-end")).to_be_hidden()


async def test_arrow_keys_walk_beyond_the_lines_in_the_page(server: Server, open_page: OpenPage) -> None:
    """Every line is reached by keyboard, also those that get their place in the page on the way."""
    page = await open_page(server.url)
    seqs = await server.publish(*(progress(n) for n in range(300)))
    await until_shown(page, seqs[-1])
    await page.locator("#log-lines").focus()
    focused = "() => Number(document.activeElement.closest('.line')?.dataset.seq ?? 0)"
    for back in range(1, 151):
        await page.keyboard.press("ArrowUp")
        await page.wait_for_function(f"seq => ({focused})() === seq", arg=seqs[-back])
    line = page.locator(f'#log-lines [data-seq="{seqs[-150]}"]')
    await expect(line).to_be_in_viewport()
    assert await line.get_attribute("aria-setsize") == "-1"
    numbers = await page.evaluate(
        "() => [...document.querySelectorAll('#log-lines .line')].map(l => Number(l.ariaPosInSet))"
    )
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    await server.publish(*(progress(n) for n in range(500)))
    await expect(page.locator("#to-end")).to_have_text("↓ 500 new")
    await expect(line.locator(".seq")).to_be_focused()


async def test_a_line_shown_whole_stays_so_when_it_has_been_out_of_sight(
    server: Server, open_page: OpenPage
) -> None:
    """What somebody opened is open when he comes back to it."""
    page = await open_page(server.url)
    seqs = await server.publish(*(progress(n) for n in range(400)))
    await until_shown(page, seqs[-1])
    line = page.locator(f'#log-lines [data-seq="{seqs[-3]}"]')
    await line.locator(".seq").click()
    await expect(line.locator(".whole")).to_be_visible()
    await page.locator("#log-lines").hover()
    await page.mouse.wheel(0, -6000)
    await expect(line).to_have_count(0)
    await page.mouse.wheel(0, 6000)
    await expect(line.locator(".whole")).to_be_visible()


async def test_a_finger_opens_a_line_wherever_it_touches_it(server: Server, open_page: OpenPage) -> None:
    """On a phone no small number has to be hit, and its tools leave the lines their room."""
    phone: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    page = await open_page(server.url, **phone)
    seqs = await server.publish(*(progress(n) for n in range(60)))
    await until_shown(page, seqs[-1])
    line = page.locator(f'#log-lines [data-seq="{seqs[-2]}"]')
    await line.locator(".message").tap()
    await expect(line.locator(".whole")).to_be_visible()
    await line.locator(".whole").tap()
    await expect(line.locator(".whole")).to_be_visible()
    await line.locator(".message").tap()
    await expect(line.locator(".whole")).to_have_count(0)
    await page.get_by_role("button", name="Tools").tap()
    await expect(page.locator("#log-copy")).to_be_visible()
    box = await page.locator("#log-lines").bounding_box()
    assert box is not None
    assert box["height"] >= 300


HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "x" * 64_000,
    "\u202egnol yrev\u2066" * 200,
    "\u200b\u200d\ufeff\u00ad" * 3000,
    "\U0001f469\u200d\U0001f469\u200d\U0001f466" * 900,
    "Z\u0351\u036b\u0343\u036a\u0302" * 900,
    "line\n" * 3000,
)


@pytest.mark.parametrize("width", [390, 1280])
async def test_hostile_lines_break_neither_layout_nor_place(
    server: Server, open_page: OpenPage, width: int
) -> None:
    """64 KB, bidi overrides, zero-width, emoji, piles of accents, markup: text, each within its own line."""
    page = await open_page(server.url, viewport={"width": width, "height": 844}, bypass_csp=True)
    seqs: list[int] = []
    for _ in range(20):
        seqs += await server.publish(*(event("book", message=text) for text in HOSTILE))
    await until_shown(page, seqs[-1])
    assert await read_log(page) == seqs
    assert await page.evaluate(
        "() => [document.documentElement, document.getElementById('log-lines')]"
        ".every(node => node.scrollWidth <= node.clientWidth)"
    )
    overlaps = await page.evaluate(
        "() => { const boxes = [...document.querySelectorAll('#log-lines .line')]"
        ".map(line => line.getBoundingClientRect());"
        " return boxes.filter((box, n) => n > 0 && Math.abs(box.top - boxes[n - 1].bottom) > 0.5).length; }"
    )
    assert overlaps == 0
    tallest = await page.evaluate(
        "() => Math.max(...[...document.querySelectorAll('#log-lines .line')].map(l => l.offsetHeight))"
    )
    assert tallest < 844
    assert await faults(page) == []
