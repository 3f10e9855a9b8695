"""The documentation against what it speaks of: links, headings, commands, settings, names of the protocol."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cli.main import offered
from cli.options import add_log_options
from service.alert import Alert
from service.alertmanager import Reading
from service.http import alerts, pages, publish, report, sessions, status, workers
from service.problems import MEANINGS
from service.projections.sessions import SessionProjection
from service.projections.worker import Worker
from translation_events import Publisher, PublisherStats
from translation_events.decode import decode_event, read_stored, stored_body
from translation_events.event import ErrorType, Event, EventType, Usage, WorkerInfo
from translation_events.session import Status

ROOT = Path(__file__).parent.parent
PACKAGES = ("translation_events", "exporters", "sshworker", "translator", "service", "cli")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SOURCES = sorted(
    [path for room in (*PACKAGES, "tests") for path in (ROOT / room).rglob("*.py")]
    + [*PAGES, ROOT / "Makefile", ROOT / "pyproject.toml"]
)
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
MAX_IMAGE_BYTES = 300_000  # a clone and a README should stay light

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
CITED = re.compile(r'(docs/[\w/-]+\.md),\s+((?:"[^"]+"(?: and )?)+)')
MENTIONED = re.compile(r"(?<![\w/])docs/[\w/-]+\.md")
COMMAND = re.compile(r"(?:^|[ `])translation-monitor ((?:[a-z]+|--\w+)[^`#\n]*)", re.MULTILINE)
FLAG = re.compile(r"`(--[a-z][a-z-]*)")
VARIABLE = re.compile(r"\bMONITOR_[A-Z_]+\b")
SOMEBODYS_FOLDER = re.compile(r"(?<![\w.~$-])/(?:home|root|Users|work|workspace|builds?|mnt|opt)(?:/|\b)")


def text_of(path: Path) -> str:
    """The whole file."""
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    """How a test case is called."""
    return str(path.relative_to(ROOT))


def headings(path: Path) -> list[str]:
    """The headings of a page, outside its code blocks."""
    return HEADING.findall(FENCE.sub("", text_of(path)))


def anchor(heading: str) -> str:
    """What a heading is called in a link."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def parser_of(command: str) -> argparse.ArgumentParser:
    """The real parser of a command, which raises instead of exiting."""
    parser = argparse.ArgumentParser(prog=command, exit_on_error=False)
    importlib.import_module(f"cli.{command}").configure(parser)
    if "--log-level" not in parser.format_usage():
        add_log_options(parser)
    return parser


def flags() -> set[str]:
    """Every flag of every command."""
    parsers = [parser_of(command) for command in offered()]
    return {flag for parser in parsers for action in parser._actions for flag in action.option_strings}


def documented_commands() -> Iterator[tuple[str, str]]:
    """(page, arguments) of every command line in the documentation."""
    for page in PAGES:
        text = text_of(page).replace("\\\n", " ")
        for arguments in COMMAND.findall(text):
            yield name_of(page), arguments.strip()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """A link names a file of the project and a heading that is there."""
    for link in LINK.findall(FENCE.sub("", text_of(page))):
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not fragment or fragment in map(anchor, headings(target)), link


def test_every_page_and_heading_that_is_cited_exists() -> None:
    """`docs/protocol.md, "Errors"` in a docstring is a promise that there is something to read."""
    cited = 0
    for path in SOURCES:
        text = re.sub(r"\s*\n\s*(?:# )?", " ", text_of(path))
        for page in MENTIONED.findall(text):
            assert (ROOT / page).exists(), f"{name_of(path)} speaks of {page}"
        for page, quoted in CITED.findall(text):
            for heading in re.findall(r'"([^"]+)"', quoted):
                assert heading in headings(ROOT / page), f'{name_of(path)} cites {page}, "{heading}"'
                cited += 1
    assert cited > 30


@pytest.mark.parametrize(("page", "arguments"), list(documented_commands()))
def test_every_documented_command_line_is_understood(page: str, arguments: str) -> None:
    """What is written after `translation-monitor` is what its parser takes."""
    command, *rest = shlex.split(arguments)
    assert command in offered(), page
    if rest:  # a bare `translation-monitor translate` in prose names the command, no more
        parser_of(command).parse_args(rest)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_flag_variable_and_target_exists(page: Path) -> None:
    """A flag in code style is one of ours, a `MONITOR_*` variable is configured, a make target is real."""
    text = text_of(page)
    assert set(FLAG.findall(text)) <= flags()
    assert set(VARIABLE.findall(text)) <= set(VARIABLE.findall(text_of(ROOT / "docs/configuration.md")))
    targets = set(re.findall(r"^(\w+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make (\w+)", text, re.MULTILINE)) <= targets


