"""Asks Alertmanager which alerts of ours are firing, for whoever looks at the page.

Off the path of an event: nothing is asked unless somebody asks, and then at most once in `FRESH_S`, whoever
else asks. Source: docs/protocol.md, "Shapes".
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Final

import aiohttp
import msgspec
import structlog

from service.alert import Alert, alerts_of

log = structlog.get_logger(__name__)

FRESH_S: Final = 5.0
TIMEOUT_S: Final = 3.0  # for all of a reading; the page gives up on its own request after 8 s
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024  # about 4000 alerts
MAX_ALERTS: Final = 200
# Another team's alerts may be in the same Alertmanager; all of ours begin so.
OURS: Final = 'alertname=~"Translation.*"'


class Reading(msgspec.Struct, frozen=True):
    """What was found; `since` is when it became (un)reachable, `read_at` when it was asked, Unix seconds.

    `alerts` is None where it could not be read, which is not the same as none; `left_out` is how many more
    there are.
    """

    reachable: bool
    since: float
    read_at: float
    problem: str | None = None
    alerts: tuple[Alert, ...] | None = None
    left_out: int = 0


class Alertmanager:
    """A reader of Alertmanager's API (v2). `aclose` when done."""

    def __init__(self, url: str, *, runbooks_url: str | None = None) -> None:
        """`url` may hold a name and a password; `runbooks_url` precedes the paths of our runbooks."""
        self._url = f"{url.rstrip('/')}/api/v2/alerts"
        self._runbooks_url = runbooks_url
        self._client: aiohttp.ClientSession | None = None
        self._turn = asyncio.Lock()
        self._asked = float("-inf")  # by the monotonic clock
        self._reading: Reading | None = None

    async def read(self) -> Reading:
        """What is firing, at most `FRESH_S` old; never raises for what Alertmanager does, answers in 3 s."""
        async with self._turn:
            if self._reading is None or time.monotonic() - self._asked >= FRESH_S:
                self._reading = await self._ask(self._reading)
                self._asked = time.monotonic()
            return self._reading

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _ask(self, before: Reading | None) -> Reading:
        problem, alerts = None, None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                alerts = await self._firing()
        except TimeoutError:
            problem = f"Alertmanager did not answer within {TIMEOUT_S:g} s."
        except aiohttp.ClientConnectorError as err:
            problem = f"Alertmanager cannot be reached ({_why(err)})."
        except _WrongAnswer as err:
            problem = f"Alertmanager gave a wrong answer: {err}."
        except (aiohttp.ClientError, OSError) as err:
            problem = f"Alertmanager cannot be asked ({type(err).__name__})."
        now = time.time()
        reachable = alerts is not None
        if before is None or before.reachable != reachable:
            since = now
            if reachable:
                log.info("alertmanager answers")
            else:
                log.warning("alertmanager cannot be read", why=problem)
        else:
            since = before.since
        shown = None if alerts is None else tuple(alerts[:MAX_ALERTS])
        left_out = 0 if alerts is None else max(0, len(alerts) - MAX_ALERTS)
        return Reading(reachable, since, now, problem, shown, left_out)

    async def _firing(self) -> list[Alert]:
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_S))
        # The address may hold a password, which a redirect must not carry elsewhere.
        async with self._client.get(self._url, params={"filter": OURS}, allow_redirects=False) as answer:
            if answer.status != 200:
                raise _WrongAnswer(f"HTTP {answer.status}")
            body = bytearray()
            async for part in answer.content.iter_any():
                body += part
                if len(body) > MAX_ANSWER_BYTES:
                    raise _WrongAnswer(f"it has over {MAX_ANSWER_BYTES // 1_048_576} MiB")
        try:
            return alerts_of(bytes(body), self._runbooks_url)
        except msgspec.DecodeError as err:
            raise _WrongAnswer("it is not a list of alerts") from err


class _WrongAnswer(Exception):
    """Somebody answers there, but not what was asked for."""


def _why(err: aiohttp.ClientConnectorError) -> str:
    # asyncio puts the address into strerror; a name that does not resolve has a negative number.
    number = err.os_error.errno or 0
    return os.strerror(number) if number > 0 else "its name cannot be resolved"
