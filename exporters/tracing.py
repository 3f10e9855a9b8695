"""Sessions → spans: what has ended in the life of a session is exported over OTLP, once, in order.

Events are folded elsewhere; this reader turns their changes into drafts, keeps those until a collector has
taken them, and moves its cursor only then. Source: docs/architecture.md, "Traces".
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import structlog
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from exporters.tracing_draft import SpanDraft, drafts_of
from exporters.tracing_live import live_provider
from exporters.tracing_otlp import otlp_exporter_from_environment
from exporters.tracing_pending import PendingSpans
from exporters.tracing_spans import resource_of, span_of
from translation_events.session import Applied

__all__ = ["SERVICE_NAME", "TracingExporter", "live_provider", "otlp_exporter_from_environment"]

log = structlog.get_logger(__name__)

Outcomes = Callable[[str, int], None]

SERVICE_NAME: Final = "translation-monitor"
LINGER_S: Final = 0.25  # many sessions' spans in one request, so that exporting never competes with the relay
FIRST_BACKOFF_S: Final = 0.5
MAX_BACKOFF_S: Final = 30.0
# Building and encoding a span takes about 45 µs of the interpreter lock, so a batch 6 ms.
MAX_BATCH: Final = 128
CLOSE_S: Final = 0.25


class TracingExporter:
    """The reader behind the session, step and checkpoint spans. Use it from the event loop's thread.

    `after` is the stored cursor: events up to it make no spans. `outcomes(outcome, n)` is told of every span
    exported (`exported`) and, at every failed try and for every one given up, of those concerned
    (`export_failed`). What it holds while no collector answers is bounded: see `PendingSpans`.
    """

    name = "spans"

    def __init__(
        self,
        *,
        exporter: SpanExporter,
        resource_attributes: Mapping[str, str] | None = None,
        after: int,
        outcomes: Outcomes,
        monitor_url: str = "",
    ) -> None:
        """`resource_attributes` are defaults under `OTEL_RESOURCE_ATTRIBUTES`; `monitor_url` precedes the
        link back to the monitor on each root span ("" leaves it relative)."""
        self._exporter = exporter
        self._resource = resource_of(resource_attributes or {}, service_name=SERVICE_NAME)
        self._after = after
        self._outcomes = outcomes
        self._monitor_url = monitor_url.rstrip("/")
        self._pending = PendingSpans()
        self._seen = after
        self._restored: dict[str, int] = {}  # session -> the seq up to which its spans were already made
        self._work = asyncio.Event()
        self._flight: asyncio.Future[bool] | None = None
        self._batch = MAX_BATCH
        self._closed = False

    @property
    def cursor(self) -> int:
        """The highest seq such that everything made from events up to it has been exported."""
        oldest = self._pending.oldest_seq
        return self._seen if oldest is None else oldest - 1

    def lag(self, last_seq: int) -> int:
        """How many events of the log lie at or after the oldest span still to be exported."""
        oldest = self._pending.oldest_seq
        return 0 if oldest is None else max(0, last_seq - oldest + 1)

    def export(self, batch: Sequence[Applied]) -> None:
        """Draft the spans of a batch; never blocks, never raises."""
        for applied in batch:
            if applied.changes:
                try:
                    self._draft(applied)
                except Exception:  # a border: observability never stops the relay
                    log.exception("a span could not be made", seq=applied.stored.seq)
                    self._outcomes("export_failed", 1)
        if batch:
            self._seen = max(self._seen, batch[-1].stored.seq)
            if self._restored and self._seen >= max(self._restored.values()):
                self._restored = {}
        if self._pending:
            self._work.set()

    def snapshot(self, session_id: str) -> bytes:
        """The session's spans that no collector has yet, b"" for none."""
        return self._pending.snapshot(session_id, max(self._seen, self._restored.get(session_id, 0)))

    def restore(self, session_id: str, blob: bytes) -> None:
        """Take back what `snapshot` gave, before the first `export`; damaged bytes are logged and ignored."""
        if not blob:
            return
        try:
            made_upto, given_up = self._pending.restore(blob, after=self._after)
        except msgspec.DecodeError:
            log.exception("the stored spans of a session cannot be read", session_id=session_id)
            return
        self._restored[session_id] = made_upto
        self._given_up(given_up)
        if self._pending:
            self._work.set()

    async def run(self) -> None:
        """Export what is pending, oldest first, for ever; a failed try is repeated with a capped backoff."""
        failures = 0
        while True:
            await self._work.wait()
            if not failures:
                await asyncio.sleep(LINGER_S)
            failures = 0 if await self._send() else failures + 1
            if failures:
                delay = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 16))
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, not a secret

    async def flush(self, timeout_s: float = 3.0) -> bool:
        """Send what is pending until it is done, a try fails or the time is up, then close the exporter.

        True if nothing is left. A call that hangs is left to its daemon thread: it cannot hold the process.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self._pending and await self._send():
                    pass
        except TimeoutError:
            pass
        left = len(self._pending)
        if left:
            log.warning("spans are left for the next start", spans=left)
        await self._close()
        return not left

    def _draft(self, applied: Applied) -> None:
        seq, session = applied.stored.seq, applied.session
        if seq <= self._after or session is None or seq <= self._restored.get(session.session_id, 0):
            return
        for draft in drafts_of(applied, self._monitor_url):
            self._given_up(self._pending.add(draft))

    def _given_up(self, spans: int) -> None:
        if spans:
            self._outcomes("export_failed", spans)

    async def _send(self) -> bool:
        """Export one batch, or wait for the one under way; True if the collector has it."""
        if self._flight is None:
            drafts = self._pending.take(self._batch)
            if not drafts:
                self._work.clear()
                return True
            self._flight = self._depart(drafts)
        # Shielded: the outcome counts, even if whoever waits for it is cancelled.
        return await asyncio.shield(self._flight)

    def _depart(self, drafts: Sequence[SpanDraft]) -> asyncio.Future[bool]:
        """Begin to export in a thread of its own.

        Not in the loop's executor: its threads are joined at exit, so a hanging call would hold the process.
        """
        loop = asyncio.get_running_loop()
        landed: asyncio.Future[bool] = loop.create_future()

        def call() -> None:
            exported = self._call(drafts)
            with suppress(RuntimeError):  # the loop is gone, and the process about to be
                loop.call_soon_threadsafe(self._land, landed, exported)

        threading.Thread(target=call, name="spans-export", daemon=True).start()
        return landed

    def _call(self, drafts: Sequence[SpanDraft]) -> bool:
        try:
            result = self._exporter.export([span_of(draft, self._resource) for draft in drafts])
        except Exception:  # a border: the spans stay pending
            log.exception("an export has failed")
            return False
        return result is SpanExportResult.SUCCESS

    def _land(self, landed: asyncio.Future[bool], exported: bool) -> None:
        spans = self._pending.settle(exported=exported)
        self._outcomes("exported" if exported else "export_failed", spans)
        # A smaller batch gets past a collector's size limit; the limit grows again with every success.
        self._batch = min(MAX_BATCH, self._batch * 2) if exported else max(1, self._batch // 2)
        if not self._pending:
            self._work.clear()
        self._flight = None
        landed.set_result(exported)

    async def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def call() -> None:
            try:
                self._exporter.shutdown()
                loop.call_soon_threadsafe(done.set)
            except Exception:  # a border: it is being thrown away
                log.debug("the exporter did not close cleanly", exc_info=True)

        threading.Thread(target=call, name="spans-close", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_S):
                await done.wait()
        except TimeoutError:
            log.debug("the exporter is still closing")
