"""What a command prints: whole lines as they come, and no byte beyond the bound."""

from __future__ import annotations

from sshworker.output import TAIL_BYTES, Output, Tail


def test_lines_are_told_once_and_whole_however_they_arrive() -> None:
    """A chunk may end in the middle of a line, or of a character."""
    lines: list[str] = []
    output = Output(1000, lines.append)
    for byte in "раз\n\nдва\nтри".encode():
        assert output.add(bytes([byte]))
    assert lines == ["раз", "", "два"]
    assert (output.text(), output.is_whole) == ("раз\n\nдва\nтри", False)
    assert output.add(b"\nx\ny\n")
    assert lines == ["раз", "", "два", "три", "x", "y"]
    assert output.is_whole


def test_the_bound_is_exact() -> None:
    """What would go beyond it is not kept."""
    output = Output(5)
    assert output.add(b"12345")
    assert not output.is_too_large
    assert not output.add(b"6")
    assert output.is_too_large
    assert output.text() == "12345"


def test_nothing_and_white_space_are_no_content() -> None:
    """An empty result is whole, and none."""
    output = Output(10)
    assert (output.has_content, output.is_whole, output.is_utf8) == (False, True, True)
    output.add(b" \n")
    assert not output.has_content
    output.add(b"\xff")
    assert (output.has_content, output.is_utf8) == (True, False)


def test_the_tail_keeps_the_end() -> None:
    """Standard error may be endless."""
    tail = Tail()
    for n in range(10_000):
        assert tail.add(f"{n}\n".encode())
    assert tail.text().endswith("9998\n9999\n")
    assert len(tail.text()) == TAIL_BYTES
