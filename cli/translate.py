"""`translate`: translates real documents and tells the monitor about every step."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog
from opentelemetry import trace
from rich.console import Console

from cli.display import duration
from cli.fleet import add_fleet_options, configured_workers, fleet_of
from cli.options import add_monitor_option, monitor_address
from cli.resume import claimed_progress, say_how_to_resume
from cli.translate_view import TranslateView
from exporters.tracing_live import live_provider
from translation_events import Publisher
from translation_events.address import DEFAULT_URL, MonitorAddress
from translation_events.decode import check_session_id
from translation_events.errors import ConfigError, InvalidEvent
from translation_events.ids import new_event_id
from translator.engines.choice import Chosen, EngineName, Fleet, choose_engine, open_engine
from translator.engines.engine import EngineUnavailable
from translator.engines.languages import language
from translator.output import Job, plan
from translator.progress import Progress
from translator.progress_folder import AlreadyRunning, ProgressUnavailable
from translator.report import Emitter, Report, Tee
from translator.translation import Outcome, Translation, TranslationFailed

NAME: Final = "translate"
HELP: Final = "translate text and Markdown files, reporting to the monitor"

log = structlog.get_logger(__name__)

DEFAULT_CONCURRENCY: Final = 4
MAX_CONCURRENCY: Final = 64
PROBE_S: Final = 0.5  # for a monitor nobody asked for: on the same machine it answers at once
INTERRUPTED: Final = 130


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("input", nargs="+", type=Path, metavar="INPUT", help="a .md or .txt file")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="OUT",
        help="the file to write; a folder where there are several inputs",
    )  # fmt: skip
    parser.add_argument(
        "--from", dest="source", required=True, metavar="LANG", help="language of the input: en"
    )
    parser.add_argument("--to", dest="target", required=True, metavar="LANG", help="language wanted: es")
    parser.add_argument(
        "--engine", type=EngineName, choices=list(EngineName),
        help="ssh (the configured workers), llm (OPENAI_API_KEY, OPENAI_BASE_URL), apertium or glossary; "
        "default: the best one found",
    )  # fmt: skip
    parser.add_argument("--model", help="model of the llm engine; default: the endpoint's first")
    parser.add_argument(
        "--session-id", metavar="ID",
        help="name of the session on the monitor; default: a new one, or with --resume the earlier run's",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true",
        help="go on where an earlier run of the same work stopped; engine and model may be others",
    )  # fmt: skip
    parser.add_argument(
        "--concurrency", type=_count, metavar="N",
        help=f"segments with the engine at a time ({DEFAULT_CONCURRENCY}; ssh: what the workers take)",
    )  # fmt: skip
    parser.add_argument(
        "--pace", type=_seconds, default=0.0, metavar="S",
        help="at least so many seconds between two segments, to watch it work (0)",
    )  # fmt: skip
    add_monitor_option(parser)
    add_fleet_options(parser)


def run(args: argparse.Namespace) -> int:
    """Translate; returns the exit code. Raises: MonitorError: the arguments are wrong (exit 2)."""
    languages = language(args.source).code, language(args.target).code
    if languages[0] == languages[1]:
        raise ConfigError(f"--from and --to are both {languages[0]}; there is nothing to translate")
    jobs = plan(args.input, args.output)
    if args.session_id:
        try:
            check_session_id(args.session_id)
        except InvalidEvent as error:
            raise ConfigError(f"--session-id: {error.detail}") from error
    if args.model and args.engine not in (None, EngineName.LLM):
        raise ConfigError(f"--model is for the llm engine; {args.engine} has none")
    specs = configured_workers(args, os.environ)
    console = Console(stderr=True, soft_wrap=True)
    with _spans(os.environ), contextlib.ExitStack() as open_until_end:
        try:
            progress = open_until_end.enter_context(
                claimed_progress(jobs, languages, console, resume=args.resume)
            )
        except (AlreadyRunning, ProgressUnavailable) as error:
            _complain(error.detail)
            return 1
        session_id = args.session_id or (args.resume and progress and progress.session_id)
        session_id = session_id or f"translate-{new_event_id()}"
        if progress is not None:
            progress.session_id = session_id
        emitters: list[Emitter] = []
        publisher = _publisher(args, session_id, console)
        if publisher is not None:
            emitters.append(open_until_end.enter_context(publisher))
        view = TranslateView(console)
        try:
            fleet = fleet_of(
                args, specs, Tee(*emitters, view), None if publisher is None else monitor_address(args)
            )
            code = asyncio.run(_translate(args, jobs, languages, emitters, progress, view, fleet))
        except (KeyboardInterrupt, asyncio.CancelledError):  # SIGINT, SIGTERM
            console.print("Interrupted; no file is left half written.")
            code = INTERRUPTED
        if code:
            say_how_to_resume(progress, console)
        return code


async def _translate(
    args: argparse.Namespace,
    jobs: Sequence[Job],
    languages: tuple[str, str],
    emitters: Sequence[Emitter],
    progress: Progress | None,
    view: TranslateView,
    fleet: Fleet,
) -> int:
    _cancel_on_sigterm()
    console = view.console
    source, target = languages
    try:
        engine, reason = await _engine(args, source, target, fleet)
    except EngineUnavailable as error:
        engine_name = args.engine or "none"
        Report(Tee(*emitters), str(engine_name), args.model or "").fatal(None, error.error_type, error.detail)
        _complain(error.detail)
        return 1
    view.begin()
    console.print(f"Engine: {engine.statement}.", highlight=False, markup=False)
    console.print(f"  {reason}.", highlight=False, markup=False)
    if args.pace:
        console.print(
            f"  Slowed down on purpose: one segment every {args.pace:g} s (--pace).", highlight=False
        )
    try:
        with view:
            outcome = await Translation(
                jobs, engine, Tee(*emitters, view),
                source=source, target=target, pace_s=args.pace, progress=progress,
                concurrency=args.concurrency or min(engine.capacity or DEFAULT_CONCURRENCY, MAX_CONCURRENCY),
            ).run()  # fmt: skip
    except TranslationFailed as error:
        _complain(error.detail)
        return 1
    finally:
        await engine.aclose()
    _summarise(console, outcome, engine.statement)
    return 1 if outcome.failed else 0


async def _engine(args: argparse.Namespace, source: str, target: str, fleet: Fleet) -> Chosen:
    if args.engine is None:
        return await choose_engine(source, target, environ=os.environ, model=args.model, fleet=fleet)
    engine = await open_engine(args.engine, source, target, environ=os.environ, model=args.model, fleet=fleet)
    return Chosen(engine, "asked for with --engine")


def _publisher(args: argparse.Namespace, session_id: str, console: Console) -> Publisher | None:
    """A publisher to the monitor asked for, or to the one that happens to run here; else None."""
    asked = getattr(args, "monitor", None) or os.environ.get("MONITOR_URL")
    address = monitor_address(args)
    if not asked and not _listens(address):
        console.print(
            f"Not monitored: no monitor at {DEFAULT_URL} (start one: translation-monitor serve).",
            highlight=False,
        )
        return None
    console.print(f"Session {session_id}, on {address.url}/monitor", highlight=False, soft_wrap=True)
    return Publisher(address.url, session_id=session_id)


def _listens(address: MonitorAddress) -> bool:
    try:
        socket.create_connection((address.host, address.port), timeout=PROBE_S).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _spans(environ: Mapping[str, str]) -> Iterator[None]:
    """Live spans, where a collector is configured."""
    outcomes: Counter[str] = Counter()
    provider = live_provider(
        environ,
        service_name="translation-monitor-translate",
        outcomes=lambda outcome, spans: outcomes.update({outcome: spans}),
    )
    if provider is None:
        yield
        return
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()
        exported = outcomes.pop("exported", 0)
        if outcomes:
            # The exporter has not told why where the end of the run was its first try.
            log.warning(
                "spans of this run are lost: does the collector run, and is its address right?",
                exported=exported,
                **outcomes,
            )


def _cancel_on_sigterm() -> None:
    """SIGTERM ends a translation as Ctrl-C does: reported, with nothing half written."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _summarise(console: Console, outcome: Outcome, statement: str) -> None:
    left = outcome.segments - outcome.resumed
    for path in outcome.files:
        console.print(f"Wrote {path}", highlight=False, markup=False)
    if outcome.resumed:
        made_by = ", ".join(outcome.resumed_from)
        console.print(
            f"{outcome.resumed} of {outcome.segments} segments were kept from an earlier run ({made_by}).",
            highlight=False,
            markup=False,
        )
    if left:
        console.print(
            f"{left - outcome.failed} of {left} segments translated in {duration(outcome.duration_s)} "
            f"by {statement}.",
            highlight=False,
            markup=False,
        )
    totals = outcome.totals
    if totals.requests:
        console.print(
            f"{totals.requests} requests, {totals.input_tokens} tokens in, {totals.output_tokens} out.",
            highlight=False,
        )
    if outcome.failed:
        console.print(
            f"{outcome.failed} segments failed and stand untranslated in the result.",
            style="red",
            highlight=False,
        )


def _complain(detail: str) -> None:
    print(f"translation-monitor translate: {detail}", file=sys.stderr)


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MAX_CONCURRENCY:
        raise argparse.ArgumentTypeError(f"must be 1 to {MAX_CONCURRENCY}")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 60:
        raise argparse.ArgumentTypeError("must be 0 to 60 seconds")
    return value
