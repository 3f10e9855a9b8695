"""Faces of the events beside the stream: Prometheus metrics and OpenTelemetry traces."""