def test_the_newcomers_three_lines_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of the README runs as it stands; without a monitor its event waits in the spool."""
    monkeypatch.setenv("MONITOR_SPOOL_DIR", str(tmp_path))
    (code,) = [body for language, body in FENCE.findall(text_of(ROOT / "README.md")) if language == "python"]
    # The address of a port where nobody listens: the reader's own monitor is not for tests.
    code = code.replace("127.0.0.1:8090", "127.0.0.1:9").replace(
        'id="book-1"', 'id="book-1", exit_wait_s=0.1'
    )
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102  # our own page
    (segment,) = tmp_path.glob("*/*/*.ndjson")
    assert decode_event(segment.read_bytes()).progress == 55.0


def test_every_dependency_has_its_reason_and_its_floor() -> None:
    """`docs/dependencies.md` has one line for each requirement of `pyproject.toml`, and none for others."""
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    wanted = {("", requirement) for requirement in project["dependencies"]}
    for extra, requirements in project["optional-dependencies"].items():
        wanted |= {(extra, requirement) for requirement in requirements}
    rows = re.findall(
        r"^\| (?:`(\w+)` \| )?`([\w-]+)` \| (.+?) \| (.+?) \|$",
        text_of(ROOT / "docs/dependencies.md").partition("## Programs")[0],
        re.MULTILINE,
    )
    documented = {(extra, name): floor for extra, name, _, floor in rows}
    for extra, requirement in wanted:
        name, floor = re.match(r"([\w-]+)(?:\[\w+\])?(?:>=([\d.]+))?", requirement).groups("–")  # type: ignore[union-attr]  # always matches
        assert (extra, name) in documented, requirement
        assert re.match(rf"{re.escape(floor)}(?![\d.]*\d)", documented[extra, name]), requirement
    assert len(documented) == len(wanted)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_folder_of_somebodys_machine(page: Path) -> None:
    """What is documented holds on every machine."""
    assert SOMEBODYS_FOLDER.findall(text_of(page)) == []


def test_images_are_light() -> None:
    """A picture in the repository stays under 300 kB."""
    images = list((ROOT / "docs" / "images").iterdir())
    assert images
    assert all(image.stat().st_size < MAX_IMAGE_BYTES for image in images)


def test_the_protocol_names_every_route() -> None:
    """A path that can be asked for is part of the contract."""
    for part in (alerts, pages, publish, report, sessions, status, workers):
        for route in part.routes:
            path = getattr(route, "path", "")
            if path == "/" or path.startswith("/static/"):
                continue  # the redirect is told with the page, and its files are its own
            wanted = re.sub(r"\{(\w+)\}", "{id}", path)
            assert f"`{wanted}" in PROTOCOL or f" {wanted}" in PROTOCOL or f" {path}" in PROTOCOL, path


def test_the_protocol_names_every_field_and_value() -> None:
    """A writer of a client needs the page alone: no type, code, status or field is missing from it."""
    names = {str(value) for values in (EventType, ErrorType, Status) for value in values}
    names |= {str(code) for code in MEANINGS}
    for struct in (Event, WorkerInfo, Usage, Worker, Alert, Reading):
        names |= {
            field.encode_name for field in msgspec.structs.fields(struct) if field.encode_name.isascii()
        }
    names |= set(PublisherStats._fields)
    names |= {name for name in vars(Publisher) if not name.startswith("_")}
    body = stored_body(decode_event(b'{"type":"translation_started","session_id":"s"}'), 1, 1.0)
    projection = SessionProjection("log", (), stalled_after_s=300.0)
    projection.apply([read_stored(body)])
    for session in projection.running():
        view = projection.view(session, 2.0)
        names |= {*view, *view["usage"]}
    code = re.findall(r"`([^`]+)`", FENCE.sub("", PROTOCOL).replace("\n", " "))
    words = set(re.findall(r"\w+", " ".join(code)))
    assert names - words - {"folded_seq"} == set()  # of `Worker`, kept with it and never shown
