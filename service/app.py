"""The composition root: a configuration becomes an application.

What is opened first is closed last; the supervisor's loops start last and stop first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import structlog
from aiohttp import web

from exporters.prometheus import PrometheusExporter
from exporters.snapshot import Snapshot
from exporters.tracing import (
    SERVICE_NAME,
    TracingExporter,
    live_provider,
    otlp_exporter_from_environment,
)
from service import keys
from service.alertmanager import Alertmanager
from service.config import Config
from service.connections import Connections, Role
from service.eventlog.open import open_log
from service.http import alerts, pages, publish, report, sessions, status, workers
from service.ingest import Ingest
from service.lifecycle import Lifecycle
from service.loop_lag import watch_loop
from service.notify import notifier as notifications
from service.notify.notifier import Notifier
from service.notify.receiver import Receiver, receivers_of
from service.origin import guard
from service.port import url_of
from service.prober import Prober
from service.problems import problems
from service.projections import sessions as session_summaries
from service.projections.sessions import SessionProjection
from service.projections.workers import WorkerProjection
from service.readers import CURSORS, Readers
from service.relay.frames import control_frame
from service.relay.relay import Relay
from service.supervisor import Supervisor
from service.websocket import websocket
from service.worker_specs import specs_of
from translation_events.errors import LogUnavailable
from translation_events.log import EventLog, Exporter, LogStats
from translation_events.version import __version__

log = structlog.get_logger(__name__)

SHOWN_AFTER_END_S: Final = 15 * 60.0
STATS_EVERY_S: Final = 2.0
FLUSH_SPANS_S: Final = 3.0


async def create_app(config: Config, *, on_failure: asyncio.Event | None = None) -> web.Application:
    """Assemble the application; `on_failure` is set when it can no longer do its work.

    Raises: LogDamaged, LogUnavailable: the event log cannot be opened. ConfigError: people cannot be told.
    """
    receivers = receivers_of(config.telemetry.notify)
    event_log = await open_log(config.event_log.url)
    try:
        return await _assemble(config, event_log, receivers, on_failure or asyncio.Event())
    except BaseException:
        await event_log.aclose()
        raise


async def _assemble(
    config: Config, event_log: EventLog, receivers: Sequence[Receiver], on_failure: asyncio.Event
) -> web.Application:
    server = _Server(config, event_log, receivers, await event_log.stats())
    await server.catch_up()
    middlewares = [guard(config, server.metrics), problems]
    app = web.Application(middlewares=middlewares, client_max_size=publish.MAX_BODY_BYTES)
    app[keys.CONFIG] = config
    app[keys.CONNECTIONS] = server.connections
    app[keys.INGEST] = server.ingest
    app[keys.LOG] = event_log
    app[keys.METRICS] = server.metrics
    app[keys.PAGE] = pages.build()
    app[keys.PROBER] = server.prober
    app[keys.READERS] = server.readers
    app[keys.RELAY] = server.relay
    app[keys.SESSIONS] = server.sessions
    app[keys.STARTED_AT] = time.time()
    app[keys.WORKERS] = server.workers
    telemetry = config.telemetry
    if telemetry.alertmanager_url:
        alertmanager = Alertmanager(telemetry.alertmanager_url.reveal(), runbooks_url=telemetry.runbooks_url)
        app[keys.ALERTMANAGER] = alertmanager
        app.on_cleanup.append(lambda _: alertmanager.aclose())
    for part in (alerts, pages, publish, report, sessions, status, workers):
        app.add_routes(part.routes)
    app.router.add_get("/ws", websocket)
    app.cleanup_ctx.append(server.hold_log)
    app.cleanup_ctx.append(lambda _: server.run_loops(on_failure))
    app.on_shutdown.append(server.say_goodbye)
    return app


class _Server:
    """The parts and how they hang together."""

    def __init__(
        self, config: Config, event_log: EventLog, receivers: Sequence[Receiver], stats: LogStats
    ) -> None:
        self._log = event_log
        self._stats = stats
        self._config = config
        self.connections = Connections(config.server.max_connections)
        self.workers = WorkerProjection(
            config.distributed, is_running=lambda session_id: self.sessions.is_running(session_id)
        )
        self._specs = specs_of(config.distributed)
        self.metrics = PrometheusExporter(
            version=__version__,
            revision=config.revision,
            snapshot=self._snapshot,
            workers=[spec.id for spec in self._specs],
            worker_id=self.workers.id_of,
        )
        # Of its own: in a process that also translates, each sends its spans where it was told to.
        self._probe_spans = (
            live_provider(
                config.telemetry.otlp,
                service_name=SERVICE_NAME,
                outcomes=partial(self._count_spans, asyncio.get_running_loop()),
            )
            if self._specs
            else None
        )
        self.prober = Prober(
            event_log,
            self.workers,
            self.metrics,
            interval_s=config.distributed.health_check_interval,
            tracer=None if self._probe_spans is None else self._probe_spans.get_tracer("sshworker"),
        )
        self.relay = Relay(event_log, self.metrics)
        self.ingest = Ingest(event_log, self.metrics, max_event_bytes=config.server.max_event_bytes)
        self.tracing: TracingExporter | None = None
        self._receivers = receivers
        self._monitor_url = config.server.public_url or url_of(config.server.host, config.server.port)
        self._notifier: Notifier | None = None
        self.sessions: SessionProjection
        self.readers: Readers

    async def catch_up(self) -> None:
        """Make the readers and bring them to the end of the log."""
        exporter = otlp_exporter_from_environment(self._config.telemetry.otlp)
        if exporter is not None:
            cursors = await self._log.load(CURSORS)
            after = cursors["spans"][1] if "spans" in cursors else 0
            self.tracing = TracingExporter(
                exporter=exporter,
                resource_attributes={"service.version": __version__, "service.instance.id": self._log.id},
                after=after,
                outcomes=self.metrics.spans,
                monitor_url=self._monitor_url,
            )
        exporters: list[Exporter] = [self.metrics]
        if self.tracing is not None:
            exporters.append(self.tracing)
        if self._receivers:
            self._notifier = Notifier(
                self._log,
                self._receivers,
                self.metrics.notifications,
                monitor_url=self._monitor_url,
                # Two probes: a single lost packet wakes nobody.
                worker_down_for_s=2 * self._config.distributed.health_check_interval,
            )
            self._notifier.load(await self._log.load(notifications.SAVED_AS), self._log.last_seq)
            exporters.append(self._notifier)
        self.sessions = SessionProjection(
            self._log.id, [*exporters, self.workers], stalled_after_s=self._config.event_log.stalled_after_s
        )
        self.readers = Readers(
            self._log, self.sessions, self.workers, self.metrics, self.tracing, self._notifier
        )
        await self.readers.catch_up()
        self._log.retain(
            self._config.event_log.events_per_session,
            self.sessions.summarise,
            name=session_summaries.SAVED_AS,
        )
        self._log.watch(self._tell_log_state)
        self._log.observe(self.metrics)

    async def hold_log(self, _: web.Application) -> AsyncIterator[None]:
        """The log outlives every loop and handler."""
        yield
        try:
            await self.readers.save()
        except LogUnavailable:
            log.warning("summaries not saved at the end: the next start replays a little more")
        await self._log.aclose()

    async def run_loops(self, on_failure: asyncio.Event) -> AsyncIterator[None]:
        """Start the long-lived loops and end them."""
        supervisor = Supervisor(on_failure=lambda _: on_failure.set())
        lifecycle = Lifecycle(
            self._log, self.sessions, self.readers, self.ingest.presence, self._config.event_log
        )
        supervisor.add("readers", self.readers.run, vital=True)
        supervisor.add("relay", self.relay.run, vital=True)
        supervisor.add("summaries", self.readers.keep_saving, vital=False)
        supervisor.add("lifecycle", lifecycle.run, vital=False)
        supervisor.add("pings", self.connections.keep_alive, vital=False)
        supervisor.add("loop lag", lambda: watch_loop(self.metrics), vital=False)
        supervisor.add("log statistics", self._watch_log, vital=False)
        for spec in self._specs:
            supervisor.add(f"probe {spec.id}", partial(self.prober.watch, spec), vital=False)
        if self.tracing is not None:
            supervisor.add("spans", self.tracing.run, vital=False)
        if self._notifier is not None:
            supervisor.add("notices", partial(self._notifier.look, self.sessions, self.workers), vital=False)
            for place, receiver in enumerate(self._receivers):
                supervisor.add(f"notify {receiver.name}", partial(self._notifier.deliver, place), vital=False)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(supervisor.run(), name="supervisor")
            await self.relay.started.wait()  # before the first viewer comes
            yield
            await self.readers.passed(self._log.last_seq, 1.0)
            supervisor.stop()
        await self._flush_spans()

    async def _flush_spans(self) -> None:
        """Send what spans there are, all kinds at once, since a dead collector takes its time with each."""
        async with asyncio.TaskGroup() as tasks:
            if self.tracing is not None:
                tasks.create_task(self.tracing.flush(FLUSH_SPANS_S), name="flush spans")
            if self._probe_spans is not None:
                shutdown = asyncio.to_thread(self._probe_spans.shutdown)
                tasks.create_task(shutdown, name="flush spans of probes")

    def _count_spans(self, loop: asyncio.AbstractEventLoop, outcome: str, spans: int) -> None:
        """Probes' spans are sent by a thread; the metrics belong to the loop's."""
        with suppress(RuntimeError):  # the loop is gone, and the process about to be
            loop.call_soon_threadsafe(self.metrics.spans, outcome, spans)

    async def say_goodbye(self, _: web.Application) -> None:
        """Close the WebSockets while the loops still run."""
        await self.connections.goodbye()

    def _tell_log_state(self, since: float | None) -> None:
        self._stats = self._stats._replace(unavailable_since=since)  # the metrics need not wait for the next
        if since is None:
            log.info("event log can be written again")
            self.relay.tell_all(control_frame({"type": "log_available"}), until_revoked=False)
        else:
            log.error("event log cannot be written", since=since)
            self.relay.tell_all(
                control_frame({"type": "log_unavailable", "since": since}), until_revoked=True
            )

    async def _watch_log(self) -> None:
        while True:
            self._stats = await self._log.stats()
            await asyncio.sleep(STATS_EVERY_S)

    def _snapshot(self) -> Snapshot:
        now = time.time()
        roles = {role.value: self.connections.count(role) for role in Role}
        limits = {role.value: self.connections.viewer_limit for role in Role}
        limits[Role.PUBLISHER.value] = self.connections.limit
        return Snapshot(
            now=now,
            stalled_after_s=self.sessions.stalled_after_s,
            sessions=self.sessions.shown(now - SHOWN_AFTER_END_S),
            connections=roles,
            connections_limit=limits,
            relay_lag_events=self.relay.lag_events,
            log_last_seq=self._log.last_seq,
            log_free_bytes=self._stats.free_bytes,
            log_connected=self._stats.unavailable_since is None,
            reader_lag_events=self.readers.lag_events(),
            workers_configured=self.workers.configured,
            workers=self.workers.samples(),
            notices_waiting={} if self._notifier is None else self._notifier.waiting(),
        )
