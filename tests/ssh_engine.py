"""The ssh engine as the tests of it open it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sshworker.spec import Engine as EngineSpec
from tests.translator.conftest import Collector
from translator.documents import Format, convert, parse
from translator.engines.ssh import SshEngine
from translator.segments import Segment


def segment(markdown: str) -> Segment:
    """The only segment of a text."""
    (only,) = convert(parse(markdown, Format.MARKDOWN)).segments
    return only


def by_command(template: str) -> EngineSpec:
    """What a worker with this command has for an engine."""
    return EngineSpec("command", command=template)


@asynccontextmanager
async def engine(*specs: Any, **options: Any) -> AsyncIterator[SshEngine]:
    """The engine, closed at the end."""
    options.setdefault("emitter", Collector())
    opened = await SshEngine.open(specs, "en", "es", **options)
    try:
        yield opened
    finally:
        await opened.aclose()
