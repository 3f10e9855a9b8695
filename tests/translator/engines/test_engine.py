"""What every engine's answer is held to."""

from __future__ import annotations

import pytest

from translation_events import ErrorType
from translator.engines.engine import EngineError, checked
from translator.segments import Segment

SEGMENT = Segment(id="s", number=1, text="The ⟦1⟧dog⟦2⟧.", source="The **dog**.", marks=("**", "**"))


@pytest.mark.parametrize(
    ("text", "error_type"),
    [
        (" \n", ErrorType.EMPTY),
        ("El perro.", ErrorType.BAD_OUTPUT),
        ("El ⟦1⟧\ud83d⟦2⟧.", ErrorType.BAD_OUTPUT),
    ],
)
def test_an_answer_that_cannot_stand_in_a_file_is_an_error(text: str, error_type: ErrorType) -> None:
    """Nothing, lost markup, half a surrogate pair: a failed segment, not a crash when the file is written."""
    with pytest.raises(EngineError) as caught:
        checked(SEGMENT, text)
    assert caught.value.error_type is error_type


def test_a_good_answer_stands() -> None:
    """It is returned as it is."""
    assert checked(SEGMENT, "El ⟦1⟧perro⟦2⟧.") == "El ⟦1⟧perro⟦2⟧."
