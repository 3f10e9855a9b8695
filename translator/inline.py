"""Where the markup of a line of Markdown lies: markdown-it's own rules, watched while they read.

markdown-it gives inline tokens no positions. Its rules move a position in the source, so each rule is wrapped
in one that notes what was read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping
from typing import Any, Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

from translator.segments import AtomKind

_NOTES: Final = "translator.inline"  # our place in markdown-it's `env`
_KINDS: Final = {
    "escape": AtomKind.MARK,
    "backticks": AtomKind.OBJECT,
    "strikethrough": AtomKind.MARK,
    "emphasis": AtomKind.MARK,
    "link": AtomKind.MARK,
    "image": AtomKind.OBJECT,
    "autolink": AtomKind.OBJECT,
    "html_inline": AtomKind.MARK,
    "entity": AtomKind.MARK,
    "newline": AtomKind.BREAK,
}
# GitHub's footnote references and task boxes, which are plain text to CommonMark.
_EXTENSIONS: Final = re.compile(r"\[\^[^\]\s]+\]:?|\A\[[ xX]\](?=\s)")

Rule = Callable[[StateInline, bool], bool]


class Span(NamedTuple):
    """`start` to `end` of the content is markup of this kind."""

    start: int
    end: int
    kind: AtomKind


def reader() -> MarkdownIt:
    """A CommonMark reader with tables and strikethrough whose inline rules note what they read."""
    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    rules = {rule.name: rule.fn for rule in markdown.inline.ruler.__rules__}
    for name, kind in _KINDS.items():
        markdown.inline.ruler.at(name, _watch(rules[name], name, kind))
    return markdown


def spans(markdown: MarkdownIt, content: str, env: MutableMapping[str, Any]) -> list[Span]:
    """The markup in `content`, ascending, without overlap; `env` is that of the block parse (references)."""
    notes: list[Span] = []
    markdown.inline.parse(content, markdown, {**env, _NOTES: (content, notes)}, [])
    notes += [Span(*match.span(), AtomKind.OBJECT) for match in _EXTENSIONS.finditer(content)]
    notes.sort(key=lambda span: (span.start, -span.end))
    found: list[Span] = []
    for span in notes:
        if not found or span.start >= found[-1].end:
            found.append(span)
    return found


def same_markup(source: str, translation: str) -> bool:
    """True where both read as the same markup around other words; line breaks aside.

    Whether `**` is emphasis depends on the characters beside it, and those a translation changes.
    """
    markdown = MarkdownIt("commonmark").enable("strikethrough")
    return _skeleton(markdown, source) == _skeleton(markdown, translation)


def _skeleton(markdown: MarkdownIt, content: str) -> list[tuple[str, str, str, str]]:
    tokens = [inner for token in markdown.parseInline(content) for inner in token.children or []]
    return [
        (token.type, token.markup, token.content, str(sorted(token.attrs.items())))
        for token in tokens
        if token.type not in ("text", "softbreak")
    ]


def _watch(rule: Rule, name: str, kind: AtomKind) -> Rule:
    def watched(state: StateInline, silent: bool) -> bool:
        start = state.pos
        if not rule(state, silent):
            return False
        content, notes = state.env.get(_NOTES, (None, None))
        if silent or content is not state.src:  # an image's description is parsed as a text of its own
            return True
        if name == "link":
            notes.extend(_link(state, start))
        elif name in ("emphasis", "strikethrough"):
            last = state.delimiters[-1] if state.delimiters else None
            if last is None or last.open or last.close:
                notes.append(Span(start, state.pos, kind))
        elif state.src[start : start + 2] == "\\\n" or _two_spaces(state.src, start, name):
            notes.append(Span(start, state.pos, AtomKind.STOP))
        else:
            notes.append(Span(start, state.pos, kind))
        return True

    return watched


def _two_spaces(source: str, start: int, rule: str) -> bool:
    return rule == "newline" and source[max(0, start - 2) : start] == "  "


def _link(state: StateInline, start: int) -> list[Span]:
    end = state.pos
    label_end = state.md.helpers.parseLinkLabel(state, start, True)
    if state.src[label_end + 1 : end] in ("", "[]"):
        return [Span(start, end, AtomKind.OBJECT)]  # the label is the reference: translated, it would dangle
    return [Span(start, start + 1, AtomKind.MARK), Span(label_end, end, AtomKind.MARK)]
