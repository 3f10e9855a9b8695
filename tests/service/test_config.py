"""The configuration as a user meets it: where a value comes from, and what happens to a wrong one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.config import Config, EventLogConfig, load_config
from service.config_distributed import EngineConfig
from service.worker_specs import specs_of
from translation_events.errors import ConfigError

THE_DOCUMENTED_DISTRIBUTED = {
    "enabled": True,
    "workers": {
        "thinker-worker": {
            "name": "Local Llama.cpp Worker",
            "host": "localhost",
            "port": 8444,
            "user": "milosvasic",
            "password": "correct horse",
            "max_capacity": 10,
            "enabled": True,
            "tags": ["gpu", "llamacpp"],
        }
    },
    "ssh_timeout": 30,
    "ssh_max_retries": 3,
}


def load(
    tmp_path: Path,
    content: object = None,
    environ: dict[str, str] | None = None,
    overrides: dict[str, Any] | None = None,
) -> Config:
    """Load with `content` (an object, or text as it is) in a file, where given."""
    file = None
    if content is not None:
        file = tmp_path / "config.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return load_config(environ=environ or {}, argv_overrides=overrides, file=file)


def test_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    """Without any setting the server listens on 127.0.0.1:8090 and keeps its log in the state directory."""
    config = load(tmp_path, environ={"XDG_STATE_HOME": "/state"})
    assert (config.server.host, config.server.port, config.server.max_connections) == ("127.0.0.1", 8090, 100)
    assert config.server.max_event_bytes == 65_536
    assert config.event_log == EventLogConfig(
        url="sqlite:////state/translation-monitor/events.db",
        events_per_session=1000,
        session_timeout_s=86_400.0,
        stalled_after_s=300.0,
        retention_s=604_800.0,
    )
    assert config.event_log.path == Path("/state/translation-monitor/events.db")
    assert config.warnings == ()


def test_the_state_directory_falls_back_to_the_home_directory(tmp_path: Path) -> None:
    """A relative XDG_STATE_HOME is ignored, as the XDG Base Directory Specification wants."""
    config = load(tmp_path, environ={"XDG_STATE_HOME": "state", "HOME": "/home/ana"})
    assert config.event_log.path == Path("/home/ana/.local/state/translation-monitor/events.db")


def test_command_line_beats_environment_beats_file(tmp_path: Path) -> None:
    """Order: command line, environment, file, default."""
    content = {"server": {"port": 1, "max_connections": 11, "max_event_bytes": 2048}}
    environ = {"MONITOR_SERVER_PORT": "2", "MONITOR_MAX_CONNECTIONS": "12"}
    server = load(tmp_path, content, environ, {"server.port": 3, "server.host": None}).server
    assert (server.port, server.max_connections, server.max_event_bytes) == (3, 12, 2048)
    assert server.host == "127.0.0.1"


def test_whom_to_tell_may_be_several_addresses_and_is_secret(tmp_path: Path) -> None:
    """Separated by commas or white space; an address may hold a comma itself. Nothing of it is shown."""
    mail, push = "mailtos://a:hush@example.org?to=b@example.org,c@example.org", "ntfys://ntfy.sh/t"
    for text in (f"{mail}, {push}", f"{mail}\n{push}\n", f"{mail},{push}"):
        told = load(tmp_path, environ={"MONITOR_NOTIFY": text}).telemetry
        assert [address.reveal() for address in told.notify] == [mail, push]
        assert "hush" not in repr(told)
    assert len(load(tmp_path, {"telemetry": {"notify": [mail, push]}}).telemetry.notify) == 2
    assert len(load(tmp_path, overrides={"telemetry.notify": [mail, push]}).telemetry.notify) == 2
    for wrong in ("hush", [mail, "hush"], [1], 7):
        with pytest.raises(ConfigError, match=r"telemetry.notify is \*\*\*; allowed: addresses like"):
            load(tmp_path, {"telemetry": {"notify": wrong}})


def test_where_alerts_are_read_is_an_address(tmp_path: Path) -> None:
    """Checked before anything is opened; what may be a password in it is not shown."""
    environ = {
        "MONITOR_ALERTMANAGER_URL": "http://alertmanager:9093",
        "MONITOR_ALERT_RUNBOOKS_URL": "https://git.example.org/m",
    }
    telemetry = load(tmp_path, environ=environ).telemetry
    assert telemetry.alertmanager_url is not None
    assert telemetry.alertmanager_url.reveal() == "http://alertmanager:9093"
    assert telemetry.runbooks_url == "https://git.example.org/m"
    for wrong in ("alertmanager:9093", "http://", "http://a:b:c"):
        with pytest.raises(ConfigError, match=r"MONITOR_ALERTMANAGER_URL is \*\*\*; allowed: an address"):
            load(tmp_path, environ={"MONITOR_ALERTMANAGER_URL": wrong})


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    """Compose files write `NAME=` for what nobody has set."""
    assert load(tmp_path, environ={"MONITOR_SERVER_PORT": ""}).server.port == 8090


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    """MONITOR_CONFIG names the file where --config does not."""
    file = tmp_path / "c.json"
    file.write_text('{"server": {"port": 9}}')
    assert load_config(environ={"MONITOR_CONFIG": str(file)}).server.port == 9


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (90, 90.0),
        ("90", 90.0),
        ("90s", 90.0),
        ("24h", 86_400.0),
        ("1h30m", 5400.0),
        ("7d", 604_800.0),
        (0.5, 0.5),
    ],
)
def test_durations_are_seconds_or_text(tmp_path: Path, given: object, seconds: float) -> None:
    """Durations are a number of seconds or text like "24h"."""
    assert load(tmp_path, {"event_log": {"session_timeout": given}}).event_log.session_timeout_s == seconds


@pytest.mark.parametrize(
    ("content", "environ", "message"),
    [
        ({"server": {"port": 70000}}, {}, "server.port is 70000; allowed: a whole number from 0 to 65535."),
        ({"server": {"port": "80"}}, {}, "server.port is '80'; allowed: a whole number from 0 to 65535."),
        ({"server": {"insecure": "yes"}}, {}, "server.insecure is 'yes'; allowed: true or false."),
        (
            {},
            {"MONITOR_SERVER_PORT": "tcp://10.0.0.1:80"},
            "MONITOR_SERVER_PORT is 'tcp://10.0.0.1:80'; allowed:",
        ),
        (
            {},
            {"MONITOR_STALLED_AFTER": "soon"},
            "MONITOR_STALLED_AFTER is 'soon'; allowed: more than 0 seconds",
        ),
        ({}, {"MONITOR_STALLED_AFTER": "0"}, "MONITOR_STALLED_AFTER is 0.0; allowed: more than 0 seconds"),
        ({}, {"MONITOR_STALLED_AFTER": "inf"}, "MONITOR_STALLED_AFTER is inf; allowed: more than 0 seconds"),
        ({"event_log": {"retention": True}}, {}, "event_log.retention is true; allowed: more than 0 seconds"),
        ({}, {"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'loud'; allowed: one of debug, info, warning, error."),
        ({"logging": {"level": 3}}, {}, "logging.level is 3; allowed: one of debug, info, warning, error."),
        (
            {},
            {"MONITOR_EVENT_LOG": "nats://x"},
            "MONITOR_EVENT_LOG is 'nats://x'; allowed: sqlite:///PATH or memory:",
        ),
        (
            {},
            {"MONITOR_EVENT_LOG": "sqlite:///"},
            "MONITOR_EVENT_LOG is 'sqlite:///'; allowed: sqlite:///PATH",
        ),
        (
            {"security": {"cors_origins": ["*"]}},
            {},
            "security.cors_origins is ['*']; allowed: a list of origins",
        ),
        (
            {"security": {"rate_limit_rps": -1}},
            {},
            "security.rate_limit_rps is -1; allowed: a number of at least 0.",
        ),
        (
            {"distributed": {"ssh_max_retries": -1}},
            {},
            "distributed.ssh_max_retries is -1; allowed: a whole number",
        ),
        (
            {"distributed": {"workers": {"a": {"host": "h", "port": 0}}}},
            {},
            "distributed.workers.a.port is 0; allowed:",
        ),
        (
            {"distributed": {"workers": {"a": {}}}},
            {},
            "distributed.workers.a.host is missing; allowed: a text.",
        ),
        ({"distributed": {"workers": []}}, {}, "distributed.workers must be an object of workers by id."),
        ({"telemetry": {"otlp": {"ENDPOINT": "x"}}}, {}, "telemetry.otlp.ENDPOINT is not known"),
        ({"translation": {"providers": 3}}, {}, "translation.providers is 3; allowed: an object."),
        ({"server": []}, {}, "server must be an object."),
    ],
)
def test_a_wrong_value_says_where_what_and_what_is_allowed(
    tmp_path: Path, content: object, environ: dict[str, str], message: str
) -> None:
    """A wrong value stops the start with its path, what was found and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, content, environ)
    assert caught.value.detail.startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"server": {"prt": 1}}, "server.prt is not a known setting; did you mean server.port?"),
        ({"event_log": {"stalledAfter": 1}}, "did you mean event_log.stalled_after?"),
        ({"distributed": {"ssh_timeot": 1}}, "did you mean distributed.ssh_timeout?"),
        (
            {"distributed": {"workers": {"a": {"host": "h", "pasword": "x"}}}},
            "did you mean distributed.workers.a.password?",
        ),
        ({"logging": {"zzz": 1}}, "logging.zzz is not a known setting; known are level, format."),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    tmp_path: Path, content: object, message: str
) -> None:
    """A misspelt setting would otherwise be ignored in silence."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, content)
    assert message in caught.value.detail


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON: Expecting property name enclosed in double quotes (line 1, column 2)."),
        ("[]", "must hold one JSON object of sections."),
        ('{"server":{"port":1,"port":2}}', "has the key 'port' twice in one object; keep one."),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_a_broken_file_is_named_with_its_fault(tmp_path: Path, content: str, message: str) -> None:
    """A file that cannot be used stops the start."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, content)
    assert str(tmp_path / "config.json") in caught.value.detail
    assert message in caught.value.detail


