"""What events say was consumed (`usage`), counted by provider and model.

Source: docs/protocol.md, "The event", `usage`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from exporters.prometheus_cells import Capped, Counter, Histogram, Mark, Table
from exporters.prometheus_family import OTHER
from translation_events.event import ErrorType, Usage

# 50 providers times 50 models would be 100,000 series; a model has one or two providers.
MAX_PAIRS: Final = 100


class _Pair:
    """The series of one provider and model."""

    __slots__ = ("cost", "duration", "input", "output", "results")

    def __init__(
        self,
        pair: tuple[str, str],
        counters: Mapping[str, Table[Counter]],
        histograms: Mapping[str, Table[Histogram]],
    ) -> None:
        requests, tokens = (
            counters["translation_llm_requests_total"],
            counters["translation_llm_tokens_total"],
        )
        self.results = {
            result: requests.cell(*pair, result) for result in ("success", *(e.value for e in ErrorType))
        }
        self.input, self.output = tokens.cell(*pair, "input"), tokens.cell(*pair, "output")
        self.cost = counters["translation_llm_cost_usd_total"].cell(*pair)
        self.duration = histograms["translation_llm_request_duration_seconds"].cell(*pair)


class LlmUsage:
    """Counts `usage`; series appear at a provider's and model's first use, all results at once."""

    def __init__(
        self,
        counters: Mapping[str, Table[Counter]],
        histograms: Mapping[str, Table[Histogram]],
        providers: Capped,
        models: Capped,
    ) -> None:
        self._counters, self._histograms = counters, histograms
        self._providers, self._models = providers, models
        self._pairs: dict[tuple[str, str], _Pair] = {}
        lookups = counters["translation_cache_lookups_total"]
        self._lookups = {result: lookups.cell(result) for result in ("hit", "miss")}

    def count(self, usages: Sequence[Usage], trace_id: str | None, session_id: str, at: float) -> None:
        """Add what was consumed; `trace_id` (None: no session) makes the exemplars, `at` is Unix seconds."""
        for usage in usages:
            if usage.cache in self._lookups:
                self._lookups[usage.cache].value += 1
            pair = self._pair(usage)
            result = pair.results.get(usage.result) or pair.results[OTHER]
            result.value += usage.requests
            pair.input.value += usage.input_tokens
            pair.output.value += usage.output_tokens
            pair.cost.value += usage.cost_usd or 0.0
            if usage.duration_s is not None and usage.requests:
                each = usage.duration_s / usage.requests
                mark: Mark | None = None if trace_id is None else (trace_id, session_id, each, at)
                pair.duration.observe(each, usage.requests, mark)

    def _pair(self, usage: Usage) -> _Pair:
        labels = (self._providers.label(usage.provider), self._models.label(usage.model))
        pair = self._pairs.get(labels)
        if pair is not None:
            return pair
        if OTHER not in labels and len(self._pairs) >= MAX_PAIRS:
            labels = (labels[0], OTHER)
            if labels in self._pairs:
                return self._pairs[labels]
        pair = self._pairs[labels] = _Pair(labels, self._counters, self._histograms)
        return pair
