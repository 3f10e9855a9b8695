"""Which engine does the work: the one asked for, or the best there is here, with an honest reason."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, assert_never

from translator.engines.apertium import ApertiumEngine, mode_for
from translator.engines.engine import Engine, EngineUnavailable
from translator.engines.glossary import GlossaryEngine
from translator.engines.llm_settings import LlmSettings

if TYPE_CHECKING:
    from translator.engines.llm import LlmEngine


class EngineName(StrEnum):
    """The engines one can ask for."""

    LLM = "llm"
    APERTIUM = "apertium"
    GLOSSARY = "glossary"


class Chosen(NamedTuple):
    """An engine ready to use and, in one line, why this one."""

    engine: Engine
    reason: str


async def open_engine(
    name: EngineName, source: str, target: str, *, environ: Mapping[str, str], model: str | None = None
) -> Engine:
    """The engine of that name for the pair. Raises: EngineUnavailable, ConfigError (a bad language)."""
    match name:
        case EngineName.LLM:
            return await _llm(source, target, environ, model)
        case EngineName.APERTIUM:
            return ApertiumEngine.installed(source, target)
        case EngineName.GLOSSARY:
            return GlossaryEngine.bundled(source, target)
        case _:
            assert_never(name)


async def choose_engine(
    source: str, target: str, *, environ: Mapping[str, str], model: str | None = None
) -> Chosen:
    """A model if `OPENAI_API_KEY` or `OPENAI_BASE_URL` is set and answers, else Apertium, else a word list.

    Raises: EngineUnavailable: none of them can do this pair.
    """
    passed_over: list[str] = []
    if environ.get("OPENAI_API_KEY") or environ.get("OPENAI_BASE_URL") or model:
        try:
            engine = await _llm(source, target, environ, model)
        except EngineUnavailable as error:
            passed_over.append(error.detail)
        else:
            return Chosen(engine, "OPENAI_BASE_URL or OPENAI_API_KEY is set and the endpoint answers")
    else:
        passed_over.append("no model: neither OPENAI_API_KEY nor OPENAI_BASE_URL is set")
    if mode_for(source, target) is not None:
        return Chosen(ApertiumEngine.installed(source, target), f"Apertium has this pair; {passed_over[-1]}")
    passed_over.append(f"Apertium has no pair {source} → {target} here")
    try:
        return Chosen(GlossaryEngine.bundled(source, target), "; ".join(passed_over))
    except EngineUnavailable as error:
        raise EngineUnavailable("; ".join([*passed_over, error.detail])) from error


async def _llm(source: str, target: str, environ: Mapping[str, str], model: str | None) -> LlmEngine:
    try:
        # Here, not above: the client library is an extra, and takes half a second to load.
        from translator.engines.llm import LlmEngine
    except ImportError as error:
        raise EngineUnavailable(
            "the llm engine needs the openai package: pip install 'translation-monitor[llm]'"
        ) from error
    settings = LlmSettings.from_environment(environ, model)
    if settings is None:
        raise EngineUnavailable(
            "the llm engine needs OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own"
        )
    return await LlmEngine.connected(settings, source, target)
