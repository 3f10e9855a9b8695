"""docs/configuration.md against the settings it describes."""

from __future__ import annotations

from pathlib import Path

from service.config import SECTIONS
from service.config_distributed import EngineConfig, WorkerConfig
from service.config_reference import render
from service.setting import settings_of

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_what_the_settings_say() -> None:
    """An undocumented setting, or a page that lies, fails here."""
    assert PAGE.read_text(encoding="utf-8") == render(), (
        "run: python -m service.config_reference > docs/configuration.md"
    )


def test_every_setting_stands_on_the_page() -> None:
    """Key, variable and flag of each setting are named."""
    page = PAGE.read_text(encoding="utf-8")
    settings = [known for name, struct in SECTIONS.items() for known in settings_of(struct, name)]
    settings += [*settings_of(WorkerConfig, "…ID"), *settings_of(EngineConfig, "…ID.engine")]
    assert len(settings) > 20
    for known in settings:
        for name in (known.path, known.setting.env, known.setting.flag):
            assert name is None or f"`{name}`" in page
        assert known.setting.help in page