def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    """Starting with defaults instead would hide the mistake."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(environ={}, file=tmp_path / "none.json")


def test_sections_of_an_earlier_file_are_ignored_with_one_warning(tmp_path: Path) -> None:
    """Other sections of such a file are ignored with one warning naming them."""
    config = load(tmp_path, {"storage": {"a": 1}, "batch": {}, "server": {"port": 5}})
    assert config.server.port == 5
    (warning,) = config.warnings
    assert "storage, batch" in warning


def test_settings_without_effect_are_named_in_one_warning(tmp_path: Path) -> None:
    """The earlier program's names are taken, and none is ignored in silence."""
    security = {"jwt_secret": "s3cret", "api_key_header": "X-Key", "rate_limit_rps": 5, "rate_limit_burst": 9}
    config = load(
        tmp_path, {"security": {**security, "enable_auth": False}, "translation": {"max_concurrent": 2}}
    )
    (warning,) = config.warnings
    assert all(f"security.{name}" in warning for name in security)
    assert "translation.max_concurrent" in warning
    assert "enable_auth" not in warning
    assert config.security.rate_limit_rps == 5


def test_the_documented_distributed_section_is_taken_as_it_is(tmp_path: Path) -> None:
    """The `distributed` section keeps its names and types."""
    config = load(tmp_path, {"distributed": THE_DOCUMENTED_DISTRIBUTED})
    worker = config.distributed.workers["thinker-worker"]
    assert (worker.host, worker.port, worker.max_capacity, worker.tags) == (
        "localhost",
        8444,
        10,
        ("gpu", "llamacpp"),
    )
    assert worker.password is not None
    assert worker.password.reveal() == "correct horse"
    assert config.distributed.ssh_timeout == 30.0


