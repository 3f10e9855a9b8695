"""`demo`: a server and one real translation to watch, in one command."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from datetime import datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console

from cli.options import add_log_options, logging_config
from service.config import Config, default_event_log, load_config
from service.port import bind, holder_of, is_listening
from service.run import loop_factory, serve
from translation_events.errors import ConfigError
from translator.engines.apertium import mode_for

NAME: Final = "demo"
HELP: Final = "run the monitor and watch a bundled text being translated"

PORTS_TO_TRY: Final = 20
PACE_S: Final = 0.3
SAMPLE: Final = "lighthouse.en.md"
SOURCE: Final = "en"
EXCERPT_LINES: Final = 8
ANSWER_WITHIN_S: Final = 5.0
ENDS_ITSELF_S: Final = 1.5
END_WITHIN_S: Final = 6.0  # a publisher waits 5 s for the last acknowledgements


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--once", action="store_true", help="end by itself once the text is translated")
    parser.add_argument(
        "--pace",
        type=float,
        metavar="S",
        help=f"at least so many seconds a segment, to watch it ({PACE_S}; 0 with --once)",
    )
    parser.add_argument("--monitor", metavar="URL", help="translate for a monitor that runs already")
    parser.add_argument("--port", type=int, help="port to listen on (8090, or the next free one)")
    add_log_options(parser)


def run(args: argparse.Namespace) -> int:
    """Serve and translate; returns the translation's exit code. Raises: ConfigError."""
    pace = args.pace if args.pace is not None else (0.0 if args.once else PACE_S)
    if not 0 <= pace <= 60:
        raise ConfigError("--pace must be 0 to 60 seconds.")
    console = Console(soft_wrap=True, highlight=False)
    if args.monitor:
        return _Demo(args.monitor.rstrip("/"), pace, console).translate()
    config, sockets = _free_port(args, console)
    log_path = default_event_log(os.environ).with_name(f"demo-{config.server.port}.db")
    config = msgspec.structs.replace(
        config,
        event_log=msgspec.structs.replace(config.event_log, url=f"sqlite:///{log_path}"),
        logging=logging_config(args),
    )
    return _serve_and_translate(config, sockets, pace, console, once=args.once)


def _free_port(args: argparse.Namespace, console: Console) -> tuple[Config, list[socket.socket]]:
    """The configuration with a port that is free, and the sockets bound to it. Raises: ConfigError."""
    config = load_config(environ=os.environ, argv_overrides={"server.port": args.port})
    wanted = config.server.port
    for port in range(wanted, wanted + PORTS_TO_TRY):
        try:
            sockets = bind(config.server.host, port)
        except ConfigError:
            if args.port is not None or not is_listening(port):
                raise
            continue
        if port != wanted:
            holder = holder_of(wanted) or "another program"
            console.print(f"Port {wanted} is held by {holder}; using {port}.")
        port = sockets[0].getsockname()[1]
        server = msgspec.structs.replace(config.server, port=port)
        return msgspec.structs.replace(config, server=server), sockets
    raise ConfigError(f"Ports {wanted} to {wanted + PORTS_TO_TRY - 1} are all taken; name one with --port.")


def _serve_and_translate(
    config: Config, sockets: list[socket.socket], pace: float, console: Console, *, once: bool
) -> int:
    code = 1
    end: Callable[[], object] = lambda: None  # noqa: E731
    started: list[threading.Thread] = []
    demo: _Demo | None = None

    def stop(stopping: asyncio.Event) -> None:
        nonlocal end
        loop = asyncio.get_running_loop()
        end = lambda: loop.call_soon_threadsafe(stopping.set)  # noqa: E731

        def translation_first() -> None:
            # The server goes last: it still takes the translation's last words.
            if demo is not None:
                demo.end()
            end()

        def on_signal() -> None:
            threading.Thread(target=translation_first, name="end the demo", daemon=True).start()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)

    def work(url: str) -> None:
        nonlocal code, demo
        demo = _Demo(url, pace, console)
        try:
            code = demo.translate()
        finally:
            if once:
                end()
        if not once and not demo.ended:
            console.print("\nServing on until Ctrl-C.")

    def on_ready(url: str) -> None:
        thread = threading.Thread(target=work, args=(url,), name="demo translation", daemon=True)
        started.append(thread)
        thread.start()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        served = runner.run(serve(config, sockets, stop=stop, on_ready=on_ready))
    for thread in started:
        thread.join(timeout=END_WITHIN_S)
    if once:
        return code or served
    console.print(f"Everything is kept: run the demo again on port {config.server.port} to see it.")
    return served


