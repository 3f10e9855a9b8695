"""Markdown as blocks: only prose is taken, all else stays byte for byte."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from markdown_it.token import Token

from translator.blocks import Block
from translator.inline import Span, reader, spans
from translator.plaintext import LINE
from translator.segments import Atom, AtomKind

GUARDED: Final = "*_`[]<>|~\\"
_EOL: Final = r"(?:\r\n|\r|\n)"
# Between `---` only where a `key:` follows at once: a rule may open a document too.
_FRONT_MATTER: Final = re.compile(
    rf"\A\ufeff?(?:---[ \t]*{_EOL}(?=[\w\"'.-]+[ \t]*:|\#)(?:[^\r\n]*{_EOL})*?(?:---|\.\.\.)"
    rf"|\+\+\+[ \t]*{_EOL}(?:[^\r\n]*{_EOL})*?\+\+\+)[ \t]*(?:{_EOL}|\Z)"
)


class _Line(NamedTuple):
    """A line of a block's content: `text` begins at `start` in the source, at `at` in the content."""

    at: int
    start: int
    text: str


def parse(text: str) -> Iterator[str | Block]:
    """Blocks and the text between them, in order; joined, they are `text`."""
    front = _FRONT_MATTER.match(text)
    base = front.end() if front else (1 if text.startswith("\ufeff") else 0)
    done = 0
    for start, end, atoms in _prose(text, base):
        if start > done:
            yield text[done:start]
        yield Block(atoms, GUARDED)
        done = end
    if done < len(text):
        yield text[done:]


def _prose(text: str, base: int) -> Iterator[tuple[int, int, tuple[Atom, ...]]]:
    """The (start, end, atoms) of each block of prose after `base`, ascending."""
    markdown = reader()
    env: dict[str, Any] = {}
    starts = [match.start() for match in LINE.finditer(text, base)]
    cell_from = 0  # table cells of a row come one after another on one line
    for opening, token in pairwise(markdown.parse(text[base:], env)):
        if token.type != "inline" or token.map is None or not token.content.strip():
            continue
        is_cell = opening.type in ("th_open", "td_open")
        lines = _locate(text, starts, token, cell_from if is_cell else None)
        if lines is None:
            continue
        start, end = lines[0].start, lines[-1].start + len(lines[-1].text)
        cell_from = end
        content = "\n".join(line.text for line in lines)
        found = spans(markdown, content, env)
        yield start, end, tuple(_atoms(text, content, lines, found))


def _locate(text: str, starts: Sequence[int], token: Token, cell_from: int | None) -> list[_Line] | None:
    """Where each line of the token's content stands in `text`; None where it cannot be told."""
    first = token.map[0] if token.map else len(starts)
    lines: list[_Line] = []
    at = 0
    for number, content_line in enumerate(token.content.split("\n"), first):
        if number >= len(starts):
            return None
        low = starts[number]
        stop = LINE.match(text, low).end(1)  # type: ignore[union-attr]  # matches any string
        bare = content_line.lstrip() if lines else content_line
        if cell_from is None:
            place = text.rfind(bare, low, stop)  # prose reaches to the end of its line
        else:
            place = text.find(bare, max(low, cell_from), stop)
            if place < 0:
                bare = bare.replace("|", "\\|")  # a table reads \| as |
                place = text.find(bare, max(low, cell_from), stop)
        if place < 0:
            return None
        lines.append(_Line(at, place, bare))
        at += len(bare) + 1
    return lines


def _atoms(text: str, content: str, lines: Sequence[_Line], found: Sequence[Span]) -> Iterator[Atom]:
    begins = [line.at for line in lines]

    def origin(position: int) -> int:
        line = lines[bisect_right(begins, position) - 1]
        return line.start + (position - line.at)

    at = 0
    for start, end, kind in found:
        if start > at:
            words = content[at:start]
            if kind in (AtomKind.BREAK, AtomKind.STOP):
                kept = words.rstrip(" \t")
                start -= len(words) - len(kept)
                words = kept
            if words:
                yield Atom(AtomKind.TEXT, text[origin(at) : origin(at) + len(words)])
        # The source of a span reaches to where the content goes on: a quote's `> ` belongs to its line break.
        finish = origin(end) if end < len(content) else origin(end - 1) + 1
        yield Atom(kind, text[origin(start) : finish])
        at = end
    if at < len(content):
        yield Atom(AtomKind.TEXT, text[origin(at) : origin(at) + len(content) - at])
