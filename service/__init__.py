"""The monitor server: ingest, event log, relay, projections, HTTP, WebSocket and the HTML monitor."""
