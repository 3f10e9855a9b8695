"""A monitor seen from a command: its HTTP answers and its WebSocket, faults as one line for people."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import orjson

from translation_events.address import MonitorAddress
from translation_events.errors import MonitorError

CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 30.0
MAX_FRAME_BYTES: Final = 32 * 1024 * 1024  # the largest batch a server sends is far below; guards our memory


class Unreachable(MonitorError):
    """Nothing answers at the address, or what answers takes no connection just now. Worth another try."""

    def __init__(self, detail: str) -> None:
        super().__init__("unreachable", detail)


@asynccontextmanager
async def open_monitor(address: MonitorAddress) -> AsyncIterator[MonitorClient]:
    """A client of one monitor, closed at the end; nothing is connected before the first question."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield MonitorClient(address, session)


class MonitorClient:
    """One monitor and the connections to it."""

    def __init__(self, address: MonitorAddress, session: aiohttp.ClientSession) -> None:
        self.address = address
        self._session = session

    async def get(self, path: str, query: Mapping[str, str | int | None] | None = None) -> Any:
        """The JSON at `path`; None values are left out of the query.

        Raises: Unreachable; MonitorError with the problem's own code and detail.
        """
        params = {name: str(value) for name, value in (query or {}).items() if value is not None}
        return await self._ask("GET", path, params=params)

    async def page(self, path: str) -> bytes:
        """The HTML at `path`. Raises: as `get` does."""
        try:
            async with self._session.get(self.address.url + path) as answer:
                body = await answer.read()
                if answer.status >= 400 or answer.content_type != "text/html":
                    raise self._refusal(answer.status, answer.content_type, body)
                return body
        except (aiohttp.ClientError, TimeoutError, OSError) as err:
            raise self._unreachable(err) from err

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON answer to a JSON body. Raises: as `get` does."""
        headers = {"Content-Type": "application/json"}
        return await self._ask("POST", path, data=orjson.dumps(body), headers=headers)

    async def _ask(self, method: str, path: str, **request: Any) -> Any:
        try:
            async with self._session.request(method, self.address.url + path, **request) as answer:
                body = await answer.read()
                kind = answer.content_type
                if answer.status >= 400 or not kind.endswith("json"):
                    raise self._refusal(answer.status, kind, body)
                return orjson.loads(body)
        except (aiohttp.ClientError, TimeoutError, OSError) as err:
            raise self._unreachable(err) from err
        except orjson.JSONDecodeError as err:
            raise self._stranger() from err

    async def websocket(self, query: Mapping[str, str | int | None]) -> aiohttp.ClientWebSocketResponse:
        """Open `/ws`; the caller closes it. Raises: Unreachable, MonitorError."""
        params = {name: str(value) for name, value in query.items() if value is not None}
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await self._session.ws_connect(
                    self.address.websocket(params),
                    max_msg_size=MAX_FRAME_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
                )
        except aiohttp.WSServerHandshakeError as err:
            if err.status == 503:
                raise Unreachable(
                    f"The monitor at {self.address.url} takes no more connections just now; try later."
                ) from err
            raise MonitorError(
                "refused", f"The monitor at {self.address.url} refused the connection with HTTP {err.status}."
            ) from err
        except (aiohttp.ClientError, TimeoutError, OSError) as err:
            raise self._unreachable(err) from err

    def _unreachable(self, err: Exception) -> Unreachable:
        reason = _reason(err)
        return Unreachable(
            f"No monitor answers at {self.address.url}: {reason}. Start one with `translation-monitor "
            "serve`, or name another with --monitor."
        )

    def _refusal(self, status: int, content_type: str, body: bytes) -> MonitorError:
        if content_type != "application/problem+json":
            return self._stranger()
        problem = orjson.loads(body)
        code, detail = str(problem.get("code", status)), problem.get("detail") or problem.get("title")
        return MonitorError(code, f"{detail or f'HTTP {status}'}")

    def _stranger(self) -> MonitorError:
        return MonitorError(
            "not_a_monitor",
            f"What answers at {self.address.url} is not a translation monitor; check --monitor.",
        )


def _reason(err: Exception) -> str:
    if isinstance(err, TimeoutError):
        return "no answer in time"
    cause = err.os_error if isinstance(err, aiohttp.ClientConnectorError) else err
    if isinstance(cause, ConnectionRefusedError) or getattr(cause, "errno", None) == errno.ECONNREFUSED:
        return "connection refused"
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
