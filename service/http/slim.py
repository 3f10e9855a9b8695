"""Scripts and styles without what only their readers need: a fifth of what would come over the wire.

Careful rather than thorough, since it knows no grammar: comments on lines of their own, and indentation.
"""

from __future__ import annotations

import re
from typing import Final

_STYLE_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
_INDENT: Final = re.compile(r"^\s+", re.MULTILINE)


def slim_script(source: str) -> str:
    """The script, line for line: an error names the line of the file.

    As it was where a template may go over several lines: blanks in it are text.
    """
    lines = source.splitlines()
    if any(line.count("`") % 2 for line in lines):
        return source
    kept: list[str] = []
    in_comment = False
    for line in map(str.strip, lines):
        if in_comment or line.startswith("/*"):
            in_comment = not line.endswith("*/")
            kept.append("")
        else:
            kept.append("" if line.startswith("//") else line)
    return "\n".join(kept) + "\n"


def slim_style(source: str) -> str:
    """The style sheet; a `/*` in one of its strings would be taken for a comment."""
    return _INDENT.sub("", _STYLE_COMMENT.sub("", source))
