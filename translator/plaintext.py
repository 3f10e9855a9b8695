"""Plain text as blocks: paragraphs, blank lines, indentation and line ends stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from translator.blocks import Block
from translator.segments import Atom, AtomKind

LINE: Final = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")
_BODY: Final = re.compile(r"(\s*)(.*?)(\s*)\Z", re.DOTALL)
_ENDS_SENTENCE: Final = re.compile(r"[.!?…:][)\]»”’\"']*\Z")
# Text set to a width is wrapped well beyond this; lines of verse, lists and headings are shorter.
MIN_WRAPPED: Final = 45


def parse(text: str) -> Iterator[str | Block]:
    """Blocks and the text between them, in order; joined, they are `text`.

    A line goes on into the next where it is long enough to have been wrapped, does not end a sentence and the
    next one has no other indentation; else each line is a block of its own.
    """
    atoms: list[Atom] = []
    indent = ""
    pending = ""  # the line end after the block so far: a break if the block goes on, else itself
    for match in LINE.finditer(text):
        line, end = match[1], match[2]
        lead, body, trail = _BODY.match(line).groups()  # type: ignore[union-attr]  # matches any string
        goes_on = bool(atoms and body) and lead == indent and _wrapped(atoms[-1].source)
        if atoms and not goes_on:
            yield Block(tuple(atoms))
            yield pending
            atoms, pending = [], ""
        if goes_on:
            atoms.append(Atom(AtomKind.BREAK, pending + lead))
        elif lead:
            yield lead
        if body:
            atoms.append(Atom(AtomKind.TEXT, body))
            indent, pending = lead, trail + end
        elif trail or end:
            yield trail + end
        if not end:
            break
    if atoms:
        yield Block(tuple(atoms))
        yield pending


def _wrapped(line: str) -> bool:
    return len(line) >= MIN_WRAPPED and not _ENDS_SENTENCE.search(line)
