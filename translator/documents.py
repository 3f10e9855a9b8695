"""A document: bytes in, blocks and segments, bytes out with everything but the prose as it was."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, assert_never

from translation_events.errors import MonitorError
from translation_events.event import ErrorType
from translator import markdown, plaintext
from translator.blocks import Block, Part, Segmenter
from translator.inline import same_markup
from translator.segments import LostMarks, Segment


class Format(StrEnum):
    """The formats that can be read and written."""

    MARKDOWN = "markdown"
    TEXT = "text"


_SUFFIXES: Final = {
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
    ".mdown": Format.MARKDOWN,
    ".mkd": Format.MARKDOWN,
    ".txt": Format.TEXT,
    ".text": Format.TEXT,
}


class DocumentError(MonitorError):
    """A document cannot be read, understood or written; `error_type` says which."""

    def __init__(self, error_type: ErrorType, detail: str) -> None:
        super().__init__(error_type.value, detail)
        self.error_type = error_type


@dataclass(frozen=True, slots=True)
class Document:
    """A document's segments and what stands around them; all sources joined are the text."""

    parts: tuple[Part, ...]

    @property
    def segments(self) -> Sequence[Segment]:
        """The segments in order."""
        return [part for part in self.parts if isinstance(part, Segment)]

    def render(self, restored: Mapping[str, str]) -> str:
        """The text with `restored[id]` (from `restore`) for each segment; one not in it stays."""
        return "".join(
            restored.get(part.id, part.source) if isinstance(part, Segment) else part for part in self.parts
        )


def restore(segment: Segment, translation: str) -> str:
    """The translation as it stands in the file. Raises: LostMarks: its markup would read differently."""
    restored = segment.restore(translation)
    if segment.guarded and not same_markup(segment.source, restored):
        raise LostMarks
    return restored


def format_of(path: Path) -> Format:
    """Raises: DocumentError(UNSUPPORTED_FORMAT)."""
    found = _SUFFIXES.get(path.suffix.lower())
    if found is None:
        known = " ".join(_SUFFIXES)
        raise DocumentError(
            ErrorType.UNSUPPORTED_FORMAT,
            f"{path.name}: files ending in {path.suffix or 'nothing'!r} cannot be translated; known: {known}",
        )
    return found


def read_text(path: Path) -> str:
    """The file's text, line ends and byte order mark as they are. Raises: DocumentError(READ_FAILED)."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise DocumentError(ErrorType.READ_FAILED, f"{path}: {error.strerror or 'cannot be read'}") from error
    except UnicodeDecodeError as error:
        utf16 = error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        source = "UTF-16" if utf16 else "ITS-ENCODING"
        raise DocumentError(
            ErrorType.READ_FAILED,
            f"{path}: not UTF-8 (byte {error.start}); convert it first: iconv -f {source} -t UTF-8",
        ) from error


def parse(text: str, kind: Format) -> Sequence[str | Block]:
    """The blocks of prose and the text between them; joined, they are `text`."""
    match kind:
        case Format.MARKDOWN:
            return list(markdown.parse(text))
        case Format.TEXT:
            return list(plaintext.parse(text))
        case _:
            assert_never(kind)


def convert(blocks: Iterable[str | Block]) -> Document:
    """Blocks into segments, markup into placeholders."""
    segmenter = Segmenter()
    parts: list[Part] = []
    for block in blocks:
        if isinstance(block, Block):
            parts += segmenter.cut(block)
        else:
            parts.append(block)
    return Document(tuple(parts))
