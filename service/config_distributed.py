"""The sections `distributed` and `translation`: SSH workers and engines as earlier files describe them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from service.config_sources import Sources, checked_keys
from service.secret import Secret
from service.setting import Setting, settings_of
from sshworker.template import PLACEHOLDERS, is_template, program_of
from translation_events.errors import ConfigError

DEFAULT_WORKER: Final = "default"
_SECRET_WORDS: Final = ("key", "secret", "password", "token")

_NAMES: Final = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
_Places = Annotated[int, Meta(ge=1, le=10_000)]


class EngineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What translates on a worker: a server with OpenAI's API, or a command."""

    kind: Annotated[
        Literal["openai", "command"],
        Setting(
            help="What it is; as a variable it may be left out, the other two tell.",
            env="SSH_WORKER_ENGINE_KIND",
        ),
    ]
    url: Annotated[
        str | None,
        Setting(
            help="Address of a server with OpenAI's API, as the worker itself would reach it.",
            env="SSH_WORKER_ENGINE_URL",
            allowed="an http URL such as http://127.0.0.1:8080/v1 (the tunnel to it is encrypted already)",
        ),
    ] = None
    command: Annotated[
        str | None,
        Setting(
            help="A program that reads text and prints its translation, and its arguments.",
            env="SSH_WORKER_ENGINE_COMMAND",
            allowed=f"a command such as apertium -u {{source_long}}-{{target_long}}; it may hold {_NAMES}",
        ),
    ] = None
    model: Annotated[str | None, Setting(help="The model to ask for.", env="SSH_WORKER_ENGINE_MODEL")] = None

    @property
    def is_complete(self) -> bool:
        """Whether it says what its kind needs: a command whose `{name}`s are known, or an http URL.

        Not an https one: what goes through the tunnel is encrypted already, and the certificate of a name
        would be checked against this end's address.
        """
        if self.kind == "command":
            return self.command is not None and is_template(self.command) and self.url is None
        return self.url is not None and _is_http(self.url) and self.command is None


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:  # a port that is no number
        return False


class WorkerConfig(msgspec.Struct, frozen=True):
    """An SSH worker; its key under `distributed.workers` is its id."""

    host: Annotated[str, Meta(min_length=1), Setting(help="Host name or address.", env="SSH_WORKER_HOST")]
    name: Annotated[str | None, Setting(help="A name to show.", env="SSH_WORKER_NAME")] = None
    port: Annotated[int, Meta(ge=1, le=65535), Setting(help="The SSH port.", env="SSH_WORKER_PORT")] = 22
    user: Annotated[str | None, Setting(help="The SSH user.", env="SSH_WORKER_USER")] = None
    password: Annotated[
        Secret | None,
        Setting(help="The SSH password; a key is better.", env="SSH_WORKER_PASSWORD", is_secret=True),
    ] = None
    key_file: Annotated[
        tuple[str, ...],
        Setting(
            help="Private key file, or a list of them (an old and a new one while keys are rotated); without "
            "it the agent and the usual files in `~/.ssh` are tried.",
            env="SSH_WORKER_KEY_FILE",
            normalise=lambda files: [files] if isinstance(files, str) else files,
            allowed="the path of a private key, or a list of paths",
        ),
    ] = ()
    passphrase_file: Annotated[
        str | None,
        Setting(help="File with the passphrase of the keys.", env="SSH_WORKER_PASSPHRASE_FILE"),
    ] = None
    host_key: Annotated[
        str | None,
        Setting(
            help="The host's public key, or its `SHA256:…` fingerprint; without it `known_hosts` decides.",
            env="SSH_WORKER_HOST_KEY",
        ),
    ] = None
    jump: Annotated[
        str | None, Setting(help="Host to go through: `user@host:port`.", env="SSH_WORKER_JUMP")
    ] = None
    ssh_config: Annotated[
        bool,
        Setting(
            help="Let `~/.ssh/config` fill in what is not given here; `host` may be an alias.",
            env="SSH_WORKER_SSH_CONFIG",
        ),
    ] = False
    engine: Annotated[
        EngineConfig | None,
        Setting(
            help="What translates there; without it the worker is only watched.",
            check=lambda engine: engine is None or engine.is_complete,
            allowed='{"kind": "openai", "url": "http://127.0.0.1:8080/v1", "model": …} '
            "(http: the tunnel to it is encrypted already) or "
            '{"kind": "command", "command": "apertium -u {source_long}-{target_long}"}; a command begins '
            f"with a program and may hold {_NAMES}",
        ),
    ] = None
    max_capacity: Annotated[
        _Places | None, Setting(help="Jobs at a time.", env="SSH_WORKER_MAX_CAPACITY")
    ] = None
    enabled: Annotated[bool, Setting(help="Whether it is used.")] = True
    tags: Annotated[tuple[str, ...], Setting(help="What it is good for.", env="SSH_WORKER_TAGS")] = ()
    allow: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Setting(
            help="Programs that may be run there, as a command names them; without it that of "
            "`engine.command` alone.",
            env="SSH_WORKER_ALLOW",
        ),
    ] = ()
    remote_dir: Annotated[
        str, Meta(min_length=1), Setting(help="Working directory there.", env="SSH_WORKER_REMOTE_DIR")
    ] = "/tmp/translate-ssh"  # noqa: S108 - a directory on the worker, and the name it always had


