"""The smallest OTLP/HTTP collector: takes every request and forgets it, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.machine import CLIENT_CORE, pinned


class _Taker(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@contextmanager
def collector() -> Iterator[str]:
    """Its endpoint, for `OTEL_EXPORTER_OTLP_ENDPOINT`."""
    command = pinned([sys.executable, "-m", "benchmarks.collector"], CLIENT_CORE)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def main() -> None:
    """Print the port, serve until killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Taker)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
