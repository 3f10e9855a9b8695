"""Command templates: values stay in their words, and a wrong template is known before any segment."""

from __future__ import annotations

import pytest

from sshworker.template import PLACEHOLDERS, fill, is_template, program_of


def test_values_cannot_leave_their_word() -> None:
    """Safely quoted placeholders: no shell, no second word, no option."""
    assert fill("apertium -u {source}-{target}", {"source": "eng", "target": "spa"}) == (
        "apertium",
        "-u",
        "eng-spa",
    )
    assert fill("x 'a b' {v}", {"v": "$(id); '"}) == ("x", "a b", "$(id); '")
    for template, value in (("x {v}", "-rf"), ("x {other}", "a"), ("{v} x", "sh"), ("x 'a", "a"), ("", "a")):
        with pytest.raises(ValueError, match=r"\w"):
            fill(template, {"v": value})
    with pytest.raises(ValueError, match="NUL"):
        fill("x {v}", {"v": "a\0"})


def test_a_wrong_template_is_known_before_it_is_used() -> None:
    """Bad quoting, no program, a name that nothing stands for."""
    assert is_template("apertium -u {source_long}-{target_long}")
    assert is_template(" ".join(["llama-cli", *(f"{{{name}}}" for name in PLACEHOLDERS)]))
    for wrong in ("", "  ", "tr {nope}", "{source} x", "tr 'a", "-u x"):
        assert not is_template(wrong)
    with pytest.raises(ValueError, match=r"knows no \{nope\}; it knows \{source\}"):
        fill("tr {nope}", {"source": "en"})
    assert program_of("'/opt/my tools/tr' a") == "/opt/my tools/tr"