def test_ssh_variables_make_the_worker_default(tmp_path: Path) -> None:
    """`SSH_WORKER_*` make the worker `default`, and touch no other one."""
    environ = {"SSH_WORKER_HOST": "gpu1", "SSH_WORKER_PORT": "2222", "SSH_WORKER_PASSWORD": "pw"}
    config = load(tmp_path, {"distributed": THE_DOCUMENTED_DISTRIBUTED}, environ)
    default = config.distributed.workers["default"]
    assert (default.host, default.port, default.remote_dir) == ("gpu1", 2222, "/tmp/translate-ssh")
    assert config.distributed.workers["thinker-worker"].host == "localhost"


def test_ssh_variables_name_the_engine_of_the_worker(tmp_path: Path) -> None:
    """`SSH_WORKER_ENGINE_*` make a single worker that can translate; they win over the file's engine."""
    host = {"SSH_WORKER_HOST": "gpu1"}
    url, command = "http://127.0.0.1:8080/v1", "apertium -u {source_long}-{target_long}"
    served = load(
        tmp_path, environ={**host, "SSH_WORKER_ENGINE_URL": url, "SSH_WORKER_ENGINE_MODEL": "m"}
    ).distributed
    assert served.enabled
    assert served.workers["default"].engine == EngineConfig("openai", url=url, model="m")
    run = load(tmp_path, environ={**host, "SSH_WORKER_ENGINE_COMMAND": command}).distributed
    assert run.workers["default"].engine == EngineConfig("command", command=command)
    content = {
        "distributed": {"workers": {"default": {"engine": {"kind": "openai", "url": url, "model": "m"}}}}
    }
    for environ, expected in (
        ({"SSH_WORKER_ENGINE_MODEL": "n"}, EngineConfig("openai", url=url, model="n")),
        ({"SSH_WORKER_ENGINE_COMMAND": command}, EngineConfig("command", command=command, model="m")),
        ({}, EngineConfig("openai", url=url, model="m")),
    ):
        found = load(tmp_path, content, {**host, **environ}).distributed.workers["default"]
        assert found.engine == expected


