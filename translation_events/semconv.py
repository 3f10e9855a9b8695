"""The names of span attributes, in one place: those of GenAI calls are still in development and will move.

Plain strings, so that whoever makes spans (the exporter from events, the translator live) speaks alike.
Source: the OpenTelemetry semantic conventions (general, GenAI) and, for `translation.*`,
docs/architecture.md, "Traces".
"""

from __future__ import annotations

from typing import Final

# OpenTelemetry, general
SESSION_ID: Final = "session.id"
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_INSTANCE_ID: Final = "service.instance.id"

# OpenTelemetry, generative AI: on the live `chat {model}` spans
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
OPERATION_CHAT: Final = "chat"

# Ours, on the spans of a session. The totals have names of their own: a backend that sums
# `gen_ai.usage.*` over a trace would count the tokens of the `chat` spans twice.
KIND: Final = "translation.kind"
RESULT: Final = "translation.result"
ATTEMPT: Final = "translation.attempt"
FIRST_SEQ: Final = "translation.seq.first"
LAST_SEQ: Final = "translation.seq.last"
SEQ: Final = "translation.seq"
LAST_EVENT_TYPE: Final = "translation.last_event_type"
STEP: Final = "translation.step"
PROGRESS: Final = "translation.progress"  # percent
ITEMS_DONE: Final = "translation.items.done"
ITEMS_TOTAL: Final = "translation.items.total"
ITEMS_RESUMED: Final = "translation.items.resumed"
ITEMS_FAILED: Final = "translation.items.failed"
ERRORS: Final = "translation.errors"
ENGINE: Final = "translation.engine"
MODEL: Final = "translation.model"
WORKER: Final = "translation.worker"  # the newest
WORKERS: Final = "translation.workers"
REQUESTS: Final = "translation.requests"
INPUT_TOKENS: Final = "translation.tokens.input"
OUTPUT_TOKENS: Final = "translation.tokens.output"
COST_USD: Final = "translation.cost_usd"
CLOCK_SKEW_S: Final = "translation.clock_skew_s"
MONITOR_URL: Final = "translation.monitor_url"
