"""The sections `distributed` and `translation`: SSH workers and engines as earlier files describe them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from service.config_sources import Sources, checked_keys
from service.secret import Secret
from service.setting import Setting, settings_of
from translation_events.errors import ConfigError

DEFAULT_WORKER: Final = "default"
_SECRET_WORDS: Final = ("key", "secret", "password", "token")

_Places = Annotated[int, Meta(ge=1, le=10_000)]


class WorkerConfig(msgspec.Struct, frozen=True):
    """An SSH worker; its key under `distributed.workers` is its id."""

    host: Annotated[str, Meta(min_length=1), Setting(help="Host name or address.", env="SSH_WORKER_HOST")]
    name: Annotated[str | None, Setting(help="A name to show.")] = None
    port: Annotated[int, Meta(ge=1, le=65535), Setting(help="The SSH port.", env="SSH_WORKER_PORT")] = 22
    user: Annotated[str | None, Setting(help="The SSH user.", env="SSH_WORKER_USER")] = None
    password: Annotated[
        Secret | None,
        Setting(help="The SSH password; a key is better.", env="SSH_WORKER_PASSWORD", is_secret=True),
    ] = None
    max_capacity: Annotated[_Places | None, Setting(help="Jobs at a time.")] = None
    enabled: Annotated[bool, Setting(help="Whether it is used.")] = True
    tags: Annotated[tuple[str, ...], Setting(help="What it is good for.")] = ()
    remote_dir: Annotated[
        str, Meta(min_length=1), Setting(help="Working directory there.", env="SSH_WORKER_REMOTE_DIR")
    ] = "/tmp/translate-ssh"  # noqa: S108 - a directory on the worker, and the name it always had


class DistributedConfig(msgspec.Struct, frozen=True):
    """SSH workers. Times are seconds."""

    enabled: Annotated[bool, Setting(help="Whether SSH workers are used.", in_force=False)] = False
    workers: Annotated[
        dict[str, WorkerConfig],
        Setting(
            help="The workers by id. The variables `SSH_WORKER_HOST`, `_PORT`, `_USER`, `_PASSWORD` and "
            "`_REMOTE_DIR` make or change the worker `default`.",
            in_force=False,
        ),
    ] = {}
    ssh_timeout: Annotated[
        float, Meta(gt=0), Setting(help="Limit for connecting.", is_duration=True, in_force=False)
    ] = 30.0
    ssh_max_retries: Annotated[
        int, Meta(ge=0, le=100), Setting(help="Further tries to connect.", in_force=False)
    ] = 3
    health_check_interval: Annotated[
        float, Meta(gt=0), Setting(help="Time between two probes.", is_duration=True, in_force=False)
    ] = 30.0
    max_remote_instances: Annotated[
        int, Meta(ge=1, le=10_000), Setting(help="Workers at most.", in_force=False)
    ] = 20


class TranslationConfig(msgspec.Struct, frozen=True):
    """Engines as earlier files name them; `translate` takes its own options."""

    default_provider: Annotated[str | None, Setting(help="Engine to use.", in_force=False)] = None
    default_model: Annotated[str | None, Setting(help="Model to use.", in_force=False)] = None
    cache_enabled: Annotated[bool, Setting(help="Whether translations are cached.", in_force=False)] = True
    cache_ttl: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Setting(help="Age limit of the cache.", is_duration=True, in_force=False),
    ] = None
    max_concurrent: Annotated[_Places | None, Setting(help="Requests at a time.", in_force=False)] = None
    providers: Annotated[
        dict[str, Any],
        Setting(help="Options by engine; keys, tokens and passwords in them are secret.", in_force=False),
    ] = {}


def read_distributed(sources: Sources) -> DistributedConfig:
    """The section `distributed` and the `SSH_WORKER_*` variables. Raises: ConfigError."""
    keys = [known.key for known in settings_of(DistributedConfig, "distributed")]
    given = dict(sources.section("distributed", known=keys))
    workers = given.pop("workers", {})
    if not isinstance(workers, dict):
        raise ConfigError("distributed.workers must be an object of workers by id.")
    if sources.environ.get("SSH_WORKER_HOST"):
        workers = {DEFAULT_WORKER: {}, **workers}
        given.setdefault("enabled", True)
    if workers:
        sources.without_effect("distributed.workers")
    config = sources.build(DistributedConfig, "distributed", given)
    if len(workers) > config.max_remote_instances:
        raise ConfigError(
            f"distributed.workers has {len(workers)} workers; allowed: {config.max_remote_instances} "
            "(distributed.max_remote_instances)."
        )
    built = {name: _read_worker(sources, name, worker) for name, worker in workers.items()}
    return msgspec.structs.replace(config, workers=built)


def read_translation(sources: Sources) -> TranslationConfig:
    """The section `translation`, its secrets wrapped. Raises: ConfigError."""
    config = sources.read(TranslationConfig, "translation")
    return msgspec.structs.replace(config, providers=_hide_secrets(config.providers))


def _read_worker(sources: Sources, name: str, given: Any) -> WorkerConfig:
    path = f"distributed.workers.{name}"
    keys = [known.key for known in settings_of(WorkerConfig, path)]
    given = checked_keys(given, path, keys)
    return sources.build(WorkerConfig, path, given, in_environ=name == DEFAULT_WORKER)


def _hide_secrets(options: Mapping[str, Any]) -> dict[str, Any]:
    hidden: dict[str, Any] = {}
    for key, value in options.items():
        if isinstance(value, dict):
            hidden[key] = _hide_secrets(value)
        elif isinstance(value, str) and any(word in key.lower() for word in _SECRET_WORDS):
            hidden[key] = Secret(value)
        else:
            hidden[key] = value
    return hidden