def test_ssh_variables_that_make_no_engine_are_told(tmp_path: Path) -> None:
    """The error names what is set and what is allowed."""
    url, command = "SSH_WORKER_ENGINE_URL", "SSH_WORKER_ENGINE_COMMAND"
    for environ in (
        {"SSH_WORKER_ENGINE_MODEL": "m"},
        {url: "gpu1:8080"},
        {url: "http://gpu1:8080/v1", command: "apertium"},
        {url: "http://gpu1:8080/v1", "SSH_WORKER_ENGINE_KIND": "command"},
        {command: "apertium", "SSH_WORKER_ENGINE_KIND": "ollama"},
        {command: "apertium {from}"},
        {command: "{source} x"},
        {command: "tr 'a"},
    ):
        with pytest.raises(ConfigError, match=r"makes no engine; allowed: SSH_WORKER_ENGINE_URL") as caught:
            load(tmp_path, environ={"SSH_WORKER_HOST": "gpu1", **environ})
        assert all(name in caught.value.detail for name in environ)


def test_ssh_variables_say_how_the_worker_is_used(tmp_path: Path) -> None:
    """Keys (several while they are rotated), capacity, tags, a name and `~/.ssh/config`."""
    environ = {
        "SSH_WORKER_HOST": "gpu1",
        "SSH_WORKER_KEY_FILE": "/keys/old, /keys/new",
        "SSH_WORKER_MAX_CAPACITY": "4",
        "SSH_WORKER_TAGS": "gpu,fast",
        "SSH_WORKER_NAME": "The big one",
        "SSH_WORKER_SSH_CONFIG": "yes",
    }
    worker = load(tmp_path, environ=environ).distributed.workers["default"]
    assert worker.key_file == ("/keys/old", "/keys/new")
    assert (worker.max_capacity, worker.tags, worker.name) == (4, ("gpu", "fast"), "The big one")
    assert worker.ssh_config


