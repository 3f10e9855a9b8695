"""One contract for all engines: a model behind a real server, the real Apertium, the word list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sshworker.spec import Engine as EngineSpec
from tests.parts import need
from tests.sshd import Sshd
from tests.translator.conftest import Collector
from translation_events import ErrorType
from translator.documents import Format, convert, parse
from translator.engines.apertium import mode_for
from translator.engines.choice import EngineName, Fleet, open_engine
from translator.engines.engine import Engine, EngineError, Translation
from translator.engines.llm import LlmEngine
from translator.engines.llm_settings import LlmSettings
from translator.engines.retry import Retry
from translator.segments import Segment


def segment(markdown: str) -> Segment:
    (only,) = convert(parse(markdown, Format.MARKDOWN)).segments
    return only


@pytest.fixture(params=list(EngineName))
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    name: EngineName = request.param
    if name is EngineName.LLM:
        # By name, so that the others run without a model. Once is enough: it may ramble for seconds.
        settings = LlmSettings(
            request.getfixturevalue("llama_url"), max_output_tokens=24, retry=Retry(attempts=1)
        )
        model = await LlmEngine.connected(settings, "en", "es")
        yield model
        await model.aclose()
        return
    if name is EngineName.SSH:
        sshd: Sshd = request.getfixturevalue("sshd")
        need(mode_for("en", "es") is not None, "apt-get install apertium apertium-eng-spa")
        spec = sshd.spec(
            engine=EngineSpec("command", command="apertium -u {source_long}-{target_long}"), max_capacity=4
        )
        ssh = await open_engine(name, "en", "es", environ={}, fleet=Fleet([spec], Collector()))
        yield ssh
        await ssh.aclose()
        return
    if name is EngineName.APERTIUM:
        need(mode_for("en", "es") is not None, "apt-get install apertium apertium-eng-spa")
    opened = await open_engine(name, "en", "es", environ={})
    assert opened.name == name
    yield opened
    await opened.aclose()


async def translated(engine: Engine, of: Segment) -> Translation | EngineError:
    try:
        return await engine.translate(of)
    except EngineError as error:
        return error


async def test_an_engine_translates_a_sentence_to_something_else_or_says_why_not(engine: Engine) -> None:
    """The segment in the target language, never empty."""
    answer = await translated(engine, segment("The old dog eats the red bread."))
    if isinstance(answer, EngineError):  # a model of 135 million parameters may ramble; it must say so
        assert engine.name == "llm"
        assert answer.error_type in (ErrorType.BAD_OUTPUT, ErrorType.EMPTY, ErrorType.REFUSAL)
    else:
        assert answer.text.strip()
        assert answer.text != "The old dog eats the red bread."


async def test_an_engine_keeps_markup_or_fails(engine: Engine) -> None:
    """Placeholders come back each once and in order: markup is never lost silently."""
    of = segment("The **old** dog reads `log.txt` and the [red book](http://a.b).")
    answer = await translated(engine, of)
    if isinstance(answer, EngineError):
        assert engine.name == "llm"
    else:
        restored = of.restore(answer.text)
        for mark in ("**", "`log.txt`", "](http://a.b)"):
            assert mark in restored


@pytest.mark.parametrize(
    "text", ["Dr. O'Neil paid 5 $ / day @ home ^ {x} \\ y.", "a", "Ünïcode — 日本 🙂 word"]
)
async def test_an_engine_survives_any_text(engine: Engine, text: str) -> None:
    """Signs an engine's own format uses are only text."""
    answer = await translated(engine, segment(text))
    assert isinstance(answer, EngineError) or "🙂" in answer.text or "🙂" not in text or engine.name == "llm"


async def test_an_engine_may_be_called_from_many_tasks(engine: Engine) -> None:
    """Each answer belongs to its question."""
    words = ["book", "dog", "house", "door"]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(translated(engine, segment(f"The {word}.")), name=word) for word in words]
    if engine.name != "llm":
        texts = [task.result().text for task in tasks]  # type: ignore[union-attr]  # these do not fail
        for text, expected in zip(texts, ["libro", "perro", "casa", "puerta"], strict=True):
            assert expected in text


async def test_an_engine_says_what_it_is(engine: Engine) -> None:
    """Name, model and one sentence for people; a word list says it is one."""
    assert engine.model
    assert "\n" not in engine.statement
    expected = {
        "llm": "language model",
        "apertium": "Apertium",
        "glossary": "word list",
        "ssh": "SSH worker",
    }[engine.name]
    assert expected in engine.statement


async def test_only_a_model_and_a_worker_report_usage(engine: Engine) -> None:
    """Usage is what model requests consumed, one entry a request."""
    answer = await translated(engine, segment("The dog."))
    usages = answer.usages
    if engine.name != "llm":
        assert [usage.worker for usage in usages] == (["gpu-1"] if engine.name == "ssh" else [])
        return
    assert len(usages) >= 1
    for usage in usages:
        assert usage.input_tokens > 0
        assert usage.duration_s is not None
        assert usage.prefill_s is not None, "llama.cpp tells its timings"
        assert usage.decode_s is not None
        assert usage.decode_s <= usage.duration_s
