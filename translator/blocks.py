"""From a block of prose to segments: sentences cut, markup in placeholders, the rest left alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from translator.segments import Atom, AtomKind, LineBreak, Segment
from translator.sentences import BREAK, MARK, OBJECT, RESERVED, STOP, sentences

# Stands for itself in any text: addresses, and what could be taken for our own signs.
_UNTOUCHABLE: Final = re.compile(
    r"(?:https?|ftp|file|mailto|ssh)://?[^\s<>\"'«»]*[^\s<>\"'«».,;:!?)\]]"
    r"|www\.[\w-]+\.[^\s<>\"'«»]*[^\s<>\"'«».,;:!?)\]]"
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    rf"|[⟦⟧{''.join(sorted(RESERVED))}]"
)
_SIGN: Final = {
    AtomKind.MARK: MARK,
    AtomKind.OBJECT: OBJECT,
    AtomKind.BREAK: BREAK,
    AtomKind.STOP: STOP,
}
_OUTER: Final = frozenset((MARK, BREAK, STOP))


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading, list item or table cell; `guarded` are its format's markup characters."""

    atoms: tuple[Atom, ...]
    guarded: str = ""


Part = str | Segment


@dataclass(slots=True)
class Segmenter:
    """Cuts the blocks of one file in order; numbers and names the segments."""

    number: int = 0
    _seen: Counter[str] = field(default_factory=Counter)

    def cut(self, block: Block) -> Iterator[Part]:
        """The block as segments and the text around them; joined, their sources are the block."""
        atoms = list(_units(block.atoms))
        skeleton = "".join(_SIGN.get(atom.kind, atom.source) for atom in atoms)
        context = ""
        for start, end in sentences(skeleton):
            first, last = start, end
            while first < last and (skeleton[first] in _OUTER or skeleton[first].isspace()):
                first += 1
            while last > first and (skeleton[last - 1] in _OUTER or skeleton[last - 1].isspace()):
                last -= 1
            if not any(c.isalpha() for c in skeleton[first:last]):
                yield "".join(atom.source for atom in atoms[start:end])
                continue
            if first > start:
                yield "".join(atom.source for atom in atoms[start:first])
            segment = self._segment(atoms[first:last], context, block.guarded)
            context = segment.text
            yield segment
            if last < end:
                yield "".join(atom.source for atom in atoms[last:end])

    def _segment(self, atoms: Sequence[Atom], context: str, guarded: str) -> Segment:
        text: list[str] = []
        marks: list[str] = []
        breaks: list[LineBreak] = []
        length = 0
        for atom in atoms:
            if atom.kind is AtomKind.TEXT:
                shown = atom.source
            elif atom.kind is AtomKind.BREAK:
                breaks.append(LineBreak(length, atom.source))
                shown = " "
            else:
                marks.append(atom.source)
                shown = f"⟦{len(marks)}⟧"
            text.append(shown)
            length += len(shown)
        source = "".join(atom.source for atom in atoms)
        digest = blake2b(source.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
        occurrence = self._seen[digest]
        self._seen[digest] += 1
        self.number += 1
        return Segment(
            id=f"{digest}-{occurrence}",
            number=self.number,
            text="".join(text),
            source=source,
            marks=tuple(marks),
            breaks=tuple(breaks),
            context=context,
            guarded=guarded,
        )


def _units(atoms: Sequence[Atom]) -> Iterator[Atom]:
    """One atom a character of text, neighbouring marks as one, so that atoms and skeleton share positions."""
    held: Atom | None = None
    for atom in _protect(atoms):
        if atom.kind in (AtomKind.MARK, AtomKind.OBJECT):
            if held is None:
                held = atom
            else:
                kind = held.kind if held.kind is atom.kind else AtomKind.OBJECT
                held = Atom(kind, held.source + atom.source)
            continue
        if held is not None:
            yield held
            held = None
        if atom.kind is AtomKind.TEXT:
            for character in atom.source:
                yield Atom(AtomKind.TEXT, character)
        else:
            yield atom
    if held is not None:
        yield held


def _protect(atoms: Sequence[Atom]) -> Iterator[Atom]:
    for atom in atoms:
        if atom.kind is not AtomKind.TEXT:
            yield atom
            continue
        at = 0
        for match in _UNTOUCHABLE.finditer(atom.source):
            if match.start() > at:
                yield Atom(AtomKind.TEXT, atom.source[at : match.start()])
            yield Atom(AtomKind.OBJECT, match[0])
            at = match.end()
        if at < len(atom.source):
            yield Atom(AtomKind.TEXT, atom.source[at:])
