"""Sentences are found in any language that ends them with a stop."""

import pytest

from translator.sentences import BREAK, MARK, MAX_CHARACTERS, STOP, sentences


def cut(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One. ", "Two! ", "Three? ", "Four"]),
        ("He met Mr. Smith at 5 p.m. today.", ["He met Mr. Smith at 5 p.m. today."]),
        ("A. S. Pushkin wrote it. We read it.", ["A. S. Pushkin wrote it. ", "We read it."]),
        ("Он жил в г. Москве. Потом уехал.", ["Он жил в г. Москве. ", "Потом уехал."]),
        ("Книги, тетради и т. д. Они лежат тут.", ["Книги, тетради и т. д. Они лежат тут."]),
        ("— Да! — сказал он. — Нет.", ["— Да! — сказал он. ", "— Нет."]),
        ("“Wait.” He waited.", ["“Wait.” ", "He waited."]),
        ("Version 3.11 is out. Install it.", ["Version 3.11 is out. ", "Install it."]),
        ("Well... maybe. Yes… No.", ["Well... maybe. ", "Yes… ", "No."]),
        ("今日は。元気？はい", ["今日は。", "元気？", "はい"]),
    ],
)
def test_sentences_end_at_stops_and_not_at_abbreviations(text: str, expected: list[str]) -> None:
    """A stop, white space and a beginning make a boundary; an abbreviation's stop does not."""
    assert cut(text) == expected


def test_a_text_without_stops_is_cut_after_clauses_or_words() -> None:
    """No piece is longer than the limit, none is lost."""
    for text in ("one two, three four " * 500, "word " * 1000, "x" * 5000):
        pieces = cut(text)
        assert "".join(pieces) == text
        assert max(map(len, pieces)) <= MAX_CHARACTERS
    assert all(piece.endswith(", ") for piece in cut("one two, three four " * 500)[:-1])


def test_a_line_break_is_white_space_and_a_meant_one_is_a_boundary() -> None:
    """Marks may stand between the stop and the gap."""
    assert cut(f"One.{MARK}{BREAK}Two{STOP}three") == [f"One.{MARK}{BREAK}", f"Two{STOP}", "three"]
