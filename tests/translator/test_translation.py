"""A whole translation: its steps, events, failures and results."""

from __future__ import annotations

import asyncio
import os
import shutil
from importlib.resources import files
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from tests.parts import need
from tests.translator.conftest import Collector
from translation_events import ErrorType
from translation_events.event import Usage
from translator.engines.apertium import ApertiumEngine, mode_for
from translator.engines.engine import Engine, EngineError, Translation
from translator.engines.glossary import GlossaryEngine
from translator.output import Job
from translator.progress import Progress
from translator.progress_folder import ProgressFolder
from translator.segments import Segment
from translator.translation import Outcome, TranslationFailed
from translator.translation import Translation as Run

STEPS = ["reading", "parsing", "conversion", "translation", "generation"]
SAMPLES = Path(str(files("translator") / "samples"))


class FailingEngine:
    """The word list, failing on the segments whose text holds `on`; keeps what it was asked."""

    name = "glossary"
    model = "failing"
    capacity = None
    statement = "a word list that fails"

    def __init__(self, on: str, error_type: ErrorType) -> None:
        self.on, self.error_type = on, error_type
        self.asked: list[str] = []
        self._list = GlossaryEngine.bundled("en", "es")

    async def translate(self, segment: Segment) -> Translation:
        self.asked.append(segment.text)
        if self.on in segment.text:
            usage = Usage(provider="p", model="m", result=self.error_type.value)
            raise EngineError(self.error_type, "told to fail", (usage,))
        return await self._list.translate(segment)

    async def aclose(self) -> None:
        pass


async def run(
    collector: Collector, engine: Engine, tmp_path: Path, *texts: str, name: str = "in.md", **options: float
) -> Outcome:
    jobs = []
    for number, text in enumerate(texts):
        source = tmp_path / f"{number}{name}"
        source.write_text(text)
        jobs.append(Job(source, tmp_path / "out" / source.name))
    return await Run(jobs, engine, collector, source="en", target="es", **options).run()  # type: ignore[arg-type]


async def test_each_step_names_the_file_it_is_about(collector: Collector, tmp_path: Path) -> None:
    """What is read is named by the input, what is written by the output."""
    source = tmp_path / "in.md"
    source.write_text("A dog.\n")
    jobs = [Job(source, tmp_path / "out.es.md")]
    await Run(jobs, GlossaryEngine.bundled("en", "es"), collector, source="en", target="es").run()
    said = {event["step"]: event["message"] for event in collector.of("step_completed")}
    assert (said["reading"], said["parsing"]) == ("Read in.md", "Parsed in.md")
    assert said["generation"] == "Wrote out.es.md"


async def test_every_step_is_told_and_the_numbers_add_up(collector: Collector, tmp_path: Path) -> None:
    """Real events for each step: reading, parsing, conversion, translation, generation."""
    outcome = await run(
        collector, GlossaryEngine.bundled("en", "es"), tmp_path, "# The house\n\nA dog. A book.\n", "Tea\n"
    )
    assert (outcome.segments, outcome.failed) == (4, 0)
    assert collector.types[0] == "translation_started"
    assert collector.types[-1] == "translation_completed"
    assert [event["step"] for event in collector.of("step_completed")] == STEPS
    assert len(collector.of("conversion_started")) == len(collector.of("conversion_completed")) == 1
    segments = [e for e in collector.of("translation_progress", step="translation") if "current_item" in e]
    assert [e["data"]["items_done"] for e in segments] == [1, 2, 3, 4]
    assert [e["progress"] for e in segments] == [25, 50, 75, 100]
    assert {e["current_item"] for e in segments} == {f"segment_{n}" for n in (1, 2, 3, 4)}
    assert all(e["total_items"] == 4 for e in segments)
    assert all(e["data"]["engine"] == "glossary" and e["data"]["model"] == "en-es" for e in collector.events)
    assert all("worker_info" not in e and "usage" not in e for e in collector.events)
    last = collector.events[-1]
    assert (last["failed_items"], last["progress"], last["total_items"]) == (0, 100, 4)
    assert "traceparent" not in collector.events[0]
    assert (tmp_path / "out/0in.md").read_text() == "# La casa\n\nUn perro. Un libro.\n"
    assert (tmp_path / "out/1in.md").read_text() == "Té\n"


