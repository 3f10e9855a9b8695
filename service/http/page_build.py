"""The page's files as one build: all of one server, under an address that changes with any of them.

A page that is loaded while the server is updated would otherwise get some modules of the old release and some
of the new. Under `/static/{id}/` there is one release's files or none, and they may be kept for ever.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

from service.http.asset import Asset
from service.http.slim import slim_script, slim_style
from translation_events.version import __version__

PAGE: Final = "monitor.html"
FIRST_MODULE: Final = "monitor.js"
SESSION_MODULE: Final = "session_room.js"  # imported by the first where the page shows one session
WORKER: Final = "service_worker.js"
# Their address stays: one repairs a page whose build is gone, by the other an installed page is known.
_OF_THE_BUILD: Final = re.compile(r'"/static/(?!mend\.js"|monitor\.webmanifest")')
ROOT: Final = "/static/"
STYLES: Final = "styles.css"  # all of the page's in one, as they follow one another
DOCUMENTS: Final = (".html", ".svg", "_worker.js")  # what a browser shows or runs by itself
_STYLE: Final = re.compile(r'<link rel="stylesheet" href="/static/([\w-]+\.css)">\n *')
_IMPORT: Final = re.compile(r"""^(?:import|export)\b[^"';]*?["']\./([\w-]+\.js)["'];""", re.MULTILINE)


class PageBuild:
    """What is in the folder, read once."""

    def __init__(self, folder: Path) -> None:
        """Read and compress it all; 70 files take 40 ms."""
        files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
        digest = blake2b(__version__.encode(), digest_size=12)
        for name, body in files.items():
            digest.update(f"\0{name}\0{len(body)}\0".encode() + body)
        self.id: Final = digest.hexdigest()
        self.modules: Final = graph(files, FIRST_MODULE)
        self.session_modules: Final = graph(files, FIRST_MODULE, SESSION_MODULE)
        page = files[PAGE].decode()
        self.page: Final = self._page(page, self.modules)
        self.session_page: Final = self._page(page, self.session_modules)
        # It carries the build, so that a browser takes a new one with each.
        head = f"// translation-monitor {__version__}, {self.id}\n".encode()
        self.service_worker: Final = Asset(WORKER, head + files[WORKER], document=True)
        self._plain = {name: _asset(name, body) for name, body in files.items()}
        scripts = {
            name: _asset(name, slim_script(body.decode()).encode())
            for name, body in files.items()
            if name.endswith(".js")
        }
        style = "".join(slim_style(files[name].decode()) for name in _STYLE.findall(page))
        self._slim = scripts | {STYLES: _asset(STYLES, style.encode())}

    def plain(self, name: str) -> Asset | None:
        """A file as it is in the folder; None where there is none."""
        return self._plain.get(name)

    def asset(self, name: str) -> Asset | None:
        """A file as the page gets it: scripts and styles without their comments."""
        return self._slim.get(name) or self._plain.get(name)

    def _page(self, page: str, modules: Sequence[str]) -> Asset:
        """The page with this build's addresses, and the modules it needs named at its head.

        Otherwise the browser learns of a module only from the one that imports it, and waits once a level.
        """
        script = f'<script type="module" src="{ROOT}{FIRST_MODULE}"></script>'
        head = [f'<link rel="stylesheet" href="{ROOT}{STYLES}">']
        head += [f'<link rel="modulepreload" href="{ROOT}{name}">' for name in modules]
        page = _STYLE.sub("", page).replace(script, "\n  ".join([*head, script]))
        return Asset(PAGE, _OF_THE_BUILD.sub(f'"{ROOT}{self.id}/', page).encode(), document=True)


def _asset(name: str, body: bytes) -> Asset:
    return Asset(name, body, document=name.endswith(DOCUMENTS))


def graph(files: Mapping[str, bytes], *first: str) -> tuple[str, ...]:
    """The `first` modules and all they import, those that are needed soonest first.

    Raises: KeyError: one imports a module that is not there.
    """
    found = list(first)
    for name in found:  # grows while it is walked
        for imported in _IMPORT.findall(files[name].decode()):
            if imported not in found:
                found.append(imported)
    return tuple(found)
