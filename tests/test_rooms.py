"""The rooms of docs/architecture.md, held over the syntax tree of every module."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Who may import whom, besides itself; docs/architecture.md, "Rooms".
MAY_IMPORT = {
    "translation_events": set(),
    "exporters": {"translation_events"},
    "sshworker": set(),
    "translator": {"translation_events", "sshworker"},
    "service": {"translation_events", "exporters", "sshworker"},
    "cli": {"translation_events", "exporters", "sshworker", "translator", "service"},
}
# One technology, one room: module -> the files that may import it.
ROOM_OF = {
    "sqlite3": ("service/eventlog/sqlite*.py",),
    "prometheus_client": ("exporters/prometheus*.py",),
    "opentelemetry.sdk": ("exporters/tracing*.py",),
    "opentelemetry.exporter": ("exporters/tracing*.py",),
    "openai": ("translator/engines/llm.py",),
    "aiohttp.web": ("service/*.py",),
    "uvloop": ("service/run.py",),
    "rich": ("cli/*.py",),
    "markdown_it": ("translator/*.py",),
    "apprise": ("service/notify/receiver.py",),
    "asyncssh": ("sshworker/*.py",),
    "nats": (),
}
# Everything else is given the environment as a mapping. (The OpenTelemetry SDK reads `OTEL_*` for itself.)
MAY_READ_ENVIRON = ("translation_events/environment.py", "cli/*.py")
UNNAMED = "a task without a name"
LOOSE = "a task outside a TaskGroup"


def modules() -> list[str]:
    """Every module of our packages, as a path from the root."""
    return sorted(str(p.relative_to(ROOT)) for room in MAY_IMPORT for p in (ROOT / room).rglob("*.py"))


def imported(node: ast.AST) -> Iterator[str]:
    """The full names an import statement names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def breaches(path: str, source: str) -> list[str]:
    """What the module at `path` does that its room forbids."""
    return [breach for node in ast.walk(ast.parse(source, path)) for breach in _breaches(path, node)]


def _breaches(path: str, node: ast.AST) -> Iterator[str]:
    room = path.split("/")[0]
    for name in imported(node):
        if name.startswith("."):
            yield f"a relative import: {name}"
        if (top := name.split(".")[0]) in MAY_IMPORT and top != room and top not in MAY_IMPORT[room]:
            yield f"{room} imports {name}"
        for technology, files in ROOM_OF.items():
            if f"{name}.".startswith(f"{technology}.") and not any(fnmatch(path, file) for file in files):
                yield f"{technology} outside its room"
        if name in ("asyncio.create_task", "asyncio.ensure_future"):
            yield LOOSE
    names = {name for name in imported(node) if name.startswith("os.")}
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        names.add(f"{node.value.id}.{node.attr}")
    reads_environ = bool(names & {"os.environ", "os.environb", "os.getenv"})
    if reads_environ and not any(fnmatch(path, file) for file in MAY_READ_ENVIRON):
        yield "the environment read outside the modules that may"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        called, owner = node.func.attr, ast.unparse(node.func.value)
        if called in ("create_task", "ensure_future") and (owner == "asyncio" or "loop" in owner):
            yield LOOSE
        elif called == "create_task" and "name" not in {keyword.arg for keyword in node.keywords}:
            yield UNNAMED


@pytest.mark.parametrize("path", modules())
def test_a_module_keeps_to_its_room(path: str) -> None:
    """Imports go one way, one technology has one room, every task has a name and a group."""
    assert breaches(path, (ROOT / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source", "breach"),
    [
        (
            "translation_events/log.py",
            "from exporters.snapshot import Snapshot",
            "translation_events imports",
        ),
        ("translator/report.py", "import service.app", "translator imports service.app"),
        ("exporters/tracing.py", "def f():\n    from cli import main", "exporters imports cli.main"),
        ("service/app.py", "import translator", "service imports translator"),
        ("service/app.py", "from . import run", "a relative import"),
        ("service/relay/relay.py", "import sqlite3", "sqlite3 outside"),
        ("service/app.py", "from prometheus_client import Counter", "prometheus_client outside"),
        ("translator/report.py", "from opentelemetry.sdk.trace import Span", "opentelemetry.sdk outside"),
        ("translation_events/delivery.py", "from aiohttp import ClientSession, web", "aiohttp.web outside"),
        ("cli/serve.py", "import aiohttp.web", "aiohttp.web outside"),
        ("translator/engines/choice.py", "import openai", "openai outside"),
        ("sshworker/spec.py", "import translation_events", "sshworker imports translation_events"),
        ("service/app.py", "import asyncssh", "asyncssh outside"),
        ("service/app.py", "import os\nos.environ['X']", "the environment"),
        ("exporters/tracing_otlp.py", "from os import getenv", "the environment"),
        ("service/app.py", "asyncio.create_task(work(), name='work')", LOOSE),
        ("service/app.py", "from asyncio import ensure_future", LOOSE),
        ("service/app.py", "asyncio.get_running_loop().create_task(work(), name='work')", LOOSE),
        ("service/app.py", "tasks.create_task(work())", UNNAMED),
    ],
)
def test_a_breach_is_found(path: str, source: str, breach: str) -> None:
    """A rule that no module could break would hold nothing."""
    assert [found for found in breaches(path, source) if found.startswith(breach)]


def test_every_package_has_its_rule() -> None:
    """A new room is a decision: it gets a line in the table above and in docs/architecture.md."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(MAY_IMPORT)
    rooms = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## The path")[0]
    assert all(f"| `{room}` |" in rooms for room in MAY_IMPORT)
