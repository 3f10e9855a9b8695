"""What translates on one worker: a model behind a tunnel, or a command that is run for each segment."""

from __future__ import annotations

import asyncio
import shlex
import time
from contextlib import AsyncExitStack
from typing import Final, Protocol

import msgspec

from sshworker import command
from sshworker.connection import Connection
from sshworker.errors import Failure, WorkerError
from sshworker.readiness import command_ready, server_ready
from sshworker.spec import Engine as EngineSpec
from sshworker.spec import WorkerSpec
from sshworker.tunnel import Tunnel
from translation_events.event import ErrorType, Usage, WorkerInfo
from translator.engines.engine import (
    EngineError,
    EngineUnavailable,
    Translation,
    checked,
    run_by_run,
)
from translator.engines.languages import language
from translator.engines.llm_settings import LlmSettings
from translator.engines.retry import TRANSIENT, Retry
from translator.engines.worker_failure import as_worker_error, error_type_of
from translator.segments import Segment

ANSWER_TIMEOUT_S: Final = 120.0  # one segment; a worker without a GPU may need a minute for a long sentence
MAX_ANSWER_BYTES: Final = 1 << 20  # a segment is a sentence; more is an engine gone wrong
# A worker that fails is the pool's to judge: the segment goes elsewhere at once. Only what the model says
# amiss is asked for once more.
_RETRY: Final = Retry(attempts=2, base_s=0.1, leave=TRANSIENT)


class Remote(Protocol):
    """One worker's engine; safe to call from many tasks of one loop."""

    spec: WorkerSpec

    @property
    def info(self) -> WorkerInfo:
        """The worker as events name it."""

    async def open(self) -> str | None:
        """Make sure that the worker can do its work; returns what is doubtful. Raises: WorkerError."""

    async def translate(self, segment: Segment, usages: list[Usage]) -> Translation:
        """One segment; what it consumes is added to `usages`, also where it fails. Raises: WorkerError."""


async def opened(
    spec: WorkerSpec, source: str, target: str, stack: AsyncExitStack, *, timeout_s: float
) -> Remote:
    """The engine of a worker that has one, with what it holds left to `stack`; nothing is connected yet."""
    connection = await stack.enter_async_context(Connection(spec))
    engine = spec.engine
    if engine is not None and engine.kind == "openai" and engine.url:
        tunnel = await stack.enter_async_context(Tunnel(connection, engine.url))
        model = RemoteModel(connection, tunnel, engine, source, target, timeout_s)
        stack.push_async_callback(model.aclose)
        return model
    if engine is not None and engine.command:
        return RemoteCommand(connection, engine, source, target, timeout_s)
    raise EngineUnavailable(f"the worker {spec.id} has no engine: give it one in the configuration")


class RemoteModel:
    """A server with OpenAI's API on the worker, asked through one tunnel by the same code as any other."""

    def __init__(
        self,
        connection: Connection,
        tunnel: Tunnel,
        engine: EngineSpec,
        source: str,
        target: str,
        timeout_s: float,
    ) -> None:
        # Here, not above: the client library is an extra, and takes half a second to load.
        from translator.engines.llm import LlmEngine

        self.spec = connection.spec
        self._connect = LlmEngine.connected
        self._connection = connection
        self._tunnel = tunnel
        self._settings = LlmSettings(
            base_url=tunnel.url, model=engine.model, timeout_s=timeout_s, retry=_RETRY
        )
        self._languages = source, target
        self._model = engine.model
        self._llm: LlmEngine | None = None
        self._turn = asyncio.Lock()

    @property
    def info(self) -> WorkerInfo:
        """The worker as events name it; its model as the server names it, once it has."""
        return _info(self.spec, self._llm.model if self._llm is not None else self._model)

    async def open(self) -> str | None:
        """Reach the server, and learn its model where none is named; told if it lists another.

        Raises: WorkerError.
        """
        async with self._turn:
            if self._llm is not None:
                return None
            doubt = await server_ready(self._connection, self._tunnel)
            try:
                self._llm = await self._connect(self._settings, *self._languages)
            except EngineUnavailable as error:
                detail = f"its server at {self.spec.engine and self.spec.engine.url}: {error.detail}"
                raise self._why() or WorkerError(Failure.ENGINE_DOWN, detail, worker=self.spec.id) from error
            return doubt

    async def translate(self, segment: Segment, usages: list[Usage]) -> Translation:
        """One segment through the tunnel. Raises: WorkerError.

        A server closes a connection it has kept idle, perhaps while the next request is on its way; such a
        request is sent once more where the worker itself is well.
        """
        await self.open()
        try:
            return await self._ask(segment, usages)
        except EngineError as error:
            well = self._connection.is_open and self._tunnel.failure is None
            if error.error_type is not ErrorType.CONNECTION or not well:
                raise self._judged(error) from error
        try:
            return await self._ask(segment, usages)
        except EngineError as error:
            raise self._judged(error) from error

    async def aclose(self) -> None:
        """Close the HTTP connections."""
        if self._llm is not None:
            await self._llm.aclose()

    async def _ask(self, segment: Segment, usages: list[Usage]) -> Translation:
        if self._llm is None:  # never: `open` has been called
            raise EngineError(ErrorType.INTERNAL, "the worker's model is not connected")
        requests: list[Usage] = []
        try:
            return await self._llm.translate(segment, requests)
        finally:
            # Also of a request that is cancelled, because its worker was given up: it was made.
            usages += [msgspec.structs.replace(usage, worker=self.spec.id) for usage in requests]

    def _judged(self, error: EngineError) -> WorkerError:
        if error.error_type in (ErrorType.CONNECTION, ErrorType.REFUSED) and (why := self._why()):
            return why
        return as_worker_error(error, self.spec.id)

    def _why(self) -> WorkerError | None:
        """Why nothing comes through the tunnel, where that is known: the client saw only a closed port."""
        if (failure := self._tunnel.failure) is not None:
            return WorkerError(failure.failure, failure.detail, worker=self.spec.id)
        return None if self._connection.is_open else self._connection.lost()


