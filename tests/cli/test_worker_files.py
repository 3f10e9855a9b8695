"""`workers put` and `workers get` as a person runs them, against real sshds."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import fleet
from tests.cli.conftest import Run
from tests.sshd import Sshd, free_port, names

Start = Callable[..., Sshd]
BOOK = os.urandom(3_000_000)
SUM = hashlib.sha256(BOOK).hexdigest()


@pytest.fixture(autouse=True)
def quiet_libraries(environ: dict[str, str]) -> None:
    """Warnings of the SSH library are not ours to fail for."""
    environ["PYTHONWARNINGS"] = "ignore"


@pytest.fixture
def two(start_sshd: Start, tmp_path: Path) -> dict[str, Path]:
    """Two workers in a configuration file, each with a folder; returns the folders by worker."""
    sshds = {name: start_sshd() for name in ("gpu-1", "gpu-2")}
    fleet.write_config(
        tmp_path, sshds, {name: fleet.worker(one, command="cat") for name, one in sshds.items()}
    )
    folders = {}
    for name, sshd in sshds.items():
        folders[name] = sshd.account.folder / f"files-{name}-{sshd.port}"
        folders[name].mkdir()
        shutil.chown(folders[name], sshd.account.user)
    return folders


async def test_a_file_is_put_and_fetched_with_its_checksum(
    run: Run, two: dict[str, Path], tmp_path: Path
) -> None:
    """A line for each worker: where it is, how large, its SHA-256; fetched, it is the same."""
    config = ("--config", str(tmp_path / "config.json"))
    book, back, there = tmp_path / "model.gguf", tmp_path / "back", two["gpu-1"]
    book.write_bytes(BOOK)
    sent = await run("workers", "put", "gpu-1", str(book), f"{there}/", *config)
    assert sent.code == 0, sent.err
    assert sent.out.startswith(f"gpu-1  {there}/model.gguf  3.0 MB in ")
    assert sent.out.endswith(f"sha256 {SUM}\n")
    assert names(there) == ["model.gguf"]
    back.mkdir()
    got = await run("workers", "get", "gpu-1", f"{there}/model.gguf", str(back), *config)
    assert (got.code, got.out.endswith(f"sha256 {SUM}\n")) == (0, True), got.err
    assert (back / "model.gguf").read_bytes() == BOOK


async def test_all_workers_get_a_file_though_one_cannot(
    run: Run, two: dict[str, Path], start_sshd: Start, tmp_path: Path
) -> None:
    """Each is told of; exit code 1 where one has not got it."""
    book, config = tmp_path / "model.gguf", ("--config", str(tmp_path / "config.json"))
    book.write_bytes(BOOK)
    there = two["gpu-1"]
    both = await run("workers", "put", "gpu-1, gpu-2", str(book), str(there), *config)
    assert (both.code, both.out.count(SUM)) == (0, 2), both.err
    assert names(there) == ["model.gguf"], "both are one machine here: nothing else stays"

    sshd = start_sshd()
    workers = {"here": fleet.worker(sshd, command="cat"), "gone": fleet.worker(sshd, command="cat")}
    workers["gone"]["port"] = free_port()
    fleet.write_config(tmp_path, {"here": sshd}, workers)
    some = await run("workers", "put", "all", str(book), str(there), *config)
    assert some.code == 1
    assert some.out.startswith("here  ")
    (line,) = some.err.strip().splitlines()
    assert line.startswith("translation-monitor: gone: nothing listens at 127.0.0.1:")


async def test_what_cannot_be_done_says_what_and_what_to_do(
    run: Run, two: dict[str, Path], tmp_path: Path
) -> None:
    """Wrong usage is 2 and sends nothing; a worker that says no is 1. One line each."""
    config = ("--config", str(tmp_path / "config.json"))
    book, there = tmp_path / "book.txt", two["gpu-1"]
    book.write_bytes(BOOK)
    for code, words, arguments in (
        (2, f"{tmp_path}/no.txt is not there.", ("put", "gpu-1", f"{tmp_path}/no.txt", str(there))),
        (2, f"{tmp_path} is a folder; name a file.", ("put", "gpu-1", str(tmp_path), str(there))),
        (2, "no enabled worker 'gpu-9'; configured are: gpu-1, gpu-2.", ("put", "gpu-1,gpu-9", str(book))),
        (2, f"{there}/ is a folder; name a file in it.", ("get", "gpu-1", f"{there}/")),
        (2, f"There is no folder {tmp_path}/no here; make it first.",
         ("get", "gpu-1", f"{there}/x", f"{tmp_path}/no/x")),
        (1, f"gpu-1: there is no file {there}/x on the worker.",
         ("get", "gpu-1", f"{there}/x", str(tmp_path))),
        (1, f"gpu-1: there is no folder {there}/no on the worker; make it first.",
         ("put", "gpu-1", str(book), f"{there}/no/")),
        (1, "may not do that at /root on the worker: permission denied.",
         ("put", "gpu-1", str(book), "/root")),
    ):  # fmt: skip
        ended = await run("workers", *arguments, *config)
        assert (ended.code, ended.out) == (code, ""), ended.err
        (line,) = ended.err.strip().splitlines()
        assert words in line
    assert names(there) == []
    assert names(tmp_path) == ["book.txt", "config.json", "known_hosts"]


@pytest.mark.slow
async def test_a_script_put_on_the_workers_is_what_they_translate_with(
    run: Run, two: dict[str, Path], start_sshd: Start, tmp_path: Path
) -> None:
    """What it is for: one command brings the program to every worker, as executable as it is here."""
    sshd, there = start_sshd(), two["gpu-1"]
    script = tmp_path / "shout"
    script.write_text("#!/bin/sh\nexec tr a-z A-Z\n")
    script.chmod(0o755)
    program = f"{there}/shout"
    config = fleet.write_config(tmp_path, {"one": sshd}, {"one": fleet.worker(sshd, command=program)})
    (tmp_path / "in.md").write_text("the old book\n")
    translate = (
        "translate", str(tmp_path / "in.md"), "-o", str(tmp_path / "out.md"), "--from", "en", "--to", "es",
        "--config", str(config), "--monitor", "http://127.0.0.1:9",
    )  # fmt: skip
    before = await run(*translate)
    assert before.code == 1
    assert f"the worker has no program {program}; install it there" in before.err
    put = await run("workers", "put", "all", str(script), str(there), "--config", str(config))
    assert put.code == 0, put.err
    after = await run(*translate)
    assert after.code == 0, after.err
    assert (tmp_path / "out.md").read_text() == "THE OLD BOOK\n"
