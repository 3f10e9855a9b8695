"""Workers: which ones are up, how busy they are, and how fast against what they usually do."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards.grafana.board import WORKERS_UID, Row, any_of, board, monitor_link, query_variable
from dashboards.grafana.panels import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    TOKENS_PER_S,
    YELLOW,
    bar,
    graph,
    number,
    timeline,
)
from dashboards.grafana.queries import HERE, WORKER, Query, of, quantile, rate, total
from dashboards.grafana.tables import Column, LabelColumn, rows

_SLOTS: Final = ("translation_worker_active_slots", "translation_worker_capacity_slots")
_ATTEMPTED: Final = f"max by (worker) ({of('translation_worker_last_probe_timestamp_seconds', WORKER)})"
_PASSED: Final = f"max by (worker) ({of('translation_worker_last_success_timestamp_seconds', WORKER)})"
_STALE_S: Final = 150  # five probes; an alert asks for it


def dashboard() -> Dashboard:
    """The dashboard."""
    worker = query_variable(
        "worker",
        "Worker",
        "Configured workers by their names there, others by their addresses.",
        f"label_values(translation_worker_tokens_total{{{HERE}}}, worker)",
    )
    return board(
        WORKERS_UID,
        "Translation Monitor / Workers",
        "Each worker: reachable, busy, as fast as usual?",
        [
            Row("Now", [*_now(), _up(), _table()]),
            Row("Probes", _probes()),
            Row("Slots and speed", _speed()),
            Row("Hosts", _hosts()),
        ],
        variables=[any_of(worker)],
        links=[monitor_link("Workers in the monitor", "/monitor")],
    )


def _now() -> list[Panel]:
    active, capacity = (total(name, WORKER) for name in _SLOTS)
    up = f"max by (worker) ({of('translation_worker_up', WORKER)})"
    return [
        number(
            "Configured",
            "Workers in the monitor's configuration.",
            "none",
            Query(total("translation_workers_configured"), "configured"),
            base=BLUE,
            width=4,
        ),
        number(
            "Down",
            "Workers whose last probe did not pass.",
            "none",
            Query(f"count({up}) - sum({up})", "down"),
            steps={1: RED},
            width=4,
        ),
        number(
            "Slots",
            "Slots that are busy, of those the workers offer.",
            "none",
            Query(active, "busy"),
            Query(capacity, "offered"),
            base=BLUE,
            width=4,
        ),
        number(
            "Busy",
            "The share of all slots that is busy. A worker with a single slot is at 100 % whenever it works.",
            "percentunit",
            Query(f"{active} / {capacity}", "busy"),
            base=BLUE,
            width=4,
        ),
        number(
            "Decoding",
            "Tokens that all chosen workers write per second.",
            TOKENS_PER_S,
            Query(_tokens("decode"), "decode"),
            base=BLUE,
            width=4,
        ),
        number(
            "Stalest probe",
            "The longest time since a worker's last finished probe; probes come every 30 s.",
            "s",
            Query(f"time() - min({_ATTEMPTED})", "ago"),
            steps={60: YELLOW, _STALE_S: RED},
            width=4,
        ),
    ]


def _up() -> Panel:
    return timeline(
        "Up over time",
        "Whether the last probe passed, a row a worker. Nothing drawn: the monitor was not scraped.",
        Query(f"min by (worker) ({of('translation_worker_up', WORKER)})", "{{worker}}"),
        {"0": ("Down", RED), "1": ("Up", GREEN)},
    )


def _table() -> Panel:
    by_worker = "max by (worker) ({})"
    info = "worker, host, port, type, model"
    return rows(
        "Workers",
        "Where each worker is, what it runs, and when it last answered.",
        [
            LabelColumn("worker", "Worker"),
            LabelColumn("host", "Host"),
            LabelColumn("port", "Port"),
            LabelColumn("type", "Type"),
            LabelColumn("model", "Model"),
        ],
        [
            Column(Query(f"max by ({info}) ({of('translation_worker_info', WORKER)})", "Workers")),
            Column(Query(by_worker.format(of("translation_worker_up", WORKER)), "Up"), "bool_yes_no"),
            Column(Query(by_worker.format(of(_SLOTS[0], WORKER)), "Busy slots"), "none"),
            Column(Query(by_worker.format(of(_SLOTS[1], WORKER)), "Slots"), "none"),
            Column(Query(f"time() - {_PASSED}", "Last success ago"), "s"),
            Column(Query(f"time() - {_ATTEMPTED}", "Last probe ago"), "s"),
        ],
    )


def _probes() -> list[Panel]:
    return [
        graph(
            "Failed probes",
            "Probes per second that did not pass, by worker and result.",
            "cps",
            Query(
                rate("translation_worker_probes_total", WORKER, 'result!="success"', by="worker, result")
                + " > 0",
                "{{worker}}: {{result}}",
            ),
            bars=True,
            stacked=True,
        ),
        graph(
            "Probes",
            "Probes finished per second, whatever their result; 0 means that nobody looks.",
            "cps",
            Query(rate("translation_worker_probes_total", WORKER, by="worker"), "{{worker}}"),
        ),
        graph(
            "Probe layers, p95",
            "How long 95 % of the probes took for TCP, SSH and the engine, by worker.",
            "s",
            Query(
                quantile(0.95, "translation_worker_probe_duration_seconds", WORKER, by="worker, layer"),
                "{{worker}} {{layer}}",
            ),
        ),
    ]


def _speed() -> list[Panel]:
    return [
        graph(
            "Busy slots",
            "Slots at work, by worker.",
            "none",
            Query(total(_SLOTS[0], WORKER, by="worker"), "{{worker}}"),
            width=6,
        ),
        graph(
            "Prefill",
            "Tokens read per second, by worker.",
            TOKENS_PER_S,
            Query(_tokens("prefill", by="worker"), "{{worker}}"),
            width=6,
        ),
        graph(
            "Decode",
            "Tokens written per second, by worker.",
            TOKENS_PER_S,
            Query(_tokens("decode", by="worker"), "{{worker}}"),
            width=6,
        ),
        bar(
            "Decode speed against its own median",
            "Tokens per busy second now, as a share of the worker's median over 24 h. Under a half, a GPU "
            "has probably given way to the CPU.",
            "percentunit",
            Query(
                f"{_speed_of('decode')} / quantile_over_time(0.5, ({_speed_of('decode')})[24h:5m])",
                "{{worker}}",
            ),
            width=6,
            base=RED,
            steps={0.5: YELLOW, 0.8: GREEN},
        ),
    ]


def _hosts() -> list[Panel]:
    return [
        graph(
            "GPU",
            "How busy each GPU is, where the host can tell.",
            "percentunit",
            Query(
                f"max by (worker, gpu) ({of('translation_worker_gpu_utilization_ratio', WORKER)})",
                "{{worker}} GPU {{gpu}}",
            ),
            top=1,
        ),
        graph(
            "GPU memory",
            "Memory in use and there, by GPU, where the host can tell.",
            "bytes",
            Query(
                f"max by (worker, gpu) ({of('translation_worker_gpu_memory_used_bytes', WORKER)})",
                "{{worker}} GPU {{gpu}} used",
            ),
            Query(
                f"max by (worker, gpu) ({of('translation_worker_gpu_memory_total_bytes', WORKER)})",
                "{{worker}} GPU {{gpu}} total",
            ),
        ),
        graph(
            "Load",
            "One-minute load of the worker's host per CPU: above 100 % work waits.",
            "percentunit",
            Query(f"max by (worker) ({of('translation_worker_load_ratio', WORKER)})", "{{worker}}"),
            limits={1: ORANGE},
        ),
    ]


def _tokens(phase: str, *, by: str = "") -> str:
    return rate("translation_worker_tokens_total", WORKER, f'phase="{phase}"', by=by)


def _speed_of(phase: str) -> str:
    busy = rate("translation_worker_busy_seconds_total", WORKER, f'phase="{phase}"', by="worker")
    return f"({_tokens(phase, by='worker')} / {busy} > 0)"
