"""How the page's files are sent: compressed once, kept by the browser, never of two builds at a time."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import aiohttp
import pytest

from service.http import pages
from service.http.page_build import PageBuild, graph
from service.http.slim import slim_script
from tests.monitor_server import Server

ADDRESS = re.compile(r'(?:href|src)="(/static/[^"]+)"')
FIXED = ("/static/mend.js", "/static/monitor.webmanifest")
BUILD = re.compile(r"/static/([0-9a-f]{24})/monitor\.js")


async def fetch(server: Server, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
    """The answer as it came over the wire, not unpacked."""
    async with aiohttp.ClientSession(auto_decompress=False) as client:
        skip = () if "Accept-Encoding" in headers else ("Accept-Encoding",)
        async with client.get(server.url + path, headers=headers, skip_auto_headers=skip) as response:
            return response, await response.read()


async def page(server: Server) -> str:
    """The page as a browser gets it."""
    _, body = await fetch(server, "/monitor")
    return body.decode()


async def test_every_file_the_page_names_is_there_and_may_be_kept_for_ever(server: Server) -> None:
    """Each under the address of this build, which changes with any of them."""
    addresses = set(ADDRESS.findall(await page(server)))
    assert len(addresses) > 35
    for address in addresses:
        response, body = await fetch(server, address)
        assert response.status == 200, address
        assert body
        kept = "no-cache" if address in FIXED else "public, max-age=31536000, immutable"
        assert response.headers["Cache-Control"] == kept, address


async def test_the_page_itself_is_asked_for_each_time(server: Server) -> None:
    """Else a browser would stay with the old release."""
    response, _ = await fetch(server, "/monitor")
    assert response.headers["Cache-Control"] == "no-cache"
    again, body = await fetch(server, "/monitor", **{"If-None-Match": response.headers["ETag"]})
    assert (again.status, body) == (304, b"")
    other, _ = await fetch(server, "/monitor", **{"If-None-Match": '"another"'})
    assert other.status == 200


@pytest.mark.parametrize("path", ["/monitor", "/monitor?session=", "/monitor?session=book"])
async def test_all_modules_are_named_at_the_head_of_the_page(server: Server, path: str) -> None:
    """What the modules import is exactly what is preloaded: no waterfall, and nothing too much."""
    _, body = await fetch(server, path)
    preloaded = re.findall(r'<link rel="modulepreload" href="/static/[0-9a-f]{24}/([^"]+)">', body.decode())
    modules = {path.name: path.read_text() for path in pages.STATIC.glob("*.js")}
    reached, left = set(), ["monitor.js"]
    while left:
        name = left.pop()
        reached.add(name)
        # However it is written: any string that names a neighbour, but what is imported on demand.
        code = re.sub(r"import\([^)]*\)", "", modules[name])
        left += set(re.findall(r'["\']\./([\w-]+\.js)["\']', code)) - reached
        if name == "monitor.js" and path.endswith("book"):
            left += re.findall(r'import\("\./([\w-]+\.js)"\)', modules[name])
    assert sorted(preloaded) == sorted(reached)
    assert preloaded[0] == "monitor.js"
    assert ("session_room.js" in preloaded) is path.endswith("book")


def test_the_order_is_that_in_which_modules_are_needed() -> None:
    """Breadth first, each once, circles too; an import over several lines counts."""
    files = {
        "a.js": b'import { x } from "./b.js";\nimport {\n  y,\n  z,\n} from "./c.js";\n',
        "b.js": b'export { w } from "./d.js";\n',
        "c.js": b'import "./a.js";\n// import { q } from "./none.js";\n',
        "d.js": b"",
        "not_needed.js": b"",
    }
    assert graph(files, "a.js") == ("a.js", "b.js", "c.js", "d.js")


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.8", True),
        ("*", True),
        ("GZIP", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("*;q=0", False),
        ("identity", False),
    ],
)
async def test_who_takes_gzip_gets_it(server: Server, accepted: str, packed: bool) -> None:
    """Compressed at the start, and never to one who refuses it; caches are told that it varies."""
    response, body = await fetch(server, "/static/monitor.css", **{"Accept-Encoding": accepted})
    plain = (pages.STATIC / "monitor.css").read_bytes()
    assert response.headers["Vary"] == "Accept-Encoding"
    assert response.headers["Content-Type"] == "text/css; charset=utf-8"
    assert (response.headers.get("Content-Encoding") == "gzip") is packed
    assert (gzip.decompress(body) if packed else body) == plain
    assert not packed or len(body) < len(plain) / 2


@pytest.mark.parametrize(
    ("name", "policy"), [("pattern_worker.js", True), ("icon.svg", True), ("units.js", False)]
)
async def test_what_a_browser_runs_by_itself_carries_the_policy(
    server: Server, name: str, policy: bool
) -> None:
    """A worker and a picture that is opened have a policy of their own, or none."""
    response, _ = await fetch(server, f"/static/{pages.build().id}/{name}")
    assert ("Content-Security-Policy" in response.headers) is policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_file_has_a_tag_for_each_form_and_either_is_known(server: Server) -> None:
    """Source: RFC 9110 §8.8.3, a strong tag stands for exactly these bytes."""
    packed, _ = await fetch(server, "/static/monitor.css", **{"Accept-Encoding": "gzip"})
    plain, _ = await fetch(server, "/static/monitor.css")
    assert packed.headers["ETag"] != plain.headers["ETag"]
    for tag in (packed.headers["ETag"], plain.headers["ETag"], "*"):
        response, body = await fetch(server, "/static/monitor.css", **{"If-None-Match": tag})
        assert (response.status, body) == (304, b"")


@pytest.mark.parametrize("build", ["0" * 24, "f" * 23, "../" * 3])
async def test_another_build_s_files_are_not_here(server: Server, build: str) -> None:
    """One of ours in its place would be a mix of two releases."""
    response, body = await fetch(server, f"/static/{build}/monitor.js")
    assert response.status == 404
    assert str(pages.STATIC).encode() not in body


async def test_the_build_is_the_same_for_the_same_files_only(server: Server) -> None:
    """Two processes of one release agree; the service worker carries it, so browsers take a new one."""
    [build] = set(BUILD.findall(await page(server)))
    assert build == pages.build().id
    _, worker = await fetch(server, "/service-worker.js")
    assert worker.decode().splitlines()[0].endswith(build)


async def test_scripts_come_without_what_only_their_readers_need(server: Server) -> None:
    """Comments on lines of their own, indentation; a line keeps its number, and the written file is there."""
    written = (pages.STATIC / "stream.js").read_text()
    _, sent = await fetch(server, f"/static/{pages.build().id}/stream.js")
    _, plain = await fetch(server, "/static/stream.js")
    assert plain.decode() == written
    assert len(sent) < 0.9 * len(plain)
    for line, kept in zip(written.splitlines(), sent.decode().splitlines(), strict=True):
        comment = line.strip().startswith(("//", "/*", "*"))
        assert kept == ("" if comment else line.strip())


def test_a_script_with_a_template_over_several_lines_stays_as_it_is() -> None:
    """Blanks and slashes in it are text."""
    source = "const text = `\n  // no comment\n  two\n`;\n// a comment\n"
    assert slim_script(source) == source
    assert slim_script("a = `//`;\n  // gone\n/** gone\n * too */\n  b = 1; // stays\n") == (
        "a = `//`;\n\n\n\nb = 1; // stays\n"
    )


async def test_all_styles_come_as_one_in_their_order(server: Server) -> None:
    """One request that the first paint waits for, not five."""
    source = (pages.STATIC / "monitor.html").read_text()
    names = re.findall(r'rel="stylesheet" href="/static/([^"]+)"', source)
    assert len(names) > 1
    [address] = re.findall(r'rel="stylesheet" href="([^"]+)"', await page(server))
    _, sent = await fetch(server, address)
    rest = sent.decode()
    for name in names:
        for rule in re.findall(r"^[^\s/@}][^{]*\{", (pages.STATIC / name).read_text(), re.MULTILINE):
            _, found, rest = rest.partition(rule)
            assert found, f"{name}: {rule}"
    assert "/*" not in sent.decode()


def test_a_changed_file_makes_another_build(tmp_path: Path) -> None:
    """Any of them, also one that only another imports."""
    folder = shutil.copytree(pages.STATIC, tmp_path / "static")
    same = PageBuild(folder)
    assert same.id == pages.build().id
    with (folder / "units.js").open("a") as file:
        file.write("// another release\n")
    changed = PageBuild(folder)
    assert changed.id != same.id
    assert changed.id.encode() in changed.page.body
    assert same.id.encode() not in changed.page.body
