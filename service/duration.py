"""A length of time in words, as people who are told of a session read it. Pure."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """`45 s`, `2 m 13 s`, `1 h 04 m`, `3 d 2 h`; whole seconds, rounded down, at least 0."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
