"""What is whole in the beginning of an array, wherever it is cut. Source: docs/protocol.md, "HTTP"."""

from __future__ import annotations

import orjson
import pytest

from service.http.cut_array import whole_elements

ARRAY = ' [ {"a": "ü]},", "b": [1, 2]} ,12, "é\\"," ,null,{"c": {"d": [{}]}}\n] '.encode()


def test_every_cut_gives_the_elements_that_are_whole_and_no_others() -> None:
    """Each element as it was written; the one before the cut only if its comma or bracket came too."""
    wanted = orjson.loads(ARRAY)
    counts: list[int] = []
    for end in range(len(ARRAY) + 1):
        found = [orjson.loads(element) for element in whole_elements(ARRAY[:end])]
        assert found == wanted[: len(found)]
        counts.append(len(found))
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, len(wanted))


@pytest.mark.parametrize("start", [b"", b"{}", b'"[1,2]"', b"[", b"[]", b"[,1]", b"[\xff,1]", b"[" * 100_000])
def test_what_is_no_array_has_no_elements(start: bytes) -> None:
    """Nothing for what is no array of UTF-8, however deep it is nested."""
    assert list(whole_elements(start)) == []


def test_a_mistake_ends_it() -> None:
    """What stands before the mistake is whole."""
    assert list(whole_elements(b"[1, 2 3, 4]")) == [b"1", b"2"]
