"""Chromium without a driver between: a tab is really hidden, its timers throttled, the page really frozen.

Playwright keeps every page visible and awake. Source: Chrome DevTools Protocol; Page, Target, Network.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from tests.browser import CHROMIUM, HAS_CHROMIUM
from tests.parts import need

START_WITHIN_S: Final = 30.0
ANSWER_WITHIN_S: Final = 20.0
LOOK_EVERY_S: Final = 0.1
FUNCTION: Final = re.compile(r"(async )?(\w+|\([\w, {}]*\)) =>")
# A tab is hidden for so long before its timers run once a minute; five minutes unless told.
SOON_THROTTLED: Final = (
    "--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/5/grace_period_seconds_loaded/5"
)


class Tab:
    """One tab. `exceptions` are what its scripts have thrown, `frames` what its WebSockets have received."""

    def __init__(self, browser: LoneBrowser, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session
        self.exceptions: list[str] = []
        self.frames: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol."""
        return await self._browser.call(method, self._session, **parameters)

    async def evaluate(self, expression: str, /, *arguments: Any) -> Any:
        """The value of an expression, or of a function of one argument; a frozen page does not answer."""
        if FUNCTION.match(expression):
            expression = f"({expression})({', '.join(orjson.dumps(one).decode() for one in arguments)})"
        answer = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str, timeout_s: float = 20.0) -> None:
        """Wait until an expression holds."""
        try:
            async with asyncio.timeout(timeout_s):
                while not await self.evaluate(expression):  # noqa: ASYNC110 - no event says it
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            said = await self.evaluate("document.body.innerText.slice(0, 600)")
            raise AssertionError(f"not within {timeout_s} s: {expression}\n{said}") from None

    async def freeze(self) -> None:
        """As the browser does with a tab in the background: no script of it runs."""
        await self.hide()
        await self.call("Page.setWebLifecycleState", state="frozen")

    async def wake(self) -> None:
        """Let its scripts run again, and look at it."""
        await self.call("Page.setWebLifecycleState", state="active")
        await self.show()

    async def hide(self) -> None:
        """Look at another tab."""
        await self._browser.call("Target.createTarget", url="about:blank")
        await self.until("document.visibilityState === 'hidden'")

    async def show(self) -> None:
        """Look at this tab again."""
        await self._browser.call("Target.activateTarget", targetId=self._target)
        await self.until("document.visibilityState === 'visible'")

    def note(self, method: str, parameters: dict[str, Any]) -> None:
        """Take what the browser tells of this tab."""
        if method == "Runtime.exceptionThrown":
            self.exceptions.append(str(parameters["exceptionDetails"]))
        elif method == "Network.webSocketFrameReceived":
            self.frames.append(parameters["response"]["payloadData"])


class LoneBrowser:
    """A running Chromium, spoken to by its own protocol."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws
        self._ids = count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tabs: dict[str, Tab] = {}

    @property
    def tabs(self) -> tuple[Tab, ...]:
        """All that have been opened."""
        return tuple(self._tabs.values())

    async def listen(self) -> None:
        """Take answers and news until the browser ends."""
        async for message in self._ws:
            told = orjson.loads(message.data)
            if "id" in told:
                self._asked.pop(told["id"]).set_result(told)
            elif tab := self._tabs.get(told.get("sessionId", "")):
                tab.note(told["method"], told["params"])

    async def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command; `session` is a tab's."""
        number = next(self._ids)
        self._asked[number] = asyncio.get_running_loop().create_future()
        of = {} if session is None else {"sessionId": session}
        await self._ws.send_json({"id": number, "method": method, "params": parameters, **of})
        async with asyncio.timeout(ANSWER_WITHIN_S):
            answer = await self._asked[number]
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    async def open(self, url: str) -> Tab:
        """A tab on an address, looked at."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        tab = self._tabs[session] = Tab(self, target, session)
        for domain in ("Page", "Runtime", "Network"):
            await tab.call(f"{domain}.enable")
        await tab.call("Page.navigate", url=url)
        return tab


OpenTab = Callable[[str], Awaitable[Tab]]


@contextlib.asynccontextmanager
async def lone_browser(profile: Path, *flags: str) -> AsyncIterator[OpenTab]:
    """Open tabs: `await open_tab(url)`; fails at the end if a script of one has thrown."""
    need(HAS_CHROMIUM, f"Chromium at {CHROMIUM}")
    process = await asyncio.create_subprocess_exec(
        *(str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-first-run"),
        *("--remote-debugging-port=0", f"--user-data-dir={profile}", *flags, "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        address = await _address(profile)
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(address, max_msg_size=0) as ws,
            asyncio.TaskGroup() as tasks,
        ):
            browser = LoneBrowser(ws)
            listening = tasks.create_task(browser.listen(), name="listen to the browser")
            try:
                yield browser.open
            finally:
                listening.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    thrown = [text for tab in browser.tabs for text in tab.exceptions]
    assert not thrown, thrown


async def _address(profile: Path) -> str:
    """Chromium writes the port and path of its protocol into its profile."""
    told = profile / "DevToolsActivePort"
    async with asyncio.timeout(START_WITHIN_S):
        while not (told.exists() and len(lines := told.read_text().split()) == 2):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
