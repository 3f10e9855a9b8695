"""The configured workers as the SSH package wants to be told about them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from service.config_distributed import DistributedConfig, WorkerConfig
from sshworker.spec import Engine, WorkerSpec


def specs_of(distributed: DistributedConfig) -> Sequence[WorkerSpec]:
    """The workers that are enabled, in the order of the file; none where `distributed` is not enabled."""
    if not distributed.enabled:
        return ()
    return tuple(
        _spec(worker_id, worker, distributed)
        for worker_id, worker in distributed.workers.items()
        if worker.enabled
    )


def _spec(worker_id: str, worker: WorkerConfig, distributed: DistributedConfig) -> WorkerSpec:
    engine = worker.engine
    return WorkerSpec(
        id=worker_id,
        host=worker.host,
        port=worker.port,
        user=worker.user,
        name=worker.name,
        password=None if worker.password is None else worker.password.reveal(),
        key_files=tuple(Path(file).expanduser() for file in worker.key_file),
        passphrase_file=None if worker.passphrase_file is None else Path(worker.passphrase_file).expanduser(),
        host_key=worker.host_key,
        known_hosts=Path(distributed.known_hosts).expanduser(),
        jump=worker.jump,
        ssh_config=worker.ssh_config,
        engine=None if engine is None else Engine(engine.kind, engine.url, engine.command, engine.model),
        max_capacity=worker.max_capacity or 1,
        tags=worker.tags,
        allow=worker.allow,
        remote_dir=worker.remote_dir,
        connect_timeout_s=distributed.ssh_timeout,
        max_retries=distributed.ssh_max_retries,
    )
