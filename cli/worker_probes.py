"""One probe of each worker, all at once: what `workers check` shows, and `doctor` among other things."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sshworker.probe import Probe
from sshworker.probe_result import ProbeResult
from sshworker.spec import WorkerSpec


async def probe_all(specs: Sequence[WorkerSpec]) -> Sequence[ProbeResult]:
    """What each worker's probe found, in their order; 25 s at most."""
    async with asyncio.TaskGroup() as tasks:
        probes = [tasks.create_task(_probe(spec), name=f"probe {spec.id}") for spec in specs]
    return [probe.result() for probe in probes]


async def _probe(spec: WorkerSpec) -> ProbeResult:
    async with Probe(spec) as probe:
        return await probe.run()
