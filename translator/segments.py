"""The segment: the piece of prose an engine translates, and how its translation goes back into the page.

An engine sees plain text in which markup stands as placeholders (`⟦1⟧`); line breaks inside a sentence read
as spaces. `Segment.restore` puts both back, so whatever an engine does, the page keeps its structure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

PLACEHOLDER: Final = re.compile(r"⟦(\d+)⟧")
_ANY_BRACKET: Final = re.compile(r"[⟦⟧]")
_LINE_ENDS: Final = re.compile(r"[ \t]*[\r\n]+[ \t]*")
_WIDE_GAP: Final = re.compile(r" {2,}")
# What Markdown would take for a new block where a line begins with it.
_BLOCK_START: Final = re.compile(r"(?:#{1,6}(?=\s|$)|[-+*>=|~]|\d{1,9}(?=[.)](?:\s|$)))")


class AtomKind(Enum):
    """What a stretch of a block is: text to translate, or something that stays."""

    TEXT = "text"
    MARK = "mark"  # a delimiter: emphasis, a bracket, a tag
    OBJECT = "object"  # stands for a word: code, an image, an address
    BREAK = "break"  # a line break inside a sentence; reads as one space
    STOP = "stop"  # a line break that is meant: no segment crosses it


@dataclass(frozen=True, slots=True)
class Atom:
    """A stretch of a block; the sources of a block's atoms, joined, are the block."""

    kind: AtomKind
    source: str


@dataclass(frozen=True, slots=True)
class LineBreak:
    """A line break inside a segment: it replaced the space at `position` in the segment's text."""

    position: int
    source: str


class LostMarks(Exception):
    """A translation lacks a placeholder, repeats one, or has them in another order."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence or so of prose.

    `id` is made from the text and how often it stood earlier in the file, so it survives edits elsewhere;
    `number` counts from 1 within the file. `text` is what an engine gets, `marks[n]` what `⟦n+1⟧` stands for,
    `source` the segment as the file has it, `context` the sentence before it (may be empty), `guarded` the
    characters that are markup in this format and must not come in through a translation.
    """

    id: str
    number: int
    text: str
    source: str
    marks: tuple[str, ...] = ()
    breaks: tuple[LineBreak, ...] = ()
    context: str = ""
    guarded: str = ""

    @property
    def runs(self) -> Sequence[str]:
        """The text between the placeholders, at even places; the placeholders' numbers at odd ones."""
        return PLACEHOLDER.split(self.text)

    def check(self, translation: str) -> None:
        """Raises: LostMarks: the placeholders of `translation` are not those of `text`, in that order.

        Nor may two come together that had words between them: `****` is no emphasis any more. Nothing at
        all is no translation either: a heading without text is a line of another kind.
        """
        found = PLACEHOLDER.findall(translation)
        if found != [str(n + 1) for n in range(len(self.marks))] or not translation.strip():
            raise LostMarks
        inner = zip(self.runs[2:-1:2], PLACEHOLDER.split(translation)[2:-1:2], strict=True)
        if any(before.strip() and not after.strip() for before, after in inner):
            raise LostMarks
        if _ANY_BRACKET.search(PLACEHOLDER.sub("", translation)):
            raise LostMarks

    def restore(self, translation: str) -> str:
        """The translation as it stands in the file: markup and line breaks back in, no new ones.

        Line breaks go to the spaces nearest to their old relative places; one that finds no space (Chinese,
        a single word) is left out. Raises: LostMarks.
        """
        self.check(translation)
        text = _LINE_ENDS.sub(" ", translation.strip())
        if "  " not in self.text:
            text = _WIDE_GAP.sub(" ", text)
        text = self._tighten(text)
        if self.guarded:
            text = self._guard(text)
        text = self._break_lines(text)
        return PLACEHOLDER.sub(lambda match: self.marks[int(match[1]) - 1], text)

    def _tighten(self, text: str) -> str:
        """Give each placeholder the spacing it had: `** word **` is no emphasis, `word**word` reads badly."""
        for n in range(len(self.marks)):
            mark = f"⟦{n + 1}⟧"
            left, _, right = self.text.partition(mark)
            before, _, after = text.partition(mark)
            before = _same_gap(before, spaced=not left or left[-1].isspace(), at_end=True)
            after = _same_gap(after, spaced=not right or right[0].isspace(), at_end=False)
            text = before + mark + after
        return text

    def _guard(self, text: str) -> str:
        bare, bare_source = PLACEHOLDER.sub("", text), PLACEHOLDER.sub("", self.text)
        new = "".join(c for c in self.guarded if bare.count(c) > bare_source.count(c))
        if new:
            text = re.sub(f"[{re.escape(new)}]", lambda match: "\\" + match[0], text)
        start = _BLOCK_START.match(text)
        if start and not _BLOCK_START.match(self.text):
            cut = start.end() if start[0].isdigit() else 0
            text = text[:cut] + "\\" + text[cut:]
        return text

    def _break_lines(self, text: str) -> str:
        spaces = [i for i, c in enumerate(text) if c == " "]
        pieces, at = [], 0
        for line_break in self.breaks:
            wanted = round(line_break.position * len(text) / len(self.text))
            may_start = bool(_BLOCK_START.match(self.text, line_break.position + 1))
            free = [
                i
                for i in spaces
                if i >= at and (may_start or not self.guarded or not _BLOCK_START.match(text, i + 1))
            ]
            if not free:
                break
            place = min(free, key=lambda i: abs(i - wanted))
            pieces += [text[at:place], line_break.source]
            at = place + 1
        return "".join(pieces) + text[at:]


def _same_gap(text: str, *, spaced: bool, at_end: bool) -> str:
    """`text` with no space at the side of a placeholder that was tight, and one where words would touch."""
    if not text:
        return text
    if not spaced:
        return text.rstrip() if at_end else text.lstrip()
    edge = text[-1] if at_end else text[0]
    if edge.isalnum():
        return text + " " if at_end else " " + text
    return text
