"""What producers report as consumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.exporters.conftest import Service


async def test_usage_is_counted_by_provider_and_model(service: Service) -> None:
    """`usage` is what was consumed since the previous event carrying it; it adds up."""
    one = {
        "provider": "openai",
        "model": "small",
        "requests": 4,
        "duration_s": 6.0,
        "input_tokens": 1000,
        "output_tokens": 200,
        "cost_usd": 0.25,
        "cache": "miss",
    }
    failed = {"provider": "openai", "model": "small", "result": "rate_limited"}
    odd = {"provider": "openai", "model": "small", "result": "never heard of"}
    cached = {"provider": "openai", "model": "small", "requests": 0, "cache": "hit"}
    service.take(
        {"type": "translation_started", "session_id": "s", "usage": one},
        {"type": "translation_progress", "session_id": "s", "usage": [one, failed, odd, cached]},
    )
    page = await service.page()
    pair = {"provider": "openai", "model": "small"}
    assert page.value("translation_llm_requests_total", result="success", **pair) == 8
    assert page.value("translation_llm_requests_total", result="rate_limited", **pair) == 1
    assert page.value("translation_llm_requests_total", result="other", **pair) == 1
    assert page.value("translation_llm_requests_total", result="quota", **pair) == 0
    assert page.value("translation_llm_tokens_total", direction="input", **pair) == 2000
    assert page.value("translation_llm_tokens_total", direction="output", **pair) == 400
    assert page.value("translation_llm_cost_usd_total", **pair) == pytest.approx(0.5)
    assert page.value("translation_llm_request_duration_seconds_count", **pair) == 8
    assert page.value("translation_llm_request_duration_seconds_sum", **pair) == pytest.approx(12)
    assert page.value("translation_cache_lookups_total", result="hit") == 1
    assert page.value("translation_cache_lookups_total", result="miss") == 2


async def test_producers_cannot_make_series_without_end(service: Service) -> None:
    """Provider and model: the first 50 distinct values, the rest `other`, and the pairs are bounded."""
    for n in range(3000):
        usage = {"provider": f"p{n % 60}", "model": f"m{n // 50}", "input_tokens": 1}
        service.take({"type": "translation_progress", "session_id": "s", "usage": usage})
    page = await service.page()
    series = page.series("translation_llm_cost_usd_total")
    assert {f"p{n}" for n in range(50)} | {"other"} == {sample.labels["provider"] for sample in series}
    assert {sample.labels["model"] for sample in series} <= {f"m{n}" for n in range(50)} | {"other"}
    assert len(series) <= 210
    assert page.total("translation_llm_tokens_total") == 3000


async def test_fifty_models_of_one_provider_are_shown_and_the_next_is_other(service: Service) -> None:
    """The first 50 distinct per label, the rest `other`."""
    for n in range(55):
        usage = {"provider": "openai", "model": f"m{n}"}
        service.take({"type": "translation_progress", "session_id": "s", "usage": usage})
    page = await service.page()
    requests = {
        sample.labels["model"]: sample.value
        for sample in page.series("translation_llm_requests_total")
        if sample.labels["result"] == "success"
    }
    assert requests == {f"m{n}": 1 for n in range(50)} | {"other": 5}