class RemoteCommand:
    """A program on the worker that reads a text and prints its translation; started for each segment."""

    def __init__(
        self, connection: Connection, engine: EngineSpec, source: str, target: str, timeout_s: float
    ) -> None:
        self.spec = connection.spec
        self._connection = connection
        self._template = engine.command or ""
        self._model = engine.model or shlex.split(self._template)[0].rpartition("/")[2]
        a, b = language(source), language(target)
        self._values = {
            "source": a.code,
            "target": b.code,
            "source_long": a.code3,
            "target_long": b.code3,
            "model": engine.model or "",
        }
        self._timeout_s = timeout_s
        self._is_ready = False
        self._turn = asyncio.Lock()

    @property
    def info(self) -> WorkerInfo:
        """The worker as events name it."""
        return _info(self.spec, self._model)

    async def open(self) -> str | None:
        """Log in and look for the program, once; told if nobody may look. Raises: WorkerError."""
        async with self._turn:
            if self._is_ready:
                return None
            doubt = await command_ready(self._connection)
            self._is_ready = True
            return doubt

    async def translate(self, segment: Segment, usages: list[Usage]) -> Translation:
        """One segment through the program, a run of text at a time where it loses the markup.

        Raises: WorkerError.
        """
        await self.open()

        async def run(part: Segment) -> str:
            return checked(part, await self._run(part.text, usages))

        try:
            try:
                return Translation(await run(segment))
            except EngineError as error:
                if error.error_type is not ErrorType.BAD_OUTPUT or not segment.marks:
                    raise
            return Translation(await run_by_run(segment, run))
        except EngineError as error:
            raise as_worker_error(error, self.spec.id) from error

    async def _run(self, text: str, usages: list[Usage]) -> str:
        began = time.perf_counter()
        result = "success"
        try:
            output = await command.run(
                self._connection,
                self._template,
                text + "\n",
                timeout_s=self._timeout_s,
                max_bytes=MAX_ANSWER_BYTES,
                values=self._values,
            )
        except WorkerError as error:
            result = error_type_of(error).value
            raise
        except asyncio.CancelledError:
            result = ErrorType.CANCELLED.value
            raise
        finally:
            usages.append(
                Usage(
                    provider="command",
                    model=self._model[:256],
                    worker=self.spec.id,
                    result=result,
                    duration_s=round(time.perf_counter() - began, 6),
                )
            )
        return output.stdout.strip()


def _info(spec: WorkerSpec, model: str | None) -> WorkerInfo:
    kind = spec.engine.kind if spec.engine is not None else "none"
    return WorkerInfo(
        host=spec.host[:256],
        port=spec.port,
        type=f"ssh-{kind}",
        model=model[:256] if model else None,
        capacity=spec.max_capacity,
        name=spec.id,
    )
