"""Where a monitor is: one address for its HTTP, its WebSocket and the name of its spool.

Source: docs/protocol.md, "WebSocket".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final, NamedTuple
from urllib.parse import urlencode, urlsplit

from translation_events.errors import ConfigError

DEFAULT_URL: Final = "http://127.0.0.1:8090"
_SECURE: Final = {"http": False, "ws": False, "https": True, "wss": True}
_UNFIT_FOR_A_FILE_NAME: Final = re.compile(r"[^a-z0-9.-]+")


class MonitorAddress(NamedTuple):
    """A monitor's address; `path` is what a reverse proxy wants before `/ws`, without a final slash."""

    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> MonitorAddress:
        """Read an http, https, ws or wss address; a final `/ws` and a query are ignored.

        Raises: ConfigError: naming what was found and what is allowed.
        """
        try:
            parts = urlsplit(url)
            secure = _SECURE[parts.scheme]
            host, port = parts.hostname, parts.port
        except (KeyError, ValueError):
            host, port = None, None
        if not host or "@" in url:
            # The address itself is not repeated where it may carry a password.
            found = "one with a user name or password" if "@" in url else repr(url)
            raise ConfigError(
                f"A monitor's address looks like {DEFAULT_URL} (or https, ws, wss), not {found}."
            )
        path = parts.path.rstrip("/").removesuffix("/ws")
        return cls(secure, host, port or (443 if secure else 80), path)

    @property
    def url(self) -> str:
        """The address as people write it."""
        return f"http{'s' * self.secure}://{self._authority}{self.path}"

    def websocket(self, query: Mapping[str, str]) -> str:
        """The address of `/ws` with its query."""
        return f"ws{'s' * self.secure}://{self._authority}{self.path}/ws?{urlencode(query)}"

    @property
    def folder(self) -> str:
        """The name of this monitor's spool: readable, and never that of another address."""
        readable = _UNFIT_FOR_A_FILE_NAME.sub("_", self.host)[:64]
        return f"{readable}_{self.port}-{sha256(self.url.encode()).hexdigest()[:12]}"

    @property
    def _authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
