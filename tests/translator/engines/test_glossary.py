"""The word list: case, phrases, unknown words, honesty."""

from importlib.resources import files
from pathlib import Path

import pytest

from translation_events.errors import ConfigError
from translator.documents import Format, convert, format_of, parse, read_text
from translator.engines.engine import EngineUnavailable
from translator.engines.glossary import GlossaryEngine

ENTRIES = {"the": "∅", "old": "viejo", "old man": "anciano", "house": "casa", "it's": "es", "i": "yo"}


async def translate(text: str) -> str:
    (segment,) = convert(parse(text, Format.TEXT)).segments
    return (await GlossaryEngine(ENTRIES, "test").translate(segment)).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("old house, HOUSE; House!", "viejo casa, CASA; Casa!"),
        ("The old man", "Anciano"),
        ("the old wolf", "viejo wolf"),
        ("It’s a house", "Es a casa"),
        ("I, old", "yo, viejo"),
        ("The", "The"),
        ("house_house 3house", "casa_casa 3casa"),
    ],
)
async def test_known_words_are_replaced_and_all_else_stays(text: str, expected: str) -> None:
    """Longest phrase first, case and punctuation kept, a word without counterpart left out."""
    assert await translate(text) == expected


@pytest.mark.parametrize(("source", "target"), [("en", "ru"), ("en", "es"), ("ru", "en")])
async def test_the_bundled_lists_know_the_bundled_text(source: str, target: str) -> None:
    """The demo's text is covered; the engine counts what it knew and says it."""
    engine = GlossaryEngine.bundled(source, target)
    with_path = files("translator") / "samples" / f"lighthouse.{source}.md"
    path = Path(str(with_path))
    for segment in convert(parse(read_text(path), format_of(path))).segments:
        await engine.translate(segment)
    known, words = engine.coverage
    assert known / words > 0.98
    assert f"knew {known} of {words} words" in engine.statement
    assert "not a translation" in engine.statement


def test_a_pair_without_a_list_is_refused_with_those_there_are() -> None:
    """Bad pair: said in one line, with what there is."""
    with pytest.raises(EngineUnavailable, match="en-es, en-ru, ru-en"):
        GlossaryEngine.bundled("de", "fr")


def test_a_list_of_ones_own_says_where_it_is_wrong(tmp_path: Path) -> None:
    """The line at fault is named."""
    (tmp_path / "a.tsv").write_text("house\tcasa\nhouse casa\n")
    with pytest.raises(ConfigError, match="line 2"):
        GlossaryEngine.from_file(tmp_path / "a.tsv")
