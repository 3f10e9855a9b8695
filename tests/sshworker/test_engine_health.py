"""What an engine tells of itself is read: its models by any name people use, its counters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sshworker.engine_health import EngineHealth, read_engine
from sshworker.probe_result import PhaseTotals
from sshworker.spec import Engine
from tests.llama import running_llama
from tests.probing import probe
from tests.sshd import Sshd

StartSshd = Callable[..., Sshd]


async def test_a_real_server_has_its_model_by_the_names_people_use(start_sshd: StartSshd) -> None:
    """llama.cpp lists a path or a file: with and without its extension it is the model."""
    with running_llama() as llama:
        found = await probe(start_sshd().spec(engine=Engine("openai", url=llama.url)))
        (listed,) = found.models
        file = Path(llama.model).name
        health = EngineHealth(models=(listed,))
        names = (listed, file, Path(file).stem) if listed.endswith(".gguf") else (listed,)
        assert all(health.has_model(name) for name in names), listed


@pytest.mark.parametrize(
    ("listed", "wanted", "has"),
    [
        ("/models/gemma-3-4b.Q4_K_M.gguf", "gemma-3-4b.Q4_K_M.gguf", True),
        ("/models/gemma-3-4b.Q4_K_M.gguf", "gemma-3-4b.Q4_K_M", True),
        ("C:\\models\\gemma.gguf", "gemma", True),
        ("/models/gemma-3-4b.Q4_K_M.gguf", "gemma-3-4b", False),
        ("llama3.2:latest", "llama3.2", True),
        ("llama3.2:1b", "llama3.2", False),
        ("Qwen/Qwen2.5", "Qwen2", False),
        ("Qwen/Qwen2.5", "Qwen2.5", False),  # vLLM takes the whole name only
    ],
)
def test_a_model_is_known_by_the_names_its_server_takes(listed: str, wanted: str, has: bool) -> None:
    """The id, a model file's own name with and without its extension, Ollama's name without `:latest`."""
    assert read_engine({"data": [{"id": listed}]}, None, "").has_model(wanted) is has
    assert read_engine({"data": [{"id": "x", "aliases": [wanted]}]}, None, "").has_model(wanted)


def test_small_counters_are_read() -> None:
    """Prometheus writes small values with a negative exponent."""
    metrics = "llamacpp:prompt_seconds_total 9.1e-05\nllamacpp:tokens_predicted_total e\n"
    assert read_engine(None, None, metrics).busy_s_total == PhaseTotals(9.1e-05)


def test_counters_that_make_no_sense_are_passed_over() -> None:
    """Whatever an engine answers, the rest is read."""
    assert read_engine([], "?", "llamacpp:x nonsense").tokens_total == PhaseTotals()