@pytest.mark.parametrize("engine_name", ["glossary", "apertium"])
async def test_the_bundled_story_keeps_its_structure(
    collector: Collector, tmp_path: Path, engine_name: str
) -> None:
    """Headings, list, link, quote, code span and tables stand where they stood."""
    if engine_name == "apertium":
        need(mode_for("en", "es") is not None, "apt-get install apertium apertium-eng-spa")
        engine: Engine = ApertiumEngine.installed("en", "es")
    else:
        engine = GlossaryEngine.bundled("en", "es")
    source, output = tmp_path / "lighthouse.md", tmp_path / "es.md"
    shutil.copy(SAMPLES / "lighthouse.en.md", source)
    outcome = await Run([Job(source, output)], engine, collector, source="en", target="es").run()
    await engine.aclose()
    assert outcome.failed == 0
    assert outcome.segments > 100
    before, after = source.read_text(), output.read_text()
    assert after != before
    assert len(after.splitlines()) == len(before.splitlines())
    for shape in ("#", "- ", "> ", "| ", "```", "1. "):
        assert [n for n, line in enumerate(before.splitlines()) if line.startswith(shape)] == [
            n for n, line in enumerate(after.splitlines()) if line.startswith(shape)
        ]
    for kept in ("https://example.org/lighthouse", "`messages waiting`", "battery: 41 %"):
        assert before.count(kept) == after.count(kept) > 0


async def test_a_failed_segment_keeps_its_text_and_is_counted(collector: Collector, tmp_path: Path) -> None:
    """`translation_error`, not fatal; `failed_items` on completion; an item that failed is not done."""
    engine = FailingEngine("dog", ErrorType.REFUSAL)
    outcome = await run(collector, engine, tmp_path, "A book. The dog. A house.\n")
    assert outcome.failed == 1
    assert (tmp_path / "out/0in.md").read_text() == "Un libro. The dog. Un casa.\n"
    (error,) = collector.of("translation_error")
    assert error["error_type"] == "refusal"
    assert "fatal" not in error
    assert error["usage"] == [
        {"provider": "p", "model": "m", "requests": 1, "result": "refusal", "input_tokens": 0,
         "output_tokens": 0}
    ]  # fmt: skip
    last = collector.events[-1]
    assert last["type"] == "translation_completed"
    assert last["failed_items"] == 1
    assert last["data"]["items_done"] == 2


@pytest.mark.parametrize("error_type", [ErrorType.AUTH, ErrorType.QUOTA, ErrorType.ENGINE_DOWN])
async def test_a_hopeless_failure_ends_it_at_once(
    collector: Collector, tmp_path: Path, error_type: ErrorType
) -> None:
    """A wrong key is not tried on every sentence of a book; nothing is written."""
    engine = FailingEngine("dog", error_type)
    with pytest.raises(TranslationFailed) as caught:
        await run(collector, engine, tmp_path, "The dog. " * 50, concurrency=1)
    assert caught.value.error_type is error_type
    assert len(engine.asked) == 1
    last = collector.events[-1]
    assert (last["type"], last["fatal"], last["error_type"]) == ("translation_error", True, error_type.value)
    assert last["usage"][0]["result"] == error_type.value
    assert list((tmp_path / "out").iterdir()) == []


async def test_an_engine_that_is_gone_ends_it_after_a_few_segments(
    collector: Collector, tmp_path: Path
) -> None:
    """Five segments in a row failing for the engine's sake: `engine_down`."""
    with pytest.raises(TranslationFailed):
        await run(collector, FailingEngine("dog", ErrorType.REFUSED), tmp_path, "The dog. " * 50)
    assert len(collector.of("translation_error")) <= 5 + 4
    assert collector.events[-1]["error_type"] == "engine_down"
    assert collector.events[-1]["fatal"] is True


