"""Taking the port the server listens on, and saying who holds it where that fails."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from translation_events.errors import ConfigError

LSOF_TIMEOUT_S: Final = 3.0
_LISTEN: Final = "0A"  # TCP_LISTEN in /proc/net/tcp


def bind(host: str, port: int) -> list[socket.socket]:
    """Bind every address of `host`, without listening yet: connections are refused until the server is ready.

    Raises: ConfigError naming what is wrong and, for a busy port, who holds it.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as err:
        raise ConfigError(f"server.host: {host!r} cannot be resolved ({err.strerror or err}).") from err
    sockets: list[socket.socket] = []
    for family, kind, protocol, _, address in dict.fromkeys(found):
        if sockets and port == 0:
            break  # any free port means one port: further addresses would get others
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            bound.bind(address)
        except OSError as err:
            bound.close()
            if family == socket.AF_INET6 and sockets and err.errno == errno.EADDRNOTAVAIL:
                continue  # a machine without IPv6 still resolves localhost to ::1
            for other in sockets:
                other.close()
            raise ConfigError(_why(host, port, err)) from err
        sockets.append(bound)
    return sockets


def url_of(host: str, port: int) -> str:
    """The address to open for a server bound to `host`."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{name}:{port}"


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    """Whether someone answers on the port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


def holder_of(port: int) -> str | None:
    """The program that listens on a TCP port, as `name (pid 123)`; None where that cannot be told."""
    lsof = shutil.which("lsof")
    if lsof is not None:
        try:
            out = subprocess.run(  # noqa: S603 - our own arguments
                [lsof, "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"],
                capture_output=True,
                text=True,
                timeout=LSOF_TIMEOUT_S,
                check=False,
            ).stdout
        except (OSError, subprocess.TimeoutExpired):
            out = ""
        fields = {line[0]: line[1:] for line in reversed(out.splitlines()) if line}
        if "p" in fields:
            return f"{fields.get('c', 'a program')} (pid {fields['p']})"
    inodes = set(_listening_inodes(port))
    return next(_holders(inodes), None) if inodes else None


def _why(host: str, port: int, err: OSError) -> str:
    if err.errno == errno.EADDRINUSE:
        holder = holder_of(port)
        held = f"held by {holder}" if holder else "in use by another program"
        return f"Port {port} on {host} is {held}. Stop it, or choose another port with --port (0 takes any)."
    if err.errno == errno.EACCES:
        return f"Port {port} on {host} needs privileges; choose one above 1023 with --port."
    if err.errno == errno.EADDRNOTAVAIL:
        return f"server.host: this machine has no address {host}; listen on 127.0.0.1 or one it has."
    return f"Cannot listen on {host} port {port}: {err.strerror or err}."


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            columns = row.split()
            if columns[3] == _LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{columns[9]}]"


def _holders(inodes: set[str]) -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(fd) in inodes for fd in (process / "fd").iterdir()):
                yield f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # another user's process, or one that has just ended
