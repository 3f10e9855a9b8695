"""Apertium's pipe: discovered, restarted, closed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from tests.parts import need
from translator.documents import Format, convert, parse
from translator.engines.apertium import ApertiumEngine, installed_modes, mode_for
from translator.engines.engine import EngineUnavailable
from translator.segments import Segment


def segment(text: str) -> Segment:
    (only,) = convert(parse(text, Format.MARKDOWN)).segments
    return only


@pytest.fixture
async def engine() -> AsyncIterator[ApertiumEngine]:
    need(mode_for("en", "es") is not None, "apt-get install apertium apertium-eng-spa")
    engine = ApertiumEngine.installed("en", "es")
    yield engine
    await engine.aclose()


async def test_it_translates_by_grammar_around_markup(engine: ApertiumEngine) -> None:
    """Word order changes, markup stays in its order and tight around words."""
    of = segment("The red house is `x` and **it** is [a big book](http://a.b).")
    restored = of.restore((await engine.translate(of)).text)
    assert restored == "La casa roja es `x` y **él** es [un libro grande](http://a.b)."


async def test_unknown_words_stay_without_marks(engine: ApertiumEngine) -> None:
    """Apertium's `*` for unknown words does not reach the page, a real `*` does."""
    answer = await engine.translate(segment("The frobnicator costs 3 * 4."))
    assert "frobnicator" in answer.text
    assert "*frobnicator" not in answer.text
    assert "3 * 4" in answer.text


async def test_it_begins_and_ends_like_the_source(engine: ApertiumEngine) -> None:
    """A cell or list item that begins small stays so; no space before a stop that had none."""
    assert (await engine.translate(segment("the dog"))).text == "el perro"
    assert " ," not in (await engine.translate(segment("His name was Martin, and he had a beard."))).text
    assert (await engine.translate(segment("OK then"))).text[:1].isupper()


async def test_a_dead_pipe_is_restarted(engine: ApertiumEngine) -> None:
    """The next segment starts a new pipe; nothing is lost."""
    assert (await engine.translate(segment("The dog."))).text == "El perro."
    process = engine._process
    assert process is not None
    os.killpg(process.pid, signal.SIGKILL)
    async with asyncio.timeout(5):
        await process.wait()
    assert (await engine.translate(segment("The house."))).text == "La casa."


async def test_a_cancelled_question_does_not_answer_the_next(engine: ApertiumEngine) -> None:
    """An answer half read would be taken for the next segment's."""
    await engine.translate(segment("The dog."))
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(engine.translate(segment("The house.")), name="asked")
        await asyncio.sleep(0)
        asked.cancel()
    assert (await engine.translate(segment("The book."))).text == "El libro."


async def test_closing_ends_every_stage(engine: ApertiumEngine) -> None:
    """No process is left behind."""
    await engine.translate(segment("The dog."))
    process = engine._process
    assert process is not None
    await engine.aclose()
    async with asyncio.timeout(5):
        while True:  # killed stages are reaped by init: wait until the group is empty
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                break
            await asyncio.sleep(0.01)


def test_a_pair_that_is_not_installed_names_those_that_are() -> None:
    """Bad pair: said in one line, with what there is."""
    need(bool(installed_modes()), "apt-get install apertium apertium-eng-spa")
    with pytest.raises(EngineUnavailable, match="eng-spa"):
        ApertiumEngine.installed("en", "vi")