def test_a_command_that_the_workers_list_does_not_name_stops_the_start(tmp_path: Path) -> None:
    """`allow` holds for the file's command and for a variable's; the error says what was allowed."""
    worker = {
        "host": "h",
        "allow": ["apertium", "/opt/llama-cli"],
        "engine": {"kind": "command", "command": "apertium -u en-es"},
    }
    content = {"distributed": {"enabled": True, "workers": {"default": worker}}}
    config = load(tmp_path, content).distributed
    assert config.workers["default"].allow == ("apertium", "/opt/llama-cli")
    assert specs_of(config)[0].allow == ("apertium", "/opt/llama-cli")
    other = {"SSH_WORKER_HOST": "h", "SSH_WORKER_ENGINE_COMMAND": "sh -c 'rm -r x'"}
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, content, other)
    assert caught.value.detail == (
        "distributed.workers.default.engine.command runs sh, which distributed.workers.default.allow does "
        "not name; allowed: apertium, /opt/llama-cli."
    )
    allowed = load(tmp_path, content, {**other, "SSH_WORKER_ALLOW": "sh,cat"}).distributed
    assert allowed.workers["default"].allow == ("sh", "cat")


def test_too_many_workers_are_refused(tmp_path: Path) -> None:
    """20 workers at most unless told otherwise."""
    workers = {f"w{n}": {"host": "h"} for n in range(21)}
    with pytest.raises(ConfigError, match="has 21 workers; allowed: 20"):
        load(tmp_path, {"distributed": {"workers": workers}})
    load(tmp_path, {"distributed": {"workers": workers, "max_remote_instances": 21}})


def test_no_secret_is_ever_printed(tmp_path: Path) -> None:
    """No secret is ever printed, logged, put on a span or in an event."""
    content = {
        "security": {"jwt_secret": "hush-1"},
        "distributed": {"workers": {"a": {"host": "h", "password": "hush-2"}}},
        "translation": {"providers": {"openai": {"api_key": "hush-3", "model": "m"}}},
        "telemetry": {"otlp": {"OTEL_EXPORTER_OTLP_HEADERS": "auth=hush-4"}},
    }
    config = load(tmp_path, content, {"SSH_WORKER_HOST": "h", "SSH_WORKER_PASSWORD": "hush-5"})
    assert config.security.jwt_secret is not None
    assert config.security.jwt_secret.reveal() == "hush-1"
    for shown in (repr(config), str(config), f"{config}", f"{config.security.jwt_secret:>20}"):
        assert "hush" not in shown
    assert "openai" in repr(config)


