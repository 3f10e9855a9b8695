"""A text nobody may see by accident: printing, logging or formatting it shows `***`."""

from __future__ import annotations

from typing import Final

HIDDEN: Final = "***"


class Secret:
    """A secret text; only `reveal()` gives it away, so that every place that does can be found."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one call that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __reduce__(self) -> str | tuple[object, ...]:
        # A pickle is bytes someone may write to disk.
        raise TypeError("A secret is not serialised.")
