"""The result is written whole or not at all, and never over an input."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

import pytest

from translation_events.errors import ConfigError
from translator.documents import DocumentError
from translator.output import plan, prepare, write_whole


def test_one_input_goes_to_a_file_several_into_a_folder(tmp_path: Path) -> None:
    """Several INPUTs with -o DIR."""
    a, b = tmp_path / "a.md", tmp_path / "b.md"
    assert plan([a], tmp_path / "out.md")[0].output == tmp_path / "out.md"
    assert [job.output for job in plan([a, b], tmp_path / "es")] == [
        tmp_path / "es/a.md",
        tmp_path / "es/b.md",
    ]
    (tmp_path / "es").mkdir()
    assert plan([a], tmp_path / "es")[0].output == tmp_path / "es/a.md"


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    """Not by its own name, a link to it, its folder or another input's output."""
    a = tmp_path / "a.md"
    a.write_text("x")
    (tmp_path / "link.md").symlink_to(a)
    os.link(a, tmp_path / "hard.md")
    for out in (a, tmp_path, tmp_path / "link.md", tmp_path / "hard.md"):
        with pytest.raises(ConfigError, match="overwritten"):
            plan([a], out)
    (tmp_path / "d").mkdir()
    with pytest.raises(ConfigError, match="both"):
        plan([a, tmp_path / "d/a.md"], tmp_path / "es")
    with pytest.raises(ConfigError, match="folder"):
        plan([a, tmp_path / "b.md"], a)


def test_a_file_is_replaced_in_one_step_and_keeps_its_mode(tmp_path: Path) -> None:
    """Temp + fsync + rename in the target folder; nothing else is left there."""
    path = tmp_path / "out.md"
    path.write_text("old")
    path.chmod(0o640)
    before = path.stat().st_ino
    write_whole(path, "new ü\r\n")
    assert path.read_bytes() == "new ü\r\n".encode()
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.stat().st_ino != before
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    """A failure names its class; the target is as it was."""
    folder = tmp_path / "taken"
    folder.mkdir()
    (folder / "inside").write_text("x")
    with pytest.raises(DocumentError) as caught:
        write_whole(folder, "new")
    assert caught.value.error_type == "write_failed"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["taken"]
    with pytest.raises(DocumentError):
        prepare(folder)
    with pytest.raises(DocumentError):
        prepare(folder / "inside" / "out.md")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_a_full_disk_is_told_from_other_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`disk_full`, with no half file left behind. The disk is /dev/full behind the temporary name."""
    real = os.fdopen

    def full(handle: int, mode: str) -> IO[Any]:
        os.close(handle)
        return real(os.open("/dev/full", os.O_WRONLY), mode)

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(DocumentError) as caught:
        write_whole(tmp_path / "out.md", "new")
    assert caught.value.error_type == "disk_full"
    assert list(tmp_path.iterdir()) == []
