"""Typed places in the application for what its handlers need."""

from __future__ import annotations

from aiohttp import web

from exporters.prometheus import PrometheusExporter
from service.alertmanager import Alertmanager
from service.config import Config
from service.connections import Connections
from service.http.page_build import PageBuild
from service.ingest import Ingest
from service.prober import Prober
from service.projections.sessions import SessionProjection
from service.projections.workers import WorkerProjection
from service.readers import Readers
from service.relay.relay import Relay
from translation_events.log import EventLog

ALERTMANAGER = web.AppKey("alertmanager", Alertmanager)
CONFIG = web.AppKey("config", Config)
CONNECTIONS = web.AppKey("connections", Connections)
INGEST = web.AppKey("ingest", Ingest)
LOG = web.AppKey("log", EventLog)
METRICS = web.AppKey("metrics", PrometheusExporter)
PAGE = web.AppKey("page", PageBuild)
PROBER = web.AppKey("prober", Prober)
READERS = web.AppKey("readers", Readers)
RELAY = web.AppKey("relay", Relay)
SESSIONS = web.AppKey("sessions", SessionProjection)
STARTED_AT = web.AppKey("started_at", float)
WORKERS = web.AppKey("workers", WorkerProjection)
