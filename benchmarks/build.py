"""Compiles the load client and the Go peers into `benchmarks/build/`, once per change of their source."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.machine import Missing

HERE: Final = Path(__file__).parent
BUILD: Final = HERE / "build"
# Where Debian's golang-*-dev packages put their sources.
GO_PATH: Final = Path("/usr/share/gocode")
GO_NEEDS: Final = {
    "gorilla_hub": (("github.com/gorilla/websocket", "golang-github-gorilla-websocket-dev"),),
    "centrifuge_relay": (
        ("github.com/centrifugal/centrifuge", "golang-github-centrifugal-centrifuge-dev"),
        ("github.com/gorilla/websocket", "golang-github-gorilla-websocket-dev"),
    ),
}
COMPILE_WITHIN_S: Final = 300


def load_client() -> Path:
    """The compiled load client. Raises: Missing."""
    if shutil.which("gcc") is None:
        raise Missing("the load client needs gcc and zlib's headers (Debian: build-essential zlib1g-dev)")
    sources = sorted((HERE / "load").glob("*.c"))
    target = BUILD / "load"
    flags = ["-O2", "-std=gnu11", "-Wall", "-Wextra"]
    _compile(target, [*sources, *(HERE / "load").glob("*.h")], ["gcc", *flags, "-o", target, *sources, "-lz"])
    return target


def go_peer(name: str) -> Path:
    """A compiled Go peer. Raises: Missing."""
    if shutil.which("go") is None:
        raise Missing("needs Go (Debian: golang-go)")
    for module, package in GO_NEEDS[name]:
        if not (GO_PATH / "src" / module).is_dir():
            raise Missing(f"needs Debian's {package}")
    source, target = HERE / "peers" / f"{name}.go", BUILD / name
    environ = {"GO111MODULE": "off", "GOPATH": str(GO_PATH)}
    _compile(target, [source], ["go", "build", "-o", target, source], environ)
    return target


def _compile(
    target: Path,
    sources: Sequence[Path],
    command: Sequence[str | Path],
    environ: Mapping[str, str] | None = None,
) -> None:
    newest = max(source.stat().st_mtime for source in sources)
    if target.exists() and target.stat().st_mtime >= newest:
        return
    BUILD.mkdir(exist_ok=True)
    done = subprocess.run(
        command,
        env=os.environ | dict(environ or {}),
        capture_output=True,
        text=True,
        timeout=COMPILE_WITHIN_S,
        check=False,
    )
    if done.returncode != 0:
        raise Missing(f"{target.name} does not compile: {done.stderr.strip()[-500:]}")
