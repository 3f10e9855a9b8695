"""The drawings a developer looks at: values with their units, names from labels, variables filled in."""

from __future__ import annotations

import pytest

from dashboards.grafana.preview import Window
from dashboards.grafana.preview_drawing import Series, page
from dashboards.grafana.preview_units import shown
from tests.dashboard_files import BOARDS, panels
from tests.dashboards.test_panels import UNITS


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "wanted"),
    [
        (0.00123, "s", None, "1.23 ms"),
        (0.0, "s", None, "0 s"),
        (4200.0, "s", None, "1.17 h"),
        (0.9725, "percentunit", 1, "97.2%"),
        (3 * 2**30, "bytes", None, "3 GiB"),
        (1234.0, "none", None, "1234"),
        (0.5, "cps", None, "0.5 c/s"),
        (1.5, "currencyUSD", 2, "$1.50"),
        (1.0, "bool_yes_no", None, "Yes"),
    ],
)
def test_a_value_is_written_with_its_unit(value: float, unit: str, decimals: int | None, wanted: str) -> None:
    """As Grafana writes it, in a size that fits."""
    assert shown(value, unit, decimals) == wanted


def test_every_unit_in_use_can_be_written() -> None:
    """A dashboard with a new unit needs it in the preview too."""
    for unit in UNITS:
        assert shown(1.0, unit)


def test_variables_are_filled_in() -> None:
    """Grafana's own, at least four scrapes for a rate, and the dashboard's; "all" for what nobody chose."""
    window = Window(start=1000.0, end=1900.0, step_s=15.0, scrape_s=15.0)
    expr = 'rate(x{job=~"$job", session_id=~"${session}"}[$__rate_interval]) + increase(y[$__range])'
    assert window.filled_in(expr, {"session": "book"}) == (
        'rate(x{job=~".+", session_id=~"book"}[60s]) + increase(y[900s])'
    )


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_a_page_shows_every_panel_and_what_labels_say_is_text(board: dict[str, object]) -> None:
    """Each panel by its title; a label with markup in it stays what it is."""
    hostile = Series({"session_id": "<script>x</script>"}, [(10.0, 1.0), (20.0, 0.0)])
    answers = {
        panel["id"]: [hostile.called("{{session_id}}", "A")] for uid, panel in panels() if uid == board["uid"]
    }
    drawn = page(board, answers, [], (0.0, 30.0))
    for uid, panel in panels():
        assert (f"<h3>{panel['title']}</h3>" in drawn) or uid != board["uid"]
    assert "<script>" not in drawn
    assert "&lt;script&gt;" in drawn
