"""Addresses of event logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.eventlog.open import open_log
from translation_events.errors import ConfigError


@pytest.mark.parametrize("form", ["sqlite:///{path}", "sqlite:////{path}"])
async def test_an_absolute_path_is_taken_in_both_spellings(tmp_path: Path, form: str) -> None:
    """`sqlite:///` before an absolute path, with its own slash or one more."""
    path = tmp_path / "events.db"
    log = await open_log(form.format(path=path))
    assert log.kind == "sqlite"
    assert path.exists()
    await log.aclose()


async def test_a_relative_path_is_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sqlite:///events.db` is relative."""
    monkeypatch.chdir(tmp_path)
    log = await open_log("sqlite:///sub/events.db", node="n")
    assert (tmp_path / "sub" / "events.db").exists()
    assert log.node == "n"
    await log.aclose()


async def test_memory_is_an_address_too() -> None:
    """`memory:` acknowledges at once and says that it is not durable."""
    log = await open_log("memory:")
    assert (log.kind, log.durable) == ("memory", False)
    await log.aclose()


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///", "sqlite:////", "postgres://x/y", "/tmp/e.db"])
async def test_any_other_address_is_refused_with_what_is_allowed(url: str) -> None:
    """A wrong value names its setting, what was found and what is allowed."""
    with pytest.raises(ConfigError) as refused:
        await open_log(url)
    assert repr(url) in refused.value.detail
    assert "sqlite:///PATH" in refused.value.detail
