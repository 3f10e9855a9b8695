"""Where sentences end, in any language that ends them with a stop and begins them with a capital.

Works on a block's skeleton: its text with one private character for each mark and each line break.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

MARK: Final = "\ue000"
OBJECT: Final = "\ue001"
BREAK: Final = "\ue002"
STOP: Final = "\ue003"
RESERVED: Final = frozenset((MARK, OBJECT, BREAK, STOP))

# A stop, closing quotes or brackets, then white space, then something a sentence can begin with.
_BOUNDARY: Final = re.compile(
    rf"""(?P<stop>[.!?…]+[)\]»”’"'{MARK}]*)(?P<gap>[\s{BREAK}]+)(?=[«“„"'‘(\[—–\-\s{MARK}]*(?P<next>.))"""
    rf"""|(?P<wide>[。！？]+[」』”]*)|{STOP}""",
    re.DOTALL,
)
# Stops that end a word, not a sentence, when a capital may follow. Lower case, without the last stop.
_ABBREVIATIONS: Final = frozenset(
    """mr mrs ms dr prof st sr jr vs no fig vol capt lt col gen sgt rev hon etc e.g i.e cf approx dept
    est sra srta dra ud uds pág núm г гг в вв т тт п пп ст см ср рис табл гл стр им ул пр просп пл д
    кв г-н г-жа др проф акад доц руб коп тыс млн млрд напр т.е т.д т.п т.к н.э""".split()  # noqa: SIM905  # one word a line would be a page
)
# A text without stops (a list of names, a transcript) must not become one request of a hundred pages.
MAX_CHARACTERS: Final = 2000
_CLAUSE: Final = re.compile(rf"[,;:—–][{MARK}]*[\s{BREAK}]+")
_SPACE: Final = re.compile(rf"[\s{BREAK}]+")
_LAST_WORD: Final = re.compile(r"[\w.\-]*\Z")


def sentences(skeleton: str) -> Iterator[tuple[int, int]]:
    """The (start, end) of each sentence in order, covering all of `skeleton`.

    A boundary lies after the white space that follows the stop, so joining the slices gives the whole again.
    """
    start = 0
    for match in _BOUNDARY.finditer(skeleton):
        if match["stop"] is not None and not _ends_sentence(skeleton, match):
            continue
        if match.end() > start:
            yield from _cut(skeleton, start, match.end())
            start = match.end()
    if start < len(skeleton):
        yield from _cut(skeleton, start, len(skeleton))


def _cut(skeleton: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A sentence in pieces of at most `MAX_CHARACTERS`, cut after a clause or a word where there is one."""
    while end - start > MAX_CHARACTERS:
        limit = start + MAX_CHARACTERS
        half = start + MAX_CHARACTERS // 2
        clauses = [match.end() for match in _CLAUSE.finditer(skeleton, half, limit)]
        spaces = [match.end() for match in _SPACE.finditer(skeleton, half, limit)]
        at = (clauses or spaces or [limit])[-1]
        yield start, at
        start = at
    if end > start:
        yield start, end


def _ends_sentence(skeleton: str, match: re.Match[str]) -> bool:
    following = match["next"]
    if following.islower():
        return False
    stop = match["stop"]
    if not stop.startswith(".") or stop.startswith(".."):
        return True
    word = _LAST_WORD.search(skeleton, max(0, match.start() - 24), match.start())
    before = word[0] if word else ""
    if len(before) == 1 and before.isalpha() and before.isupper():
        return before in "IЯ"  # "A. S. Pushkin", but: "It is I. He left."
    if following.isdigit() and before.casefold() in {"no", "fig", "vol", "pp", "p", "с", "№"}:
        return False
    return before.casefold() not in _ABBREVIATIONS
