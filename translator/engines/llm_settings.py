"""Where a model is, and how patient to be with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from translator.engines.retry import Retry

OPENAI_URL: Final = "https://api.openai.com/v1"
_PROVIDERS: Final = {
    "api.openai.com": "openai",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "openrouter.ai": "openrouter",
}


@dataclass(frozen=True, slots=True)
class LlmSettings:
    """Where the model is and how patient to be; `api_key` never shows in a repr."""

    base_url: str = OPENAI_URL
    api_key: str = field(default="", repr=False)
    model: str | None = None
    timeout_s: float = 120.0  # one answer; a small machine may need a minute for a long sentence
    connect_timeout_s: float = 10.0
    max_output_tokens: int | None = None  # of one answer; None: room for the segment, and for thoughts if any
    retry: Retry = field(default_factory=Retry)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], model: str | None = None) -> LlmSettings | None:
        """`OPENAI_API_KEY` and `OPENAI_BASE_URL`; None where neither is set."""
        key, url = environ.get("OPENAI_API_KEY", ""), environ.get("OPENAI_BASE_URL", "")
        if not key and not url:
            return None
        return cls(base_url=url or OPENAI_URL, api_key=key, model=model)

    @property
    def provider(self) -> str:
        """The name of who runs the model, for metrics and spans."""
        return _PROVIDERS.get(urlsplit(self.base_url).hostname or "", "openai_compatible")
