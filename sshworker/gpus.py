"""What the tools of the GPUs' makers say: nvidia-smi's table and rocm-smi's JSON, each as `Gpu` values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

from sshworker.probe_result import Gpu

MIB: Final = 2**20


class Reader(Protocol):
    """Reads what a tool printed; its GPUs get numbers from `first` on. What makes no sense is passed over."""

    def __call__(self, text: str, *, first: int) -> list[Gpu]:
        """The GPUs, each with what is known of it."""


def read_nvidia(text: str, *, first: int = 0) -> list[Gpu]:
    """Lines of index, use in %, MiB used, MiB in all; what a GPU cannot tell is `[N/A]` or words like it."""
    found = []
    for line in text.splitlines():
        words = [word.strip() for word in line.split(",")]
        if len(words) != 4 or not words[0].isdecimal():
            continue
        use, used, total = (_number(word) for word in words[1:])
        found.append(_gpu(first + int(words[0]), use, _times(used, MIB), _times(total, MIB)))
    return found


def read_rocm(text: str, *, first: int = 0) -> list[Gpu]:
    """One object, `card0` and so on; warnings may stand before it. Memory is in bytes."""
    begin = text.find("{")
    try:
        cards = json.loads(text[begin:]) if begin >= 0 else {}
    except (ValueError, RecursionError):
        return []
    found = []
    for name, card in cards.items() if isinstance(cards, dict) else ():
        number = re.fullmatch(r"card([0-9]{1,4})", name)
        if number is None or not isinstance(card, dict):
            continue
        use = _number(card.get("GPU use (%)"))
        used = _number(card.get("VRAM Total Used Memory (B)"))
        found.append(_gpu(first + int(number[1]), use, used, _number(card.get("VRAM Total Memory (B)"))))
    return found


TOOLS: Final[Mapping[str, Reader]] = {"nvidia-smi": read_nvidia, "rocm-smi": read_rocm}


def _gpu(index: int, use: float | None, used: float | None, total: float | None) -> Gpu:
    return Gpu(index, None if use is None else use / 100, used, total)


def _number(value: Any) -> float | None:
    """A figure as the tools write it; None for `[N/A]`, `N/A` and whatever is no number."""
    if isinstance(value, str | int | float) and re.fullmatch(r"[0-9]+(\.[0-9]+)?", str(value).strip()):
        return float(value)
    return None


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
