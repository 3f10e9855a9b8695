"""A command as the configuration writes it: words with `{name}` where a value of the segment comes in."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Final

# What stands for the segment's languages, the engine's model and the command's own folder on the worker.
PLACEHOLDERS: Final = ("source", "target", "source_long", "target_long", "model", "remote_dir")
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")


def fill(template: str, values: Mapping[str, str]) -> tuple[str, ...]:
    """The words of `template`, each `{name}` filled in; a value stays inside its word, whatever it holds.

    Words are separated and quoted as in a shell, but nothing else is a shell's: no pipes, no variables.

    Raises: ValueError: bad quoting, an unknown `{name}`, no program, or a value that would become an option.
    """
    words = []
    for pattern in shlex.split(template):
        unknown = [name for name in _PLACEHOLDER.findall(pattern) if name not in values]
        if unknown:
            known = ", ".join(f"{{{name}}}" for name in values)
            raise ValueError(f"the command template knows no {{{unknown[0]}}}; it knows {known}")
        word = _PLACEHOLDER.sub(lambda found: values[found[1]], pattern)
        if "\0" in word:
            raise ValueError("a word of a command cannot hold a NUL")
        if word.startswith("-") and not pattern.startswith("-"):
            raise ValueError(f"the value of {pattern} would be taken for an option")
        words.append(word)
    if not words or not words[0] or words[0].startswith("-") or _PLACEHOLDER.search(shlex.split(template)[0]):
        raise ValueError("a command template begins with a program")
    return tuple(words)


def is_template(template: str) -> bool:
    """Whether it can be filled in: quoted well, beginning with a program, and with known names only."""
    try:
        fill(template, dict.fromkeys(PLACEHOLDERS, "x"))
    except ValueError:
        return False
    return True


def program_of(template: str) -> str:
    """The program it runs. Raises: ValueError: bad quoting."""
    return shlex.split(template)[0]