class _Demo:
    """One translation of the bundled text by the best engine there is, reported to the monitor at `url`."""

    def __init__(self, url: str, pace_s: float, console: Console) -> None:
        self._url = url
        self._pace_s = pace_s
        self._console = console
        self._process: subprocess.Popen[bytes] | None = None
        self.ended = False

    def translate(self) -> int:
        """Translate and say what came of it, by the monitor's own account; returns the exit code."""
        # Names sort by time, and five demos started together differ.
        stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        session_id = f"demo-{stamp}-{secrets.token_hex(2)}"
        target = best_target()
        folder = default_event_log(os.environ).parent / "demo"
        folder.mkdir(parents=True, exist_ok=True)
        output = folder / f"{session_id}.{target}.md"
        self._introduce(session_id)
        with as_file(files("translator") / "samples" / SAMPLE) as sample:
            command = [sys.executable, "-m", "cli.main", "translate", str(sample), "-o", str(output)]
            command += ["--from", SOURCE, "--to", target, "--monitor", self._url]
            command += ["--session-id", session_id, "--concurrency", "1", "--pace", str(self._pace_s)]
            self._process = subprocess.Popen(command)  # noqa: S603 - our own command
            code = self._process.wait()
        if self.ended:
            return code
        status = self._status(session_id)
        if code == 0 and status.get("status") != "completed":
            self._console.print(f"The monitor says: {status.get('status', 'nothing')}.", style="red")
            code = 1
        if code == 0:
            self._conclude(status, output, target)
        return code

    def end(self) -> None:
        """Have a translation that still runs end; Ctrl-C in a terminal has told it already."""
        self.ended = True
        if self._process is None or self._process.poll() is not None:
            return
        try:
            self._process.wait(timeout=ENDS_ITSELF_S)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=END_WITHIN_S)

    def _introduce(self, session_id: str) -> None:
        say = self._console.print
        say(f"[bold]Monitor[/bold]   {self._url}/monitor   open this in a browser")
        say(f"          {self._url}/monitor?session={session_id}")
        say(f"Metrics   {self._url}/metrics")
        say(f"Session   {self._url}/sessions/{session_id}\n")

    def _conclude(self, status: dict[str, Any], output: Path, target: str) -> None:
        say = self._console.print
        counted = f"{status['items_done']} of {status['total_items']} items"
        say(f"\nThe monitor says: {status['status']}, {counted}.")
        lines = [line for line in output.read_text(encoding="utf-8").splitlines() if line.strip()]
        for line in lines[:EXCERPT_LINES]:
            say(f"  {line[:100]}", style="dim", markup=False)
        say("\nTry next:")
        say("  translation-monitor tail                      follow every session here")
        say(f"  translation-monitor translate FILE.md -o OUT.md --from {SOURCE} --to {target}")
        say("  export OPENAI_BASE_URL=http://127.0.0.1:8080/v1   a model of your own (llama.cpp, Ollama, …)")

    def _status(self, session_id: str) -> dict[str, Any]:
        """The session as the monitor tells it; the last event may still be on its way."""
        status: dict[str, Any] = {}
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(  # noqa: S310 - our own http URL
                    f"{self._url}/sessions/{session_id}", timeout=ANSWER_WITHIN_S
                ) as response:
                    status = json.load(response)
            except OSError:
                status = {}
            if status.get("ended_at") is not None:
                break
            time.sleep(0.1)
        return status


def best_target() -> str:
    """The language the best engine here can translate the sample into.

    A model or the bundled word list takes Russian; Apertium, better than a word list, has Spanish.
    """
    if not (os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL")) and mode_for(SOURCE, "es"):
        return "es"
    return "ru"
