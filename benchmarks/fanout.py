"""P1, P2, P3, P5, P7: what a delivery costs and how late it comes, beside the peers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from benchmarks import client
from benchmarks.client import Figures
from benchmarks.machine import Missing
from benchmarks.peer import AIOHTTP, CENTRIFUGE, GORILLA, NODE, PEERS, WEBSOCKETS
from benchmarks.row import Row, median
from benchmarks.server import RELAY, Kind, Server, relay
from benchmarks.session import BenchSession

BATCHED: Final = "relay batch=1"
PUBLISHERS: Final = ("--publishers", "4")


class Scenario(NamedTuple):
    """What the client does, for how long, and to whom."""

    options: Sequence[str]
    seconds: float
    servers: Sequence[str]


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "P1": Scenario(("--viewers", "100", "--window", "128"), 2.5, (RELAY, CENTRIFUGE, GORILLA, NODE)),
    "P2": Scenario(("--viewers", "1000", "--window", "64"), 2.5, (RELAY, CENTRIFUGE, GORILLA, NODE)),
    "P3": Scenario(("--viewers", "100", "--rate", "10000", *PUBLISHERS), 5.0, (RELAY,)),
    "P5": Scenario(("--viewers", "100", "--rate", "200", *PUBLISHERS), 5.0, (RELAY, AIOHTTP)),
    "P7": Scenario(("--viewers", "100", "--window", "64", "--deflate"), 2.5, (RELAY, BATCHED, WEBSOCKETS)),
}
# At most this share of the peer's CPU per delivery.
SHARES: Final[Mapping[str, Mapping[str, float]]] = {
    "P1": {CENTRIFUGE: 6, GORILLA: 14, NODE: 20},
    "P2": {CENTRIFUGE: 8, GORILLA: 20, NODE: 25},
    "P7": {WEBSOCKETS: 30},
}

Runs = Mapping[tuple[str, str], Sequence[Figures]]


def measure(session: BenchSession, names: Collection[str]) -> list[Row]:
    """Run the scenarios, interleaved so that a noisy minute hits all servers alike."""
    runs: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    missing: set[str] = set()
    for _ in range(session.reps):
        for name in (name for name in SCENARIOS if name in names):
            for server in SCENARIOS[name].servers:
                if server in missing:
                    continue
                try:
                    figures = _run(session, SCENARIOS[name], server)
                except Missing as reason:
                    missing.add(server)
                    session.note(f"{server} is left out: {reason}")
                    continue
                session.record(name, server, figures)
                runs[name, server].append(figures)
    rows = {"P1": _saturated, "P2": _saturated, "P3": _million, "P5": _latency, "P7": _browsers}
    return [rows[name](name, runs) for name in SCENARIOS if name in names]


def _run(session: BenchSession, scenario: Scenario, server: str) -> Figures:
    options = [*scenario.options, "--seconds", str(session.seconds(scenario.seconds))]
    with session.directory() as directory:
        kind = _kind(server, relay(directory))
        if server == BATCHED:
            options += ["--batch", "2"]  # more than one event a frame: the client looks inside
        with Server(kind, log=session.server_log) as running:
            session.quiet()
            return client.run("fanout", running, options)


def _kind(server: str, ours: Kind) -> Kind:
    if server == BATCHED:
        return ours._replace(viewer_path=f"{ours.viewer_path}&batch=1")
    return ours if server == RELAY else PEERS[server]


def _of(runs: Runs, name: str, server: str, figure: str) -> float:
    return median(run[figure] for run in runs.get((name, server), ()))


def _ratios(name: str, runs: Runs, ours: float) -> tuple[str, str, bool | None]:
    """The target in words, the ratios in words, and whether all that could be judged are met."""
    shares = SHARES[name]
    target = ", ".join(f"≤ 1/{share:g} {peer}" for peer, share in shares.items())
    judged: list[bool] = []
    words: list[str] = []
    for peer, share in shares.items():
        theirs = _of(runs, name, peer, "cpu_us_per_delivery")
        if theirs == theirs:  # not NaN: the peer ran
            judged.append(ours * share <= theirs)
            words.append(f"1/{theirs / ours:.1f} {peer} ({theirs:.2f})")
        else:
            words.append(f"{peer} left out")
    return target, ", ".join(words), all(judged) if judged else None


def _lost(runs: Runs, name: str) -> int:
    return int(sum(run["lost"] for run in runs.get((name, RELAY), ())))


def _saturated(name: str, runs: Runs) -> Row:
    ours = _of(runs, name, RELAY, "cpu_us_per_delivery")
    target, peers, met = _ratios(name, runs, ours)
    viewers = SCENARIOS[name].options[1]
    measured = f"{ours:.2f} µs, lost {_lost(runs, name)}"
    return Row(name, f"CPU per delivery, saturated, {viewers} viewers", target, measured, peers, met)


def _million(name: str, runs: Runs) -> Row:
    p99, cores = _of(runs, name, RELAY, "p99_ms"), _of(runs, name, RELAY, "cores")
    lost = _lost(runs, name)
    return Row(
        name,
        "a million deliveries a second, 100 × 10k durable ev/s",
        "nothing lost, p99 < 30 ms, ≤ 1.0 core",
        f"lost {lost}, p99 {p99:.1f} ms, {cores:.2f} core",
        met=lost == 0 and p99 < 30 and cores <= 1.0,
    )


def _latency(name: str, runs: Runs) -> Row:
    p50, p99 = _of(runs, name, RELAY, "p50_ms"), _of(runs, name, RELAY, "p99_ms")
    theirs = _of(runs, name, AIOHTTP, "p99_ms")
    peers = "aiohttp left out"
    if theirs == theirs:
        their_p50 = _of(runs, name, AIOHTTP, "p50_ms")
        peers = f"{p99 / theirs:.2f} × aiohttp's p99 ({their_p50:.2f} / {theirs:.2f} ms)"
    return Row(
        name,
        "publish → durable → viewer, 200 ev/s × 100",
        "p50 ≤ 2.5 ms, p99 ≤ 1.5 × naive aiohttp",
        f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, lost {_lost(runs, name)}",
        peers,
        p50 <= 2.5 and p99 <= 1.5 * theirs if theirs == theirs else None,
    )


def _browsers(name: str, runs: Runs) -> Row:
    ours = _of(runs, name, RELAY, "cpu_us_per_delivery")
    target, peers, met = _ratios(name, runs, ours)
    size = _of(runs, name, RELAY, "bytes_per_delivery")
    batched = _of(runs, name, BATCHED, "cpu_us_per_delivery")
    batched_size = _of(runs, name, BATCHED, "bytes_per_delivery")
    return Row(
        name,
        "browsers: CPU per delivery, deflate offered, 100 viewers",
        target,
        f"{ours:.2f} µs, {size:.0f} bytes; batch=1 {batched:.2f} µs, {batched_size:.0f} bytes",
        peers,
        met,
    )
