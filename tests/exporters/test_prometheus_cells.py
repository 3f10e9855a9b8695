"""Series of our own: buckets, closed sets, caps on what producers may choose."""

from __future__ import annotations

from exporters.prometheus_cells import Capped, Histogram, counters
from exporters.prometheus_family import Family, FamilyType, Label


def test_a_bucket_holds_what_is_at_most_its_bound() -> None:
    """`le` means less or equal."""
    histogram = Histogram((), (1.0, 5.0))
    for value in (0.5, 1.0, 1.1, 5.0, 5.1):
        histogram.observe(value)
    histogram.observe(2.0, count=10)
    assert histogram.counts == [2, 12, 1]
    assert histogram.sum == 0.5 + 1.0 + 1.1 + 5.0 + 5.1 + 20


def test_anything_outside_a_closed_set_becomes_other() -> None:
    """Labels come from closed sets, anything else becomes `other`; unknown values take no memory."""
    table = counters(Family("x_total", FamilyType.COUNTER, "X.", (Label("reason", ("a", "b")),)))
    for n in range(1000):
        table.cell(f"unknown {n}").value += 1
    assert {labels: cell.value for labels, cell in table.cells.items()} == {
        ("a",): 0,
        ("b",): 0,
        ("other",): 1000,
    }


def test_the_first_use_of_a_label_shows_all_its_pairs() -> None:
    """Label pairs are initialised at a label's first use."""
    labels = (Label("worker"), Label("phase", ("prefill", "decode")))
    table = counters(Family("x_total", FamilyType.COUNTER, "X.", labels, first_use=1))
    assert not table.cells
    table.cell("gpu-1", "decode").value += 5
    assert {labels: cell.value for labels, cell in table.cells.items()} == {
        ("gpu-1", "prefill"): 0,
        ("gpu-1", "decode"): 5,
    }


def test_the_first_50_values_of_a_producers_label_are_kept() -> None:
    """The first 50 distinct values per label, the rest `other`."""
    capped = Capped()
    assert [capped.label(f"v{n}") for n in range(50)] == [f"v{n}" for n in range(50)]
    assert capped.label("v50") == "other"
    assert capped.label("v7") == "v7"
    assert capped.label("other") == "other"
    assert capped.label(None) == "other"
    assert capped.label("") == "other"


def test_a_producers_label_is_cut_to_64_characters() -> None:
    """Cut to 64 characters; what is equal after the cut is one value."""
    capped = Capped()
    assert {capped.label("x" * 64 + str(n)) for n in range(100)} == {"x" * 64}
    assert capped.label("still room") == "still room"


def test_characters_that_do_not_print_are_replaced() -> None:
    """Labels end in people's terminals, where an escape sequence would act."""
    assert Capped().label("gpt\x00\x1b[2J\u2028") == "gpt\ufffd\ufffd[2J\ufffd"
