"""Which engine does the work: the one asked for, or the best there is here, with an honest reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from translator.engines.apertium import ApertiumEngine, mode_for
from translator.engines.engine import Engine, EngineUnavailable
from translator.engines.glossary import GlossaryEngine
from translator.engines.llm_settings import LlmSettings

if TYPE_CHECKING:
    from sshworker.spec import WorkerSpec
    from translation_events.address import MonitorAddress
    from translator.engines.llm import LlmEngine
    from translator.engines.ssh import SshEngine
    from translator.report import Emitter


_CLIENT_MISSING: Final = "the openai package: pip install 'translation-monitor[llm]'"


class EngineName(StrEnum):
    """The engines one can ask for."""

    SSH = "ssh"
    LLM = "llm"
    APERTIUM = "apertium"
    GLOSSARY = "glossary"


class Chosen(NamedTuple):
    """An engine ready to use and, in one line, why this one."""

    engine: Engine
    reason: str


class Fleet(NamedTuple):
    """The SSH workers configured, and what their engine is told besides: whom it tells and whom it heeds.

    `patience_s` is how long to go on waiting while no worker takes work, `answer_timeout_s` how long one
    segment may take.
    """

    specs: Sequence[WorkerSpec]
    emitter: Emitter
    monitor: MonitorAddress | None = None
    tags: Collection[str] = ()
    patience_s: float = 120.0
    answer_timeout_s: float = 120.0

    @property
    def translates(self) -> bool:
        """Whether one of them has an engine."""
        return any(spec.engine is not None for spec in self.specs)


async def open_engine(
    name: EngineName,
    source: str,
    target: str,
    *,
    environ: Mapping[str, str],
    model: str | None = None,
    fleet: Fleet | None = None,
) -> Engine:
    """The engine of that name for the pair. Raises: EngineUnavailable, ConfigError (a bad language)."""
    match name:
        case EngineName.SSH:
            return await _ssh(source, target, fleet)
        case EngineName.LLM:
            return await _llm(source, target, environ, model)
        case EngineName.APERTIUM:
            return ApertiumEngine.installed(source, target)
        case EngineName.GLOSSARY:
            return GlossaryEngine.bundled(source, target)
        case _:
            assert_never(name)


async def choose_engine(
    source: str,
    target: str,
    *,
    environ: Mapping[str, str],
    model: str | None = None,
    fleet: Fleet | None = None,
) -> Chosen:
    """SSH workers if some with an engine are configured and no model is named; else a model if
    `OPENAI_API_KEY` or `OPENAI_BASE_URL` is set and answers, else Apertium, else a word list.

    Raises: EngineUnavailable: none of them can do this pair; or there are workers and none can be used, for
        then nothing lesser takes their place unasked.
    """
    if fleet is not None and fleet.translates and model is None:  # a model named is one of an endpoint
        try:
            ssh = await _ssh(source, target, fleet)
        except EngineUnavailable as error:
            raise EngineUnavailable(
                f"{error.detail}; another engine is used only where --engine names it", error.error_type
            ) from error
        return Chosen(ssh, "SSH workers with an engine are configured and enabled")
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


async def _ssh(source: str, target: str, fleet: Fleet | None) -> SshEngine:
    # Here, not above: SSH takes a third of a second to load.
    from translator.engines.ssh import SshEngine

    if fleet is None:
        raise EngineUnavailable("no SSH worker is configured (distributed.workers)")
    try:
        return await SshEngine.open(
            fleet.specs,
            source,
            target,
            emitter=fleet.emitter,
            monitor=fleet.monitor,
            tags=fleet.tags,
            patience_s=fleet.patience_s,
            answer_timeout_s=fleet.answer_timeout_s,
        )
    except ImportError as error:
        raise EngineUnavailable(f"a server on an SSH worker needs {_CLIENT_MISSING}") from error


async def _llm(source: str, target: str, environ: Mapping[str, str], model: str | None) -> LlmEngine:
    try:
        # Here, not above: the client library is an extra, and takes half a second to load.
        from translator.engines.llm import LlmEngine
    except ImportError as error:
        raise EngineUnavailable(f"the llm engine needs {_CLIENT_MISSING}") from error
    settings = LlmSettings.from_environment(environ, model)
    if settings is None:
        raise EngineUnavailable(
            "the llm engine needs OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own"
        )
    return await LlmEngine.connected(settings, source, target)