class DistributedConfig(msgspec.Struct, frozen=True):
    """SSH workers. Times are seconds."""

    enabled: Annotated[bool, Setting(help="Whether SSH workers are probed and used.")] = False
    workers: Annotated[
        dict[str, WorkerConfig],
        Setting(
            help="The workers by id. `SSH_WORKER_HOST` makes the worker `default`, or changes it; the other "
            "variables `SSH_WORKER_*` below belong to it.",
        ),
    ] = {}
    ssh_timeout: Annotated[float, Meta(gt=0), Setting(help="Limit for connecting.", is_duration=True)] = 30.0
    ssh_max_retries: Annotated[int, Meta(ge=0, le=100), Setting(help="Further tries to connect.")] = 3
    health_check_interval: Annotated[
        float, Meta(gt=0), Setting(help="Time between two probes.", is_duration=True)
    ] = 30.0
    max_remote_instances: Annotated[int, Meta(ge=1, le=10_000), Setting(help="Workers at most.")] = 20
    known_hosts: Annotated[
        str,
        Setting(help="Where the keys of the hosts stand that may be trusted.", env="MONITOR_KNOWN_HOSTS"),
    ] = "~/.ssh/known_hosts"


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
    config = sources.build(DistributedConfig, "distributed", given)
    if workers and not config.enabled:
        sources.warn(
            "distributed.workers are configured but distributed.enabled is false: nobody probes or uses them."
        )
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
    if name == DEFAULT_WORKER:
        given = {**given, "engine": _engine_given(sources.environ, given.get("engine"))}
    worker = sources.build(WorkerConfig, path, given, in_environ=name == DEFAULT_WORKER)
    _check_allowed(worker, path)
    return worker


def _check_allowed(worker: WorkerConfig, path: str) -> None:
    """Raises: ConfigError: the engine's command runs a program that the worker's own list does not name."""
    command = None if worker.engine is None else worker.engine.command
    if worker.allow and command is not None and (program := program_of(command)) not in worker.allow:
        raise ConfigError(
            f"{path}.engine.command runs {program}, which {path}.allow does not name; allowed: "
            f"{', '.join(worker.allow)}."
        )


def _engine_given(environ: Mapping[str, str], in_file: Any) -> Any:
    """The engine of the worker `default`: what the variables say, the rest from the file.

    An address or a command from a variable replaces the file's engine: of two, one would not be meant.
    Raises: ConfigError.
    """
    settings = settings_of(EngineConfig, "SSH_WORKER_ENGINE")
    said = {known.key: text for known in settings if (text := environ.get(known.setting.env or ""))}
    if not said:
        return in_file
    file = dict(in_file) if isinstance(in_file, dict) else {}
    if "url" in said or "command" in said:
        file = {key: value for key, value in file.items() if key == "model"}
        file["kind"] = "openai" if "url" in said else "command"
    engine = {**file, **said}
    try:
        complete = msgspec.convert(engine, EngineConfig).is_complete
    except msgspec.ValidationError:
        complete = False
    if not complete:
        names = ", ".join(known.setting.env or "" for known in settings if known.key in said)
        raise ConfigError(
            f"What is set ({names}) makes no engine; allowed: SSH_WORKER_ENGINE_URL with an http URL "
            "(kind openai) or SSH_WORKER_ENGINE_COMMAND with a command (kind command; it begins with a "
            f"program and may hold {_NAMES}), one of the two; SSH_WORKER_ENGINE_MODEL with either."
        )
    return engine


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
