"""A translation goes back into the page with its markup and line breaks, and with nothing new."""

import pytest

from translator.documents import Format, convert, parse
from translator.segments import LostMarks, Segment


def only_segment(markdown: str) -> Segment:
    (segment,) = convert(parse(markdown, Format.MARKDOWN)).segments
    return segment


def test_markup_is_placeholders_for_the_engine_and_itself_in_the_page() -> None:
    """An engine sees plain text in which markup stands as placeholders."""
    segment = only_segment("The *old* keeper wrote in `log.txt` each [night](http://u.v/w).")
    assert segment.text == "The ⟦1⟧old⟦2⟧ keeper wrote in ⟦3⟧ each ⟦4⟧night⟦5⟧."
    restored = segment.restore("El guarda ⟦1⟧viejo⟦2⟧ escribía en ⟦3⟧ cada ⟦4⟧noche⟦5⟧.")
    assert restored == "El guarda *viejo* escribía en `log.txt` cada [noche](http://u.v/w)."


@pytest.mark.parametrize("translation", ["El viejo", "⟦2⟧a⟦1⟧ b", "⟦1⟧a⟦1⟧ ⟦2⟧", "⟦1⟧a⟦2⟧ ⟦3⟧", "⟦1⟧a⟦2⟧ ⟦"])
def test_lost_doubled_swapped_or_invented_placeholders_are_refused(translation: str) -> None:
    """Each placeholder comes back exactly once and in order."""
    with pytest.raises(LostMarks):
        only_segment("A *b* c").restore(translation)


def test_line_breaks_go_to_the_nearest_spaces_with_their_prefix() -> None:
    """A quote's second line stays a second line of the quote."""
    segment = only_segment("> The keeper wrote the number\n> of each wave.")
    assert segment.text == "The keeper wrote the number of each wave."
    assert segment.restore("El guarda apuntaba el número de cada ola.") == (
        "El guarda apuntaba el número\n> de cada ola."
    )


def test_spacing_around_markup_is_kept_whatever_the_engine_does() -> None:
    """`** word **` would be no emphasis."""
    segment = only_segment("A **red** house, a `dog`.")
    assert segment.restore("Una casa ⟦1⟧ roja ⟦2⟧, un ⟦3⟧ .") == "Una casa **roja**, un `dog`."


@pytest.mark.parametrize(
    ("translation", "restored"),
    [
        ("un *gran* día", r"un \*gran\* día"),
        ("# uno", r"\# uno"),
        ("1. uno", r"1\. uno"),
        ("- uno", r"\- uno"),
        ("uno\n\ndos", "uno dos"),
        ("<b>uno</b>", r"\<b\>uno\</b\>"),
        ("[uno](dos)", r"\[uno\](dos)"),
    ],
)
def test_a_translation_brings_no_markup_of_its_own(translation: str, restored: str) -> None:
    """Markup characters the source did not have are escaped, paragraphs stay one."""
    assert only_segment("one day").restore(translation) == restored


def test_a_broken_line_never_begins_like_a_list_or_heading() -> None:
    """A line break moved before `- ` would make a list."""
    segment = only_segment("one two three four\nfive six seven eight")
    assert segment.restore("uno dos tres - cuatro cinco seis") == "uno dos tres -\ncuatro cinco seis"


def test_ids_survive_edits_elsewhere_and_differ_for_repeats() -> None:
    """An id is made from the text and how often it stood earlier."""
    before = convert(parse("One.\n\nTwo.\n\nTwo.\n", Format.MARKDOWN)).segments
    after = convert(parse("New.\n\nTwo.\n\nTwo.\n", Format.MARKDOWN)).segments
    assert [s.id for s in before[1:]] == [s.id for s in after[1:]]
    assert len({s.id for s in before}) == 3
