"""What a command prints, as it comes: bounded, split into lines, judged at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

TAIL_BYTES: Final = 4096


class Output:
    """Standard output up to `max_bytes`; each whole line goes to `on_line` at once."""

    def __init__(self, max_bytes: int, on_line: Callable[[str], None] | None = None) -> None:
        self.max_bytes = max_bytes
        self.is_too_large = False
        self._data = bytearray()
        self._told = 0
        self._on_line = on_line

    def add(self, chunk: bytes) -> bool:
        """Take what came; False once it is too much, and nothing more is kept."""
        if len(self._data) + len(chunk) > self.max_bytes:
            self.is_too_large = True
            return False
        searched = len(self._data)
        self._data += chunk
        if self._on_line is not None:
            while (end := self._data.find(b"\n", max(searched, self._told))) >= 0:
                self._on_line(self._data[self._told : end].decode("utf-8", errors="replace"))
                self._told = end + 1
        return True

    @property
    def has_content(self) -> bool:
        """Whether it is more than white space."""
        return bool(self._data.strip())

    @property
    def is_whole(self) -> bool:
        """Whether the last line has its end; nothing at all is whole."""
        return not self._data or self._data.endswith(b"\n")

    @property
    def is_utf8(self) -> bool:
        """Whether it is text."""
        try:
            self._data.decode()
        except UnicodeDecodeError:
            return False
        return True

    def text(self) -> str:
        """All of it, bytes that are no UTF-8 replaced."""
        return self._data.decode("utf-8", errors="replace")


class Tail:
    """The last 4 KiB of standard error, however much is printed there."""

    def __init__(self) -> None:
        self._data = b""

    def add(self, chunk: bytes) -> bool:
        """Take what came, and always more."""
        self._data = (self._data + chunk)[-TAIL_BYTES:]
        return True

    def text(self) -> str:
        """What is kept; its first character may have been cut."""
        return self._data.decode("utf-8", errors="replace")
