"""Documents keep every byte that is not prose."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from translator.blocks import Block
from translator.documents import (
    Document,
    DocumentError,
    Format,
    convert,
    format_of,
    parse,
    read_text,
    restore,
)
from translator.segments import PLACEHOLDER, LostMarks

ROOT = Path(__file__).parents[2]
REAL_FILES = sorted(
    path
    for folder in (ROOT, ROOT / "docs", ROOT / "translator/samples", ROOT / ".venv")
    for path in (folder.rglob("*.md") if folder.name != ROOT.name else folder.glob("*.md"))
)[:120]

PIECES = st.sampled_from(
    [
        *" \n\n\n\t*_`[]()<>!#-+>|~\\&;.:1\r\ufeff⟦⟧\0\ue000",
        "word ", "The old man. ", "Слово ", "```\n", "    ", '[a b](c "d")', "![i](j)", "<b>", "</b>",
        "| a | b |\n|---|---|\n| c \\| d | e |\n", "> ", "- ", "1. ", "  \n", "\\\n", "[ref]", "[text][ref]",
        "\n\n[ref]: http://x.y\n", "https://a.b/c?d=e. ", "---\n", "===\n", "&amp;", "~~", "**", "\r\n",
        "[^1]", "- [ ] ", "<div>\n", "me@example.org ",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=40).map("".join)


def identity(document: Document) -> str:
    return document.render({s.id: restore(s, s.text) for s in document.segments})


def swapped(document: Document) -> str:
    """Each letter of a and b, а and б swapped: a translation of the same length that undoes itself."""
    table = str.maketrans("abABабАБ", "baBAбаБА")
    return document.render({s.id: restore(s, s.text.translate(table)) for s in document.segments})


def structure(markdown: str) -> list[tuple[str, ...]]:
    """What a reader of Markdown sees but for the words."""
    seen: list[tuple[str, ...]] = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown):
        for inner in [token, *(token.children or [])]:
            kept = inner.content if inner.type not in ("text", "inline") else ""
            seen.append((inner.type, inner.tag, inner.markup, kept, str(sorted(inner.attrs.items()))))
    return [row for row in seen if row[0] != "text"]


@pytest.mark.parametrize("kind", list(Format))
@given(text=TEXTS)
@settings(max_examples=400, deadline=None)
def test_a_translation_that_changes_nothing_gives_the_same_bytes(kind: Format, text: str) -> None:
    """A round trip with an identity engine gives back the identical bytes."""
    blocks = parse(text, kind)
    assert "".join(
        "".join(atom.source for atom in b.atoms) if isinstance(b, Block) else b for b in blocks
    ) == text  # fmt: skip
    assert identity(convert(blocks)) == text


@pytest.mark.parametrize("kind", list(Format))
@given(text=TEXTS)
@settings(max_examples=400, deadline=None)
def test_a_translation_undone_gives_the_same_bytes(kind: Format, text: str) -> None:
    """What is taken for prose stays prose in the result, and nothing else becomes prose."""
    there = swapped(convert(parse(text, kind)))
    assert swapped(convert(parse(there, kind))) == text


@pytest.mark.parametrize("path", REAL_FILES, ids=lambda path: path.name)
def test_real_markdown_files_come_back_as_they_were(path: Path) -> None:
    """Real Markdown, with its tables, code, links and HTML."""
    text = read_text(path)
    document = convert(parse(text, Format.MARKDOWN))
    assert identity(document) == text
    assert structure(swapped(document)) == structure(text)


NOISE = st.lists(
    st.sampled_from(
        [
            *("uno", "dos", "perro.", "É", "—", "- x", "1. y", "# z", "*a*", "_b_", "`c`", "[d](e)", "<b>"),
            *("|", "~~f~~", "\\", "!", "![i]", "> q", "+", "===", "---", "\n", "\n\n", "**", "1)", "```"),
            "<!-- c -->",
        ]
    ),
    min_size=1,
    max_size=8,
).map(" ".join)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_no_translation_changes_the_structure(data: st.DataObject) -> None:
    """Whatever an engine answers: either it is refused or the page keeps its headings, lists, links, code."""
    text = (ROOT / "tests/translator/samples/everything.md").read_text()
    document = convert(parse(text, Format.MARKDOWN))
    # A footnote's text of one word would be a link's address to a reader that knows no footnotes.
    segment = data.draw(st.sampled_from([s for s in document.segments if "footnote" not in s.text]))
    pieces = PLACEHOLDER.split(segment.text)
    for at in range(0, len(pieces), 2):
        if run := pieces[at].strip():
            pieces[at] = pieces[at].replace(run, data.draw(NOISE))
    answer = "".join(f"⟦{piece}⟧" if at % 2 else piece for at, piece in enumerate(pieces))
    try:
        restored = restore(segment, answer)
    except LostMarks:
        return
    # A line break that finds no space is left out: the one thing that may go.
    after = [row for row in structure(document.render({segment.id: restored})) if row[0] != "softbreak"]
    assert after == [row for row in structure(text) if row[0] != "softbreak"]


def test_only_prose_is_given_to_an_engine() -> None:
    """Code, addresses, images, HTML, front matter and reference names are not translated."""
    text = (ROOT / "tests/translator/samples/everything.md").read_text()
    seen = " ".join(re.sub(r"⟦\d+⟧", " ", s.text) for s in convert(parse(text, Format.MARKDOWN)).segments)
    assert "untouched" not in seen.lower()
    prose = re.findall(r"prose\d+", text)
    assert prose == re.findall(r"prose\d+", seen)
    assert len(prose) > 15


def test_plain_text_keeps_verse_apart_and_joins_wrapped_lines() -> None:
    """A line set to a width goes on into the next, a short line is its own."""
    text = (
        "A short title\n\n  This line of prose is long enough to have been wrapped by\r\n"
        "  somebody. And it ends.\n\nRoses are red\nviolets are blue"
    )
    texts = [s.text for s in convert(parse(text, Format.TEXT)).segments]
    assert texts == [
        "A short title",
        "This line of prose is long enough to have been wrapped by somebody.",
        "And it ends.",
        "Roses are red",
        "violets are blue",
    ]


def test_unknown_formats_and_unreadable_files_are_refused_with_their_class(tmp_path: Path) -> None:
    """Fatal: unreadable file, unsupported format."""
    with pytest.raises(DocumentError) as unsupported:
        format_of(Path("a.pdf"))
    assert unsupported.value.error_type == "unsupported_format"
    (tmp_path / "a.txt").write_bytes("Привет".encode("cp1251"))
    for name in ("a.txt", "missing.txt"):
        with pytest.raises(DocumentError) as unread:
            read_text(tmp_path / name)
        assert unread.value.error_type == "read_failed"