def test_a_wrong_secret_is_not_shown_either(tmp_path: Path) -> None:
    """An error names the setting and hides its value."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, {"distributed": {"workers": {"a": {"host": "h", "password": 12345}}}})
    assert "12345" not in caught.value.detail


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    """Secrets may be given as `NAME_FILE`; the line end an editor adds is no part of them."""
    (tmp_path / "pw").write_text("from a file\n")
    environ = {"SSH_WORKER_HOST": "h", "SSH_WORKER_PASSWORD_FILE": str(tmp_path / "pw")}
    password = load(tmp_path, environ=environ).distributed.workers["default"].password
    assert password is not None
    assert password.reveal() == "from a file"
    with pytest.raises(ConfigError, match="are both set; keep one"):
        load(tmp_path, environ={**environ, "SSH_WORKER_PASSWORD": "x"})
    with pytest.raises(ConfigError, match=r"SSH_WORKER_PASSWORD_FILE: .* cannot be read"):
        load(tmp_path, environ={**environ, "SSH_WORKER_PASSWORD_FILE": str(tmp_path / "none")})


def test_a_bind_beyond_loopback_needs_insecure(tmp_path: Path) -> None:
    """A bind that is not loopback, without auth, stops the start unless `--insecure` is given."""
    for host in ("0.0.0.0", "::", "monitor.example.org", "192.168.1.5"):
        with pytest.raises(ConfigError, match="--insecure"):
            load(tmp_path, environ={"MONITOR_HOST": host})
        assert load(tmp_path, environ={"MONITOR_HOST": host, "MONITOR_INSECURE": "yes"}).server.host == host
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert load(tmp_path, environ={"MONITOR_HOST": host}).server.is_loopback


def test_authentication_that_does_not_exist_is_not_pretended(tmp_path: Path) -> None:
    """A setting that is ignored is a defect."""
    with pytest.raises(ConfigError, match="authentication is not available yet"):
        load(tmp_path, {"security": {"enable_auth": True}})


def test_a_misspelt_variable_is_warned_about(tmp_path: Path) -> None:
    """A `MONITOR_*` variable nothing reads is named, with the one that was meant."""
    config = load(tmp_path, environ={"MONITOR_SEVER_PORT": "1", "MONITOR_URL": "x", "MONITOR_SPOOL_DIR": "y"})
    (warning,) = config.warnings
    assert "MONITOR_SEVER_PORT" in warning
    assert "did you mean MONITOR_SERVER_PORT?" in warning


def test_the_images_revision_is_known_and_nothing_to_warn_about(tmp_path: Path) -> None:
    """`MONITOR_REVISION` says what the server was built from."""
    config = load(tmp_path, environ={"MONITOR_REVISION": "0123abc"})
    assert config.revision == "0123abc"
    assert config.warnings == ()


def test_the_level_is_taken_in_any_case_and_under_its_short_name(tmp_path: Path) -> None:
    """LOG_LEVEL is honoured as people write it."""
    assert load(tmp_path, environ={"LOG_LEVEL": "DEBUG"}).logging.level == "debug"
    assert load(tmp_path, {"logging": {"level": "warn"}}).logging.level == "warning"


def test_standard_telemetry_variables_are_taken_as_they_are(tmp_path: Path) -> None:
    """The `OTEL_*` variables configure OTLP; the environment wins over the file."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTHER": "x"}
    otlp = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://file:1", "OTEL_SERVICE_NAME": "m"}
    config = load(tmp_path, {"telemetry": {"otlp": otlp}}, environ)
    assert config.telemetry.otlp == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317",
        "OTEL_SERVICE_NAME": "m",
    }


@pytest.mark.parametrize(
    ("variable", "key", "right", "wrong"),
    [
        (
            "MONITOR_GRAFANA_URL",
            "grafana_url",
            "https://grafana.example.org/sub",
            ("javascript:alert(1)", "grafana:3000", "https://me:secret@grafana.example.org"),
        ),
        (
            "MONITOR_TRACE_URL",
            "trace_url",
            "http://127.0.0.1:16686/trace/{trace_id}",
            ("javascript:alert('{trace_id}')", "http://127.0.0.1:16686/trace/"),
        ),
    ],
)
def test_addresses_that_the_page_links_to_are_web_addresses(
    tmp_path: Path, variable: str, key: str, right: str, wrong: tuple[str, ...]
) -> None:
    """Whoever looks at the page is told them: Grafana's has no password in it."""
    assert getattr(load(tmp_path, environ={variable: right}).telemetry, key) == right
    for address in wrong:
        with pytest.raises(ConfigError, match=variable):
            load(tmp_path, environ={variable: address})


def test_the_monitors_own_address_is_a_web_address(tmp_path: Path) -> None:
    """`server.public_url` is what links on traces and in notifications begin with."""
    url = "https://monitor.example.org"
    assert load(tmp_path, environ={"MONITOR_PUBLIC_URL": url}).server.public_url == url
    with pytest.raises(ConfigError, match="MONITOR_PUBLIC_URL"):
        load(tmp_path, environ={"MONITOR_PUBLIC_URL": "monitor.example.org"})


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:8443/v1", "http://", "http://h:port/v1", "http://me:pw@h/v1"]
)
def test_an_engine_that_the_tunnel_cannot_serve_stops_the_start(tmp_path: Path, url: str) -> None:
    """No https, no name and password, a host and a port that is a number: told before anything is probed."""
    worker = {"host": "h", "engine": {"kind": "openai", "url": url}}
    with pytest.raises(ConfigError, match="the tunnel to it is encrypted already"):
        load(tmp_path, {"distributed": {"workers": {"a": worker}}})
    worker["engine"] = {"kind": "openai", "url": "http://127.0.0.1:8080/llm/v1"}
    load(tmp_path, {"distributed": {"workers": {"a": worker}}})
