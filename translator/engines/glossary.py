"""The word list: translates word by word from a table, offline. It is no translator and says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from translation_events.errors import ConfigError
from translator.engines.engine import EngineUnavailable, Translation, checked
from translator.engines.languages import language
from translator.segments import PLACEHOLDER, Segment

_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
MAX_WORDS: Final = 5  # the longest entry looked for
NOTHING: Final = "∅"  # as a translation: the word has no counterpart and is left out


class GlossaryEngine:
    """Replaces the words and phrases its list knows, longest first; the rest stays. Keeps case and stops."""

    name: Final = "glossary"
    capacity: Final = None

    def __init__(self, entries: Mapping[str, str], model: str) -> None:
        self._entries = entries
        self.model = model
        self._words = 0
        self._known = 0

    @classmethod
    def bundled(cls, source: str, target: str) -> GlossaryEngine:
        """The list that ships for this pair. Raises: EngineUnavailable."""
        pair = f"{language(source).code}-{language(target).code}"
        folder = files("translator") / "glossaries"
        resource = folder / f"{pair}.tsv"
        if not resource.is_file():
            known = ", ".join(sorted(f.name[:-4] for f in folder.iterdir() if f.name.endswith(".tsv")))
            raise EngineUnavailable(f"no word list for {pair}; there is one for {known}")
        return cls(_entries(resource.read_text("utf-8"), resource.name), pair)

    @classmethod
    def from_file(cls, path: Path) -> GlossaryEngine:
        """A list of the user's own, `source TAB target` a line. Raises: ConfigError, OSError."""
        return cls(_entries(path.read_text("utf-8"), path.name), path.stem)

    @property
    def statement(self) -> str:
        """What a word list is, and how many of the words so far it knew."""
        known = f", which knew {self._known} of {self._words} words" if self._words else ""
        return f"a word list of {len(self._entries)} entries ({self.model}){known}: words, not a translation"

    @property
    def coverage(self) -> tuple[int, int]:
        """How many words so far it knew, and how many there were."""
        return self._known, self._words

    async def translate(self, segment: Segment) -> Translation:
        """The segment with the words it knows replaced."""
        pieces = PLACEHOLDER.split(segment.text)
        for at in range(0, len(pieces), 2):
            pieces[at] = self._replace(pieces[at])
        text = "".join(f"⟦{piece}⟧" if at % 2 else piece for at, piece in enumerate(pieces))
        # Only words that were left out: the text itself is better than nothing.
        return Translation(checked(segment, text if text.strip() else segment.text))

    async def aclose(self) -> None:
        """Nothing is held."""

    def _replace(self, run: str) -> str:
        words = list(_WORD.finditer(run))
        out: list[str] = []
        at = number = 0
        capital = False  # a word left out hands its capital on
        while number < len(words):
            length, found = self._longest(run, words, number)
            first, last = words[number], words[number + length - 1]
            out.append(run[at : first.start()])
            original = run[first.start() : last.end()]
            at = last.end()
            if found == NOTHING:
                capital = capital or original[0].isupper()
                at += len(run[at:]) - len(run[at:].lstrip())
            else:
                word = original if found is None else _with_case(original, found)
                out.append(word[:1].upper() + word[1:] if capital else word)
                capital = False
            self._words += length
            self._known += length if found is not None else 0
            number += length
        return "".join(out) + run[at:]

    def _longest(self, run: str, words: list[re.Match[str]], first: int) -> tuple[int, str | None]:
        for length in range(min(MAX_WORDS, len(words) - first), 0, -1):
            phrase = run[words[first].start() : words[first + length - 1].end()]
            found = self._entries.get(_key(phrase))
            if found is not None:
                return length, found
        return 1, None


def _key(phrase: str) -> str:
    return phrase.casefold().replace("’", "'").replace("ё", "е")


def _with_case(original: str, found: str) -> str:
    letters = [c for c in original if c.isalpha()]
    if len(letters) > 1 and all(c.isupper() for c in letters):
        return found.upper()
    if letters[0].isupper() and original.casefold() != "i":
        return found[:1].upper() + found[1:]
    return found


def _entries(text: str, name: str) -> dict[str, str]:
    entries: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        source, tab, target = line.partition("\t")
        if not tab or not source.strip() or not target.strip():
            raise ConfigError(f"{name} line {number}: expected 'source TAB target'")
        entries.setdefault(_key(source.strip()), target.strip())
    return entries