@pytest.mark.parametrize(
    ("name", "content", "error_type", "step"),
    [
        ("a.docx", b"x", "unsupported_format", "reading"),
        ("a.txt", b"\xff\xfe", "read_failed", "reading"),
        ("a.md", None, "read_failed", "reading"),
    ],
)
async def test_a_document_that_cannot_be_used_is_fatal(
    collector: Collector, tmp_path: Path, name: str, content: bytes | None, error_type: str, step: str
) -> None:
    """Fatal errors: unreadable file, unsupported format."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    job = Job(tmp_path / name, tmp_path / "out.md")
    with pytest.raises(TranslationFailed):
        await Run([job], GlossaryEngine.bundled("en", "es"), collector, source="en", target="es").run()
    last = collector.events[-1]
    assert last["fatal"] is True
    assert (last["error_type"], last["step"]) == (error_type, step)
    assert not (tmp_path / "out.md").exists()


async def test_cancelling_is_told_and_leaves_nothing(collector: Collector, tmp_path: Path) -> None:
    """`translation_cancelled`; no half file."""
    reached = asyncio.Event()

    class Waiting(FailingEngine):
        async def translate(self, segment: Segment) -> Translation:
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError

    async with asyncio.TaskGroup() as group:
        task = group.create_task(
            run(collector, Waiting("", ErrorType.OTHER), tmp_path, "The dog.\n"), name="run"
        )
        await reached.wait()
        task.cancel()
    assert collector.types[-1] == "translation_cancelled"
    assert collector.events[-1]["step"] == "translation"
    assert list((tmp_path / "out").iterdir()) == []


async def test_the_result_is_in_document_order_whatever_the_order_of_answers(
    collector: Collector, tmp_path: Path
) -> None:
    """Concurrency changes nothing in the file."""

    class Backwards(FailingEngine):
        waiting: list[asyncio.Event]

        async def translate(self, segment: Segment) -> Translation:
            turn = asyncio.Event()
            self.waiting.append(turn)
            if len(self.waiting) == 3:
                for event in reversed(self.waiting):
                    event.set()
                    await asyncio.sleep(0)
            await turn.wait()
            return await self._list.translate(segment)

    engine = Backwards("nothing", ErrorType.OTHER)
    engine.waiting = []
    await run(collector, engine, tmp_path, "A book.\n\nA dog.\n\nA house.\n", concurrency=3)
    assert (tmp_path / "out/0in.md").read_text() == "Un libro.\n\nUn perro.\n\nUn casa.\n"


async def test_pace_keeps_segments_apart(collector: Collector, tmp_path: Path) -> None:
    """Demo pacing: at least so many seconds between two segments."""
    outcome = await run(
        collector, GlossaryEngine.bundled("en", "es"), tmp_path, "A book. A dog. A house.\n", pace_s=0.05
    )
    assert outcome.duration_s >= 0.1


async def test_the_first_event_names_its_span_only_where_one_is_recorded(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`traceparent` only with a real span, else the trace would have no root."""
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer", lambda name: provider.get_tracer(name))
    await run(collector, GlossaryEngine.bundled("en", "es"), tmp_path, "A dog.\n")
    assert collector.events[0]["traceparent"].startswith("00-")
    assert all("traceparent" not in event for event in collector.events[1:])
    provider.shutdown()


async def test_a_name_that_is_not_utf8_stands_in_no_events_way(collector: Collector, tmp_path: Path) -> None:
    """File names are bytes; events are UTF-8 and name the file as well as that goes."""
    source = tmp_path / os.fsdecode(b"caf\xe9.md")
    try:
        source.write_text("A dog.\n")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    job = Job(source, tmp_path / "out" / source.name)
    engine = GlossaryEngine.bundled("en", "es")
    with ProgressFolder(tmp_path / "state") as folder:
        progress = Progress.claim(folder, [job], ("en", "es"), resume=False)
        outcome = await Run([job], engine, collector, source="en", target="es", progress=progress).run()
    assert outcome.failed == 0
    assert collector.events[0]["data"]["files"] == ["caf\ufffd.md"]
    assert job.output.read_text() == "Un perro.\n"


async def test_a_file_without_prose_is_copied(collector: Collector, tmp_path: Path) -> None:
    """Nothing to translate is no failure."""
    outcome = await run(collector, GlossaryEngine.bundled("en", "es"), tmp_path, "```\ncode\n```\n", "")
    assert outcome.segments == 0
    assert (tmp_path / "out/0in.md").read_text() == "```\ncode\n```\n"
    assert collector.events[-1]["progress"] == 100
