"""How an OpenAI-compatible server on a worker is doing, asked through the tunnel to it.

llama.cpp tells much (`/health`, `/slots`, `/metrics`); of another server it is enough that it lists its
models. `/health` can say OK while generation stands still, so the counters are what is believed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from sshworker.errors import Failure, WorkerError
from sshworker.probe_result import PhaseTotals

ANSWER_WITHIN_S: Final = 5.0
MAX_BYTES: Final = 4 * 2**20
_SAMPLE: Final = re.compile(r"^llamacpp:(\w+)(?:\{[^}]*\})? ([0-9.]+(?:[eE][+-]?[0-9]+)?)$", re.MULTILINE)
_MODEL_FILES: Final = frozenset({"gguf", "ggml", "bin", "safetensors", "llamafile"})

# What of a slot changes as it works; `n_past` is an older server's.
_MOVING: Final = ("id_task", "n_prompt_tokens_processed", "n_past", "next_token")


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """One look at the engine. `marks` changes whenever a token moves; empty where the server cannot tell.

    `silent` means that it is well but did not tell of its slots in time: busy with a long batch, or stuck.
    """

    models: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    requests_waiting: int | None = None
    slots_capacity: int | None = None
    slots_active: int | None = None
    tokens_total: PhaseTotals = field(default_factory=PhaseTotals)
    busy_s_total: PhaseTotals = field(default_factory=PhaseTotals)
    marks: str = ""
    silent: bool = False

    def has_model(self, wanted: str) -> bool:
        """Whether it would take `wanted` for one of its models.

        llama.cpp names its model by the file's path if it has no alias: the file's own name is enough. Ollama
        completes a name by `:latest`.
        """
        known = {*self.models, *self.aliases}
        for name in self.models:
            file = name.replace("\\", "/").rpartition("/")[2]
            stem, _, kind = file.rpartition(".")
            if kind.lower() in _MODEL_FILES:
                known |= {file, stem}
        return wanted in known or f"{wanted}:latest" in known


async def engine_health(url: str, worker: str) -> EngineHealth:
    """Ask the server at `url` (this end of the tunnel), whose path may have a prefix before its `/v1`.

    Raises: WorkerError: ENGINE_DOWN, or TIMEOUT where it takes the connection and does not answer.
    """
    parts = urlsplit(url)
    root = f"http://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"
    # A stream through the tunnel each: a kept one may have died at the far end without a word.
    connector = aiohttp.TCPConnector(force_close=True)
    timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
        try:
            status, health = await _get(client, f"{root}/health")
            if status == 503:
                raise WorkerError(Failure.ENGINE_DOWN, "the engine is still loading its model", worker=worker)
            says_ok = status == 200 and isinstance(health, dict)
            if status < 500:
                status, models = await _get(client, f"{url.rstrip('/')}/models")
            if status >= 500:
                detail = f"the engine answers with HTTP {status}"
                raise WorkerError(Failure.ENGINE_DOWN, detail, worker=worker)
            listed = status == 200 and isinstance(models, dict) and isinstance(models.get("data"), list)
            # Anything may stand at the port; a server that wants a key for its models must at least be well.
            if not listed and not (says_ok and status in (401, 403)):
                detail = f"what answers is no OpenAI-compatible server (HTTP {status} for its models)"
                raise WorkerError(Failure.ENGINE_DOWN, detail, worker=worker)
            try:
                _, slots = await _get(client, f"{root}/slots")
                _, metrics = await _get(client, f"{root}/metrics")
            except TimeoutError:
                # These are answered between two batches, and one may take long: only lasting silence counts.
                return replace(read_engine(models, None, ""), silent=True)
        except TimeoutError as err:
            detail = f"the engine takes connections but did not answer within {ANSWER_WITHIN_S:g} s"
            raise WorkerError(Failure.TIMEOUT, detail, worker=worker) from err
        except (aiohttp.ClientError, OSError) as err:
            detail = "nothing answers at the engine's address on the worker"
            raise WorkerError(Failure.ENGINE_DOWN, detail, worker=worker) from err
    return read_engine(models, slots, metrics if isinstance(metrics, str) else "")


def read_engine(models: Any, slots: Any, metrics: str) -> EngineHealth:
    """What the server's answers say; whatever has another shape is passed over."""
    listed = models.get("data") if isinstance(models, dict) else None
    entries = [model for model in listed if isinstance(model, dict)] if isinstance(listed, list) else []
    aliases = [model["aliases"] for model in entries if isinstance(model.get("aliases"), list)]
    known = [slot for slot in slots if isinstance(slot, dict)] if isinstance(slots, list) else None
    samples = {name: float(value) for name, value in _SAMPLE.findall(metrics)}
    active = None if known is None else sum(bool(slot.get("is_processing")) for slot in known)
    if active is None and "requests_processing" in samples:
        active = int(samples["requests_processing"])
    tokens = PhaseTotals(samples.get("prompt_tokens_total"), samples.get("tokens_predicted_total"))
    # A long prefill moves no token that is counted at its end: its progress and the batches do move.
    marks = [repr((tokens, samples.get("n_decode_total")))] if samples else []
    marks += [repr([slot.get(name) for name in _MOVING]) for slot in known or ()]
    return EngineHealth(
        models=tuple(str(model["id"]) for model in entries if "id" in model),
        aliases=tuple(str(alias) for several in aliases for alias in several),
        requests_waiting=int(waiting) if (waiting := samples.get("requests_deferred")) is not None else None,
        slots_capacity=None if known is None else len(known),
        slots_active=active,
        tokens_total=tokens,
        busy_s_total=PhaseTotals(
            samples.get("prompt_seconds_total"), samples.get("tokens_predicted_seconds_total")
        ),
        marks=" ".join(marks),
    )


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The whole body up to its bound; one read returns only what has arrived."""
    parts: list[bytes] = []
    left = MAX_BYTES
    while left > 0 and (part := await response.content.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


async def _get(client: aiohttp.ClientSession, address: str) -> tuple[int, Any]:
    async with client.get(address, allow_redirects=False) as response:
        raw = await _body(response)
        if "json" not in response.content_type:
            return response.status, raw.decode("utf-8", "replace")
        try:
            return response.status, json.loads(raw)
        except (ValueError, RecursionError):
            return response.status, None
