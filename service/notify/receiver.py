"""One address people are told at, through Apprise: the only module that knows it.

A call blocks, so it gets a thread of its own that cannot hold the process. The address is secret: it is named
by its number and its kind alone, and Apprise's own log, which quotes addresses, is kept apart.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import logging
import re
import threading
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from service.notify.notice import Notice, Tone
from service.secret import Secret
from translation_events.errors import ConfigError

if TYPE_CHECKING:
    import apprise

TIMEOUT_S: Final = 20.0
_STATUS: Final = re.compile(r"error=(\d{3})\b")
_TYPES: Final = {Tone.GOOD: "success", Tone.WARNING: "warning", Tone.BAD: "failure"}


class Receiver:
    """Somewhere notices go; `name` may be logged. Use it from the event loop."""

    def __init__(self, number: int, address: Secret, target: apprise.NotifyBase) -> None:
        scheme = address.reveal().partition(":")[0].lower()
        self.name = f"{number} ({scheme})"
        self._target = target
        self._flight: tuple[str, asyncio.Future[str | None]] | None = None

    async def tell(self, one: Notice) -> str | None:
        """Send one notice; None once the receiver has it, else why not, in a few words. At most 20 s.

        A try that takes longer is waited for by the next one for the same notice: only one is under way.
        """
        key, landed = self._flight or self._depart(one)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                problem = await asyncio.shield(landed)
        except TimeoutError:
            return f"no answer within {TIMEOUT_S:g} s"
        self._flight = None
        return problem if key == one.key else "it was still busy with another notice"

    def _depart(self, one: Notice) -> tuple[str, asyncio.Future[str | None]]:
        """Begin to send in a thread of its own."""
        loop = asyncio.get_running_loop()
        landed: asyncio.Future[str | None] = loop.create_future()

        def call() -> None:
            problem = self._call(one)
            with suppress(RuntimeError):  # the loop is gone, and the process about to be
                loop.call_soon_threadsafe(landed.set_result, problem)

        threading.Thread(target=call, name=f"notify {self.name}", daemon=True).start()
        self._flight = one.key, landed
        return self._flight

    def _call(self, one: Notice) -> str | None:
        # Of what Apprise says only an HTTP status is let through: the rest may quote the address.
        said = io.StringIO()
        handler = _ThreadHandler(said)
        logger = logging.getLogger("apprise")
        logger.addHandler(handler)
        try:
            if self._target.notify(
                title=one.title, body=one.body, notify_type=_TYPES[one.tone], body_format="text"
            ):
                return None
        except Exception as err:  # noqa: BLE001 - a border: any plugin of Apprise; its text may be secret
            return f"its plugin failed ({type(err).__name__})"
        finally:
            logger.removeHandler(handler)
        status = _STATUS.search(said.getvalue())
        return f"HTTP {status[1]}" if status else "it cannot be reached or refuses"


class _ThreadHandler(logging.StreamHandler[io.StringIO]):
    """Takes what its own thread logs."""

    def __init__(self, stream: io.StringIO) -> None:
        super().__init__(stream)
        self._thread = threading.get_ident()
        self.addFilter(lambda record: record.thread == self._thread)


def receivers_of(addresses: Sequence[Secret]) -> list[Receiver]:
    """The receivers at these addresses.

    Raises: ConfigError: Apprise is not installed, or does not know one of them.
    """
    if not addresses:
        return []
    try:
        library = importlib.import_module("apprise")
    except ImportError as err:
        raise ConfigError(
            "telemetry.notify is set, but the library that tells people is not installed; "
            "run: pip install 'translation-monitor[notify]'"
        ) from err
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    found = []
    for number, address in enumerate(addresses, start=1):
        with warnings.catch_warnings():
            # With the first address it loads all its plugins; what those use that is deprecated is theirs.
            warnings.simplefilter("ignore", DeprecationWarning)
            target = library.Apprise.instantiate(address.reveal(), suppress_exceptions=True)
        if target is None:
            scheme = address.reveal().partition(":")[0]
            raise ConfigError(
                f"telemetry.notify: address {number} ({scheme}://…) is not one that Apprise understands; "
                "allowed: addresses like ntfys://HOST/TOPIC, jsons://HOST/PATH or mailtos://…; "
                "docs/notifications.md has more."
            )
        found.append(Receiver(number, address, target))
    return found
