"""The command line itself: what is offered, exit codes, errors in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cli.main import COMMANDS, main, offered
from translation_events import __version__

from .conftest import Run


async def test_version_and_help_need_no_command(run: Run) -> None:
    """`--version` prints the version, `--help` names every command there is."""
    assert (await run("--version")).out == f"translation-monitor {__version__}\n"
    shown = await run("--help")
    assert shown.code == 0
    for name in offered():
        assert f"\n    {name}" in shown.out


def test_a_command_without_its_module_is_not_offered() -> None:
    """What does not exist yet is not promised."""
    assert offered(["emit", "no_such_command"]) == ["emit"]
    assert set(offered()) <= set(COMMANDS)


async def test_bad_usage_is_one_line_and_code_2(run: Run) -> None:
    """Errors are one line that says what, where and what to do."""
    for arguments in (
        (),
        ("nonsense",),
        ("emit", "--nonsense"),
        ("tail", "--last", "many"),
        ("sessions", "show"),
    ):
        ended = await run(*arguments)
        assert ended.code == 2
        assert ended.out == ""
        assert len(ended.err.splitlines()) == 1, ended.err
        assert "--help" in ended.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tail", "--types", "x"), "--types: 'x' is not a type; known are translation_started"),
        (("tail", "--after", "x"), "--after is 'x'; allowed: a seq like 4711"),
        (("tail", "--last", "0"), "--last is 0; allowed: 1 to 1000"),
        (("tail", "--session", "a b"), "--session: session_id must be 1 to 128 characters"),
        (("sessions", "--limit", "0"), "--limit is 0; allowed: 1 to 1000"),
        (("sessions", "show", "a/b"), "session_id must be"),
        (("emit", "--field", "a=b"), "--field needs --type"),
        (("emit", "--type", "x", "--field", "a"), "--field 'a' is wrong; allowed: KEY=VALUE"),
        (("emit", "--session", "_x", "{}"), "--session: A session_id that begins with '_'"),
        (("emit", "--monitor", "ftp://x", "{}"), "A monitor's address looks like"),
        (("sessions", "--monitor", "http://u:hush@x"), "not one with a user name or password"),
        (("serve", "--port", "70000"), "--port is 70000; allowed: a whole number from 0 to 65535."),
        (("serve", "--host", "0.0.0.0", "--port", "0"), "--insecure"),
    ],
)
async def test_a_wrong_value_says_what_is_allowed(run: Run, arguments: tuple[str, ...], told: str) -> None:
    """Exit code 2: bad usage or configuration."""
    ended = await run(*arguments)
    assert ended.code == 2
    assert told in ended.err
    assert len(ended.err.splitlines()) == 1
    assert "hush" not in ended.err


async def test_a_wrong_log_level_in_the_environment_is_bad_usage(run: Run, environ: dict[str, str]) -> None:
    """LOG_LEVEL is read by every command."""
    environ["LOG_LEVEL"] = "loud"
    ended = await run("sessions")
    assert ended.code == 2
    assert ended.err == (
        "translation-monitor: LOG_LEVEL is 'loud'; allowed: one of debug, info, warning, error.\n"
    )


async def test_no_monitor_is_one_line_and_code_1(run: Run, environ: dict[str, str]) -> None:
    """The line says where and what to do; a traceback shows only with `--log-level debug`."""
    environ["MONITOR_URL"] = "http://127.0.0.1:9"
    for arguments in (("sessions",), ("tail",), ("emit", '{"type":"translation_started","session_id":"a"}')):
        ended = await run(*arguments)
        assert ended.code == 1
        assert ended.err == (
            "translation-monitor: No monitor answers at http://127.0.0.1:9: connection refused. Start one "
            "with `translation-monitor serve`, or name another with --monitor.\n"
        )
    assert "Traceback" in (await run("sessions", "--log-level", "debug")).err


def test_only_the_chosen_command_is_loaded() -> None:
    """Listing sessions does not pay for the server."""
    code = (
        "import sys; from cli.main import main; main(['sessions', '--help']);"
        "sys.exit(any(name in sys.modules for name in ('cli.serve', 'cli.translate', 'service.app')))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0
    )


def test_an_unexpected_fault_is_a_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even a defect of ours does not throw a stack at people."""
    import cli.sessions

    def fail(_: object) -> int:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(cli.sessions, "run", fail)
    assert main(["sessions"]) == 1
    told = capsys.readouterr().err
    assert told == (
        "translation-monitor: unexpected error: ZeroDivisionError: by zero (--log-level debug shows where)\n"
    )
