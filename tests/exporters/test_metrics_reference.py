"""docs/metrics.md says what the code does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from exporters.metrics_reference import page
from exporters.prometheus_families import FAMILIES

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_committed_page_is_the_generated_one() -> None:
    """`docs/metrics.md` is generated from the code."""
    assert DOCS.read_text(encoding="utf-8") == page()


def test_the_page_is_written_by_the_command_it_names() -> None:
    """`python -m exporters.metrics_reference` writes the page."""
    command = [sys.executable, "-m", "exporters.metrics_reference"]
    written = subprocess.run(command, capture_output=True, check=True, timeout=60, cwd=DOCS.parents[1])
    assert written.stdout.decode() == page()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_is_documented(family: object) -> None:
    """A family has a name with its unit, a help that is a sentence, and a row of its own."""
    from exporters.prometheus_family import Family, FamilyType

    assert isinstance(family, Family)
    assert family.help.endswith(".") or family.help[0].isupper()
    assert (
        len([row for row in page().splitlines() if row.startswith(f"| `{family.name}` | {family.type}")]) == 1
    )
    assert family.name.endswith("_total") == (family.type is FamilyType.COUNTER)
    assert family.name.removesuffix("_total").endswith(family.unit)
    assert bool(family.buckets) == (family.type is FamilyType.HISTOGRAM)
    assert list(family.buckets) == sorted(family.buckets)


def test_names_are_unique() -> None:
    """One family, one name."""
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
