"""The request by which a command is run on a worker: under `translation-worker.sh`, which ends what it began.

The same request serves a plain account and a forced command. To a plain account it brings the script along
(`/bin/sh -c SCRIPT translation-worker 1 …`); a forced `translation-worker.sh --allow …` reads only the words
after the last `translation-worker 1 ` of it. The words are encoded, so no shell on the way has anything to
interpret. A login shell of the csh family cannot take a script of several lines: such an account needs the
forced command.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from sshworker.errors import Failure

_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/:-")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_NO_SPACE: Final = re.compile(r"No space left|[Dd]is[ck] quota|Quota exceeded", re.ASCII)


@dataclass(frozen=True, slots=True)
class Request:
    """One command for a worker: `line` is its SSH exec request, `folder` the command's own while it runs."""

    id: str
    line: str
    folder: str


@dataclass(frozen=True, slots=True)
class Complaint:
    """What the wrapper itself says went wrong, as opposed to the program under it."""

    failure: Failure
    words: str


def request(argv: Sequence[str], *, id: str, size_bytes: int, base: str, traceparent: str | None) -> Request:  # noqa: A002
    """Ask for `argv` with `size_bytes` of text on its standard input; `base` is the folder to work under."""
    trace = traceparent if traceparent is not None and is_traceparent(traceparent) else ""
    words = (id, str(size_bytes), *(encode(word) for word in (base, trace, *argv)))
    line = f"exec /bin/sh -c {_quoted_script()} translation-worker 1 {' '.join(words)}"
    return Request(id=id, line=line, folder=f"{base.rstrip('/')}/{id}")


def new_id() -> str:
    """A name for a command's folder or a file under way; unguessable, since it may lie in /tmp."""
    return secrets.token_hex(8)


def is_traceparent(value: str) -> bool:
    """Whether this is a W3C trace context as the wrapper passes on."""
    return _TRACEPARENT.fullmatch(value) is not None


def encode(word: str) -> str:
    """A word as the wrapper decodes it: bytes that any shell could interpret become `%OOO`."""
    if not word:
        return "%"
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:03o}" for byte in word.encode())


def complaint(stderr: str, id: str) -> Complaint | None:  # noqa: A002
    """The wrapper's own complaint about the request `id`, if any; it may come before the id is known."""
    for line in stderr.splitlines():
        found = re.match(r"translation-worker (\S+) (\w+): (.*)", line)
        if found is None or found[1] not in (id, "-"):
            continue
        kind, words = found[2], found[3].strip()
        if kind in ("refused", "missing"):
            return Complaint(Failure.COMMAND_REFUSED, words)
        if kind == "folder":
            return Complaint(Failure.DISK_FULL if tells_disk_full(words) else Failure.INTERNAL, words)
        return Complaint(Failure.LOST if kind == "input" else Failure.INTERNAL, words)
    return None


def tells_disk_full(text: str) -> bool:
    """Whether a program's words say that a disk or quota is full."""
    return _NO_SPACE.search(text) is not None


@cache
def script() -> str:
    """The wrapper as a file: what an administrator installs as the target of a forced command."""
    return files("sshworker").joinpath("translation-worker.sh").read_text("utf-8")


@cache
def _quoted_script() -> str:
    # Without comments and indentation it is half as long. POSIX shells, zsh and fish read this quoting alike
    # (fish takes a backslash before a quote or another backslash for an escape: the script has none such).
    lines = (line.strip() for line in script().splitlines())
    text = "\n".join(line for line in lines if line and not line.startswith("#"))
    return "'" + text.replace("'", "'\"'\"'") + "'"
