"""A language model behind any OpenAI-compatible endpoint: OpenAI, DeepSeek, llama.cpp, Ollama, vLLM."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any, Final, cast
from urllib.parse import urlsplit

import openai
import structlog
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from opentelemetry import trace

from translation_events import semconv
from translation_events.event import ErrorType, Usage
from translator.engines.engine import EngineError, EngineUnavailable, Translation, checked, run_by_run
from translator.engines.languages import language
from translator.engines.llm_settings import LlmSettings
from translator.engines.prompt import cleaned, is_echo, is_refusal, messages
from translator.segments import Segment

log = structlog.get_logger(__name__)

# Tried in this order where OpenAI itself is asked and no model is named: cheap, and good at translation.
_PREFERRED: Final = ("gpt-5-mini", "gpt-4.1-mini", "gpt-4o-mini")
MAX_THOUGHT_TOKENS: Final = 8192
MAX_USAGES: Final = 64  # what one event may carry


class LlmEngine:
    """Asks one model for one segment at a time; each request is a `chat` span and an entry of usage."""

    name: Final = "llm"
    capacity: Final = None

    def __init__(self, settings: LlmSettings, model: str, source: str, target: str) -> None:
        self.model = _shown(model)
        self._requested = model
        self._settings = settings
        self._source, self._target = language(source), language(target)
        self._client = _client(settings)
        self._tracer = trace.get_tracer("translation-monitor.translator")
        self._is_openai = settings.provider == "openai"
        self._thinks = False  # it needs room for thoughts before the answer

    @classmethod
    async def connected(cls, settings: LlmSettings, source: str, target: str) -> LlmEngine:
        """The engine, its endpoint having answered. Raises: EngineUnavailable."""
        model = settings.model or await _first_model(settings)
        return cls(settings, model, source, target)

    @property
    def statement(self) -> str:
        """Which model, and where."""
        return f"language model {self.model} at {urlsplit(self._settings.base_url).netloc}"

    async def translate(self, segment: Segment, usages: list[Usage] | None = None) -> Translation:
        """The model's translation. Raises: EngineError.

        Where the model twice loses the placeholders, the runs of text between them are asked for one by one.
        Each request is added to `usages` as it ends, also one that is cancelled.
        """
        usages = [] if usages is None else usages
        try:
            text = await self._persist(segment, usages)
        except EngineError as error:
            if error.error_type is not ErrorType.BAD_OUTPUT or not segment.marks:
                raise
            text = await run_by_run(segment, partial(self._persist, usages=usages))
        return Translation(text, tuple(usages[-MAX_USAGES:]))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _persist(self, segment: Segment, usages: list[Usage]) -> str:
        """Ask until it is right or no longer worth it."""
        failed = 0
        while True:
            retry_after_s = None
            try:
                return await self._ask(segment, usages, again=failed > 0)
            except EngineError as error:
                failed += 1
                if isinstance(error.__cause__, openai.APIStatusError):
                    retry_after_s = _retry_after_s(error.__cause__)
                wait_s = self._settings.retry.wait_s(failed, error.error_type, retry_after_s)
                if wait_s is None:
                    error.usages = tuple(usages[-MAX_USAGES:])
                    raise
                log.info(
                    "model asked again", attempt=failed + 1, error_type=error.error_type.value, wait_s=wait_s
                )
            await asyncio.sleep(wait_s)

    async def _ask(self, segment: Segment, usages: list[Usage], *, again: bool) -> str:
        """One request: one span, one entry in `usages`, whatever comes of it."""
        attributes = {
            semconv.GEN_AI_OPERATION_NAME: semconv.OPERATION_CHAT,
            semconv.GEN_AI_PROVIDER_NAME: self._settings.provider,
            semconv.GEN_AI_REQUEST_MODEL: self.model,
        }
        started = time.perf_counter()
        completion: ChatCompletion | None = None
        error_type: ErrorType | None = None
        with self._tracer.start_as_current_span(
            f"{semconv.OPERATION_CHAT} {self.model}",
            kind=trace.SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,  # a message could quote the text
            set_status_on_exception=False,
        ) as span:
            try:
                completion = await self._complete(segment, again=again)
                self._thinks = self._thinks or _cut_in_thought(completion)
                return _text_of(completion, segment)
            except EngineError as error:
                error_type = error.error_type
                span.set_attribute(semconv.ERROR_TYPE, error_type.value)
                span.set_status(trace.StatusCode.ERROR)
                raise
            except asyncio.CancelledError:
                error_type = ErrorType.CANCELLED
                span.set_attribute(semconv.ERROR_TYPE, error_type.value)
                raise
            finally:
                usage = self._usage(completion, error_type, time.perf_counter() - started)
                usages.append(usage)
                if completion is not None:
                    span.set_attribute(semconv.GEN_AI_RESPONSE_MODEL, completion.model)
                    span.set_attribute(semconv.GEN_AI_RESPONSE_ID, completion.id)
                    span.set_attribute(semconv.GEN_AI_USAGE_INPUT_TOKENS, usage.input_tokens)
                    span.set_attribute(semconv.GEN_AI_USAGE_OUTPUT_TOKENS, usage.output_tokens)

    async def _complete(self, segment: Segment, *, again: bool) -> ChatCompletion:
        options: dict[str, Any] = {}
        if not self._is_openai:
            # OpenAI's newer models refuse both. Elsewhere: the likeliest words (others if those were wrong),
            # and no endless answer.
            room = MAX_THOUGHT_TOKENS if self._thinks else 128 + 2 * len(segment.text)
            limit = self._settings.max_output_tokens or room
            options = {"temperature": 0.5 if again else 0.0, "max_tokens": limit}
        chat = messages(segment, self._source, self._target)
        try:
            async with asyncio.timeout(self._settings.timeout_s + self._settings.connect_timeout_s):
                completion: ChatCompletion = await self._client.chat.completions.create(
                    model=self._requested, messages=cast("list[ChatCompletionMessageParam]", chat), **options
                )
                return completion
        except (openai.OpenAIError, TimeoutError, ValueError) as error:
            raise _classified(error) from error

    def _usage(
        self, completion: ChatCompletion | None, error_type: ErrorType | None, duration_s: float
    ) -> Usage:
        tokens = completion.usage if completion is not None else None
        timings = (completion.model_extra or {}).get("timings") if completion is not None else None
        return Usage(
            provider=self._settings.provider,
            model=self.model[:256],
            result=error_type.value if error_type else "success",
            duration_s=round(duration_s, 6),
            input_tokens=max(0, tokens.prompt_tokens or 0) if tokens else 0,
            output_tokens=max(0, tokens.completion_tokens or 0) if tokens else 0,
            prefill_s=_seconds(timings, "prompt_ms"),
            decode_s=_seconds(timings, "predicted_ms"),
        )


def _client(settings: LlmSettings) -> openai.AsyncOpenAI:
    timeout = openai.Timeout(settings.timeout_s, connect=settings.connect_timeout_s)
    # A local server wants no key, the client refuses to go without. Retries are ours: each one is reported.
    return openai.AsyncOpenAI(
        api_key=settings.api_key or "none", base_url=settings.base_url, timeout=timeout, max_retries=0
    )


async def _first_model(settings: LlmSettings) -> str:
    client = _client(settings)
    place = urlsplit(settings.base_url).netloc
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            listed = [model.id for model in (await client.models.list()).data]
    except (openai.OpenAIError, TimeoutError, ValueError) as error:
        reason = _classified(error)
        raise EngineUnavailable(f"no model at {place}: {reason.detail}") from error
    finally:
        await client.close()
    if not listed:
        raise EngineUnavailable(f"{place} offers no model; name one with --model")
    preferred = [model for model in _PREFERRED if model in listed] if settings.provider == "openai" else []
    return (preferred or listed)[0]


def _cut_in_thought(completion: ChatCompletion) -> bool:
    """True where the limit was spent on thoughts: the same model will do so again."""
    if not completion.choices or completion.choices[0].finish_reason != "length":
        return False
    message = completion.choices[0].message
    details = completion.usage.completion_tokens_details if completion.usage else None
    return (
        (message.content or "").lstrip().startswith("<think>")
        or bool((message.model_extra or {}).get("reasoning_content"))
        or bool(details and details.reasoning_tokens)
    )


def _shown(model: str) -> str:
    """llama.cpp names a model by the path of its file; people and metrics want the file's name."""
    return model.replace("\\", "/").rsplit("/", 1)[-1] if model.endswith(".gguf") else model


