"""Entry point of `translation-monitor`: picks the command, turns its outcome into an exit code and a line."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from io import TextIOWrapper
from types import ModuleType
from typing import Final, NoReturn

from cli.options import add_log_options, logging_config
from translation_events.errors import ConfigError, MonitorError
from translation_events.version import __version__

PROGRAM: Final = "translation-monitor"
# A module of this package each, with HELP, configure(parser) and run(args) -> exit code.
COMMANDS: Final = ("serve", "translate", "demo", "emit", "tail", "sessions", "workers", "doctor")

FINE: Final = 0
FAILED: Final = 1
BAD_USAGE: Final = 2
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report it


class CommandParser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where to read on; exit code 2."""
        self.exit(BAD_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 fine, 1 failed, 2 bad usage, 130 interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal that knows only ASCII shows a ? instead of ending the work.
        sys.stdout.reconfigure(errors="replace")
    wants_traceback = False
    try:
        args = _parse(argv)
        wants_traceback = _set_up_logs(args) == "debug"
        code: int = args.run(args)
        sys.stdout.flush()
    except SystemExit as err:  # argparse: 0 after --help and --version, 2 after an error
        return err.code if isinstance(err.code, int) else BAD_USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as err:  # noqa: BLE001 - the outermost border: a person gets a line, not a stack
        return _outcome(_first(err), wants_traceback=wants_traceback)
    return code


def offered(names: Iterable[str] = COMMANDS) -> list[str]:
    """The commands this installation has."""
    return [name for name in names if find_spec(f"cli.{name}") is not None]


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = CommandParser(
        prog=PROGRAM,
        description="Watch long translations live: their events, history, metrics and traces.",
        epilog=f"{PROGRAM} COMMAND --help tells more about a command.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28),
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    names = offered()
    # Only the chosen command is imported: a server's modules need not be loaded to print one session.
    chosen = [argv[0]] if argv and argv[0] in names else names
    for name in chosen if list(argv) != ["--version"] else ():
        module = importlib.import_module(f"cli.{name}")
        _add(commands, name, module)
    return parser.parse_args(argv)


def _add(commands: argparse._SubParsersAction[CommandParser], name: str, module: ModuleType) -> None:
    parser = commands.add_parser(
        name, help=module.HELP, description=getattr(module, "DESCRIPTION", module.HELP)
    )
    parser.set_defaults(run=module.run)
    module.configure(parser)
    if "--log-level" not in parser.format_usage():
        add_log_options(parser)


def _set_up_logs(args: argparse.Namespace) -> str:
    from service.logs import configure_logs  # after --help and --version, which log nothing

    config = logging_config(args)
    configure_logs(config)
    return config.level


def _first(err: Exception) -> Exception:
    """What to tell of several errors that ended the work together: one we can explain, else the first."""
    leaves: list[Exception] = []
    waiting = [err]
    while waiting:
        one = waiting.pop()
        if isinstance(one, ExceptionGroup):
            waiting.extend(one.exceptions)
        else:
            leaves.append(one)
    return next((one for one in leaves if isinstance(one, MonitorError | BrokenPipeError)), leaves[-1])


def _outcome(err: Exception, *, wants_traceback: bool) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has had enough (`… | head`): what Python still holds is not written again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(err, BrokenPipeError):
        return FINE
    if wants_traceback:
        traceback.print_exception(err)
    if isinstance(err, MonitorError):
        print(f"{PROGRAM}: {err.detail}", file=sys.stderr)
        return BAD_USAGE if isinstance(err, ConfigError) else FAILED
    what = f"{type(err).__name__}: {err}".replace("\n", " ")
    hint = "" if wants_traceback else " (--log-level debug shows where)"
    print(f"{PROGRAM}: unexpected error: {what}{hint}", file=sys.stderr)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
