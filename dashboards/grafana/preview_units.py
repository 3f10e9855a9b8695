"""Values as Grafana writes them, for the units our panels use."""

from __future__ import annotations

from typing import Final

PER_SECOND: Final = {"eps": "evt/s", "mps": "msg/s", "cps": "c/s", "reqps": "req/s", "Bps": "B/s"}
_SPANS: Final = (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
_KIBI: Final = 1024.0


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    """`value` with its unit, such as `1.5 ms`, `97.2%`, `3 evt/s`. Raises: KeyError: no unit of ours."""
    if unit == "bool_yes_no":
        return "Yes" if value else "No"
    if unit == "percentunit":
        return f"{_digits(100 * value, decimals)}%"
    if unit == "currencyUSD":
        return f"${_digits(value, decimals)}"
    if unit == "s":
        return _duration(value, decimals)
    if unit == "bytes":
        return _bytes(value, decimals)
    if unit.startswith("suffix:"):
        return f"{_digits(value, decimals)}{unit.removeprefix('suffix:')}"
    return _digits(value, decimals) + ("" if unit == "none" else f" {PER_SECOND[unit]}")


def _duration(value: float, decimals: int | None) -> str:
    for name, size in _SPANS:
        if abs(value) >= size:
            return f"{_digits(value / size, decimals)} {name}"
    return "0 s" if value == 0 else f"{value:.1e} s"


def _bytes(value: float, decimals: int | None) -> str:
    for name in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < _KIBI:
            return f"{_digits(value, decimals)} {name}"
        value /= _KIBI
    return f"{_digits(value, decimals)} TiB"


def _digits(value: float, decimals: int | None) -> str:
    return (
        f"{value:.{decimals}f}"
        if decimals is not None
        else f"{value:.3g}"
        if abs(value) < 1000
        else f"{value:.0f}"
    )