def _text_of(completion: ChatCompletion, segment: Segment) -> str:
    """The answer, if it can stand for the segment. Raises: EngineError."""
    if not completion.choices:
        raise EngineError(ErrorType.INVALID_RESPONSE, "the model's answer holds no choice")
    choice = completion.choices[0]
    if choice.message.refusal or choice.finish_reason == "content_filter":
        raise EngineError(ErrorType.REFUSAL, "the model refused this text")
    text = cleaned(choice.message.content or "", segment)
    if text and is_refusal(text, segment):
        raise EngineError(ErrorType.REFUSAL, "the model refused this text")
    if choice.finish_reason == "length":
        raise EngineError(ErrorType.BAD_OUTPUT, "the model's answer ran past its limit")
    if text and is_echo(text, segment):
        raise EngineError(ErrorType.BAD_OUTPUT, "the model repeated the text untranslated")
    return checked(segment, text)


def _classified(error: Exception) -> EngineError:
    """The class of a client's error and one sentence on it, without what the server quoted back."""
    match error:
        case openai.APITimeoutError() | TimeoutError():
            return EngineError(ErrorType.TIMEOUT, "the model did not answer in time")
        case openai.APIConnectionError():
            # By name: which HTTP client the library brings is its own affair.
            if isinstance(error.__cause__, OSError) or type(error.__cause__).__name__ == "ConnectError":
                return EngineError(ErrorType.REFUSED, "the model's endpoint cannot be reached")
            return EngineError(ErrorType.CONNECTION, "the connection to the model broke")
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return EngineError(ErrorType.AUTH, "the endpoint refused the key (OPENAI_API_KEY)")
        case openai.RateLimitError():
            if error.code == "insufficient_quota":
                return EngineError(ErrorType.QUOTA, "the account's quota is used up")
            return EngineError(ErrorType.RATE_LIMITED, "the endpoint limits the rate of requests")
        case openai.NotFoundError():
            return EngineError(ErrorType.ENGINE_DOWN, "the endpoint knows no such model or path")
        case openai.APIStatusError() if error.status_code >= 500:
            return EngineError(ErrorType.SERVER_ERROR, f"the endpoint failed (HTTP {error.status_code})")
        case openai.APIStatusError() if error.status_code == 402:
            return EngineError(ErrorType.QUOTA, "the endpoint asks for payment (HTTP 402)")
        case openai.APIStatusError():
            return EngineError(
                ErrorType.OTHER, f"the endpoint refused the request (HTTP {error.status_code})"
            )
        case _:
            return EngineError(ErrorType.INVALID_RESPONSE, "the endpoint's answer cannot be read")


def _retry_after_s(error: openai.APIStatusError) -> float | None:
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:
        return None


def _seconds(timings: Any, key: str) -> float | None:
    value = timings.get(key) if isinstance(timings, dict) else None
    return round(value / 1000, 6) if isinstance(value, int | float) and value >= 0 else None
