"""The model engine against endpoints that misbehave: a real HTTP server that answers as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from translation_events import ErrorType
from translator.documents import Format, convert, parse
from translator.engines.engine import EngineError, EngineUnavailable
from translator.engines.llm import LlmEngine
from translator.engines.llm_settings import LlmSettings
from translator.engines.retry import Retry
from translator.segments import Segment

Answer = web.Response | str
QUICK = Retry(attempts=3, base_s=0.001)


def segment(markdown: str) -> Segment:
    (only,) = convert(parse(markdown, Format.MARKDOWN)).segments
    return only


def completion(text: str | None, **choice: Any) -> web.Response:
    return web.json_response(
        {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": text},
                    **choice,
                }
            ],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        }
    )


class Endpoint:
    """Answers each chat request with the next of `answers`, the last one for ever; keeps the requests."""

    def __init__(self, url: str, answers: list[Any], requests: list[dict[str, Any]]) -> None:
        self.url, self.answers, self.requests = url, answers, requests

    def engine(self, **settings: Any) -> LlmEngine:
        return LlmEngine(LlmSettings(self.url, "key", retry=QUICK, **settings), "m", "en", "es")


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    answers: list[Any] = []
    requests: list[dict[str, Any]] = []

    async def chat(request: web.Request) -> web.StreamResponse:
        requests.append(json.loads(await request.read()))
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer = await answer(requests[-1])
        if isinstance(answer, str):
            return completion(answer)
        if isinstance(answer, int):
            return web.json_response({"error": {"message": "no"}}, status=answer)
        assert isinstance(answer, web.StreamResponse)
        return answer

    app = web.Application()
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield Endpoint(f"http://127.0.0.1:{port}/v1", answers, requests)
    await runner.cleanup()


async def failure(engine: LlmEngine, of: Segment) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await engine.translate(of)
    await engine.aclose()
    return caught.value


PLAIN = "The keeper wrote the number of each wave."


@pytest.mark.parametrize(
    ("answer", "error_type", "requests"),
    [
        (401, ErrorType.AUTH, 1),
        (403, ErrorType.AUTH, 1),
        (402, ErrorType.QUOTA, 1),
        (404, ErrorType.ENGINE_DOWN, 1),
        (400, ErrorType.OTHER, 1),
        (429, ErrorType.RATE_LIMITED, 3),
        (500, ErrorType.SERVER_ERROR, 3),
        (503, ErrorType.SERVER_ERROR, 3),
        ("", ErrorType.EMPTY, 3),
        ("   ", ErrorType.EMPTY, 3),
        (PLAIN, ErrorType.BAD_OUTPUT, 2),
        ("I'm sorry, but I can't help with that request.", ErrorType.REFUSAL, 1),
    ],
)
async def test_each_failure_has_its_class_and_is_retried_only_where_that_can_help(
    endpoint: Endpoint, answer: Any, error_type: ErrorType, requests: int
) -> None:
    """Retries with jitter, classified errors; each request is an entry of usage."""
    endpoint.answers.append(answer)
    error = await failure(endpoint.engine(), segment(PLAIN))
    assert error.error_type is error_type
    assert len(endpoint.requests) == requests
    assert [usage.result for usage in error.usages] == [error_type.value] * requests


async def test_a_model_without_quota_is_not_asked_again(endpoint: Endpoint) -> None:
    """`insufficient_quota` comes as 429 but waiting does not help."""
    body = {"error": {"message": "no", "code": "insufficient_quota"}}

    async def answer(_: object) -> web.Response:
        return web.json_response(body, status=429)

    endpoint.answers.append(answer)
    assert (await failure(endpoint.engine(), segment(PLAIN))).error_type is ErrorType.QUOTA
    assert len(endpoint.requests) == 1


async def test_a_silent_endpoint_times_out(endpoint: Endpoint) -> None:
    """Every network wait is under a timeout."""
    released = asyncio.Event()

    async def never(_: object) -> web.Response:
        await released.wait()
        return completion("late")

    endpoint.answers.append(never)
    error = await failure(endpoint.engine(timeout_s=0.05), segment(PLAIN))
    released.set()
    assert error.error_type is ErrorType.TIMEOUT
    assert len(error.usages) == 3


async def test_an_endpoint_that_is_not_there_is_refused() -> None:
    """Nothing listens: said as such, and choosing an engine passes it over."""
    settings = LlmSettings("http://127.0.0.1:9/v1", "", retry=QUICK)
    assert (
        await failure(LlmEngine(settings, "m", "en", "es"), segment(PLAIN))
    ).error_type is ErrorType.REFUSED
    with pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1:9"):
        await LlmEngine.connected(settings, "en", "es")


async def test_a_passing_fault_is_survived_and_both_requests_are_reported(endpoint: Endpoint) -> None:
    """`usage` names what each attempt consumed and how it ended."""
    endpoint.answers += [500, "El guarda apuntaba el número de cada ola."]
    engine = endpoint.engine()
    answer = await engine.translate(segment(PLAIN))
    await engine.aclose()
    assert answer.text == "El guarda apuntaba el número de cada ola."
    assert [(u.result, u.input_tokens) for u in answer.usages] == [("server_error", 0), ("success", 7)]


async def test_an_answer_cut_off_by_its_limit_is_not_taken(endpoint: Endpoint) -> None:
    """Half a sentence is no translation."""

    async def cut(_: object) -> web.Response:
        return completion("El guarda", finish_reason="length")

    endpoint.answers.append(cut)
    assert (await failure(endpoint.engine(), segment(PLAIN))).error_type is ErrorType.BAD_OUTPUT


MARKED = "The **old** keeper reads `log.txt` slowly."


async def test_a_model_that_loses_markup_is_asked_run_by_run(endpoint: Endpoint) -> None:
    """Placeholders lost: asked once more, then the runs of text are translated one by one."""

    async def words(request: dict[str, Any]) -> web.Response:
        text = request["messages"][-1]["content"]
        known = {"The": "El", "old": "viejo", "keeper reads": "guarda lee", "slowly.": "despacio."}
        return completion(known.get(text, "todo perdido"))

    endpoint.answers.append(words)
    of = segment(MARKED)
    engine = endpoint.engine()
    answer = await engine.translate(of)
    await engine.aclose()
    assert of.restore(answer.text) == "El **viejo** guarda lee `log.txt` despacio."
    assert [u.result for u in answer.usages] == ["bad_output"] * 2 + ["success"] * 4


async def test_wrapping_that_models_add_is_taken_off(endpoint: Endpoint) -> None:
    """Quotes around it all, a code fence, thoughts."""
    engine = endpoint.engine()
    for wrapped in ('"Sí, claro."', "```\nSí, claro.\n```", "<think>hm</think>\nSí, claro.", "«Sí, claro.»"):
        endpoint.answers[:] = [wrapped]
        assert (await engine.translate(segment("Yes, of course."))).text == "Sí, claro."
    await engine.aclose()


async def test_each_request_is_a_chat_span_without_any_text(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`chat {model}`, CLIENT, GenAI names; never prompt or completion."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    get: Callable[..., trace.Tracer] = lambda name, *_, **__: provider.get_tracer(name)  # noqa: E731
    monkeypatch.setattr(trace, "get_tracer", get)
    endpoint.answers += [500, "El guarda apuntaba el número de cada ola."]
    engine = endpoint.engine()
    await engine.translate(segment(PLAIN))
    await engine.aclose()
    failed, fine = exporter.get_finished_spans()
    for span in (failed, fine):
        assert span.name == "chat m"
        assert span.kind is trace.SpanKind.CLIENT
        assert span.attributes is not None
        assert span.attributes["gen_ai.operation.name"] == "chat"
        assert span.attributes["gen_ai.request.model"] == "m"
        assert "keeper" not in span.to_json()
        assert "guarda" not in span.to_json()
        assert not span.events
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "server_error"
    assert failed.status.status_code is trace.StatusCode.ERROR
    assert fine.attributes is not None
    assert fine.attributes["gen_ai.usage.input_tokens"] == 7
    assert fine.status.status_code is trace.StatusCode.UNSET
    provider.shutdown()
