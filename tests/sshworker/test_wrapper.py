"""The wrapper under which every command runs: in each shell it may meet, with and without its tools."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sshworker.errors import Failure
from sshworker.wrapper import complaint, encode, is_traceparent, request
from tests.parts import need
from tests.sshd import WRAPPER, until

MARK = ".translation-worker"  # in each folder of ours on a worker, with the process it belongs to
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TOOLS = ("sh", "cat", "dd", "wc", "mkdir", "rm", "sleep", "tr", "env", "printf", "ls", "find")


# dash has job control at a terminal only; systems whose sh it is have setsid.
@pytest.fixture(
    params=[
        "dash, setsid",
        "dash, perl",
        "bash --posix, setsid",
        "bash --posix, perl",
        "bash --posix, neither",
    ]
)
def ground(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A shell that is somebody's /bin/sh, and the one way it has to make a process group."""
    shell, _, way = str(request.param).partition(", ")
    return shell, way


@pytest.fixture
def shell(ground: tuple[str, str]) -> list[str]:
    """The shell's command line."""
    program, *options = ground[0].split()
    found = shutil.which(program)
    need(found is not None, f"{program} is not installed")
    return [str(found), *options]


@pytest.fixture
def path(ground: tuple[str, str], tmp_path: Path) -> str:
    """A PATH with nothing but what every system has, and the way to make a group."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS if ground[1] == "neither" else (*TOOLS, ground[1]):
        found = shutil.which(tool)
        need(found is not None, f"{tool} is not installed")
        (folder / tool).symlink_to(str(found))
    return str(folder)


def start(
    shell: list[str], path: str, base: Path, *argv: str, text: bytes = b"", **env: str
) -> subprocess.Popen[bytes]:
    """Ask for a command as the forced wrapper would be asked, and give it its text; stdin stays open."""
    words = request(argv, id="abc", size_bytes=len(text), base=str(base), traceparent=TRACE).line
    asked = words.rpartition("translation-worker 1 ")[2].split()
    process = subprocess.Popen(
        [*shell, WRAPPER, "1", *asked],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": path, **env},
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # a request that is refused may have ended already
        process.stdin.write(text)
        process.stdin.flush()
    return process


def finish(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    """Wait for the end without ending stdin first."""
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdin is not None
    with process:
        out, err = process.stdout.read(), process.stderr.read()
        return process.wait(timeout=10), out, err


def cut(process: subprocess.Popen[bytes]) -> int:
    """End stdin, as a cut or closed connection does, and wait for the end."""
    with process:
        assert process.stdin is not None
        process.stdin.close()
        return process.wait(timeout=9)


def test_text_goes_in_and_its_end_is_seen_while_standard_input_stays_open(
    shell: list[str], path: str, tmp_path: Path
) -> None:
    """A filter gets exactly its text and then the end of it; nothing is left behind."""
    text = b"\xd1\x87\0\n" * 100_000 + b"no end of line"
    status, out, _ = finish(start(shell, path, tmp_path / "w", "cat", text=text))
    assert (status, out) == (0, text)
    assert list((tmp_path / "w").iterdir()) == []


def test_words_arrive_as_they_were_whatever_they_hold(shell: list[str], path: str, tmp_path: Path) -> None:
    """No shell on the way interprets anything."""
    words = ["", "a b", "$(id)`id`", "'\"\\", "*", "%41", "line\nline\n", "šљ", "-n", "~", "{a,b}"]
    _, out, _ = finish(start(shell, path, tmp_path / "w", "printf", "%s|", *words))
    assert out.decode() == "".join(f"{word}|" for word in words)


def test_a_command_has_a_private_folder_and_the_trace(shell: list[str], path: str, tmp_path: Path) -> None:
    """SSH_WORKER_REMOTE_DIR is 0700, and TRACEPARENT goes on to the program."""
    seen = (
        'echo "$TRACEPARENT"; mkdir "$SSH_WORKER_REMOTE_DIR/x"; ls -ld "$SSH_WORKER_REMOTE_DIR" >&2; exit 3'
    )
    status, out, err = finish(start(shell, path, tmp_path / "w", "sh", "-c", seen))
    assert (status, out.decode()) == (3, TRACE + "\n")
    assert err.startswith(b"drwx------")
    assert list((tmp_path / "w").iterdir()) == []


def test_folders_left_behind_are_swept_and_no_other(shell: list[str], path: str, tmp_path: Path) -> None:
    """Only what bears our mark, is a day old, and belongs to no process that still runs."""
    base = tmp_path / "w"
    gone = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, check=True, text=True).stdout
    yesterday = time.time() - 87_000
    for name, owner, at in (
        ("gone", gone, yesterday),
        ("nobodys", "", yesterday),
        ("running", f"{os.getpid()}\n", yesterday),
        ("young", gone, time.time()),
        ("foreign", None, yesterday),
    ):
        (base / name / "inner").mkdir(parents=True)
        if owner is not None:
            (base / name / MARK).write_text(owner)
        os.utime(base / name, (at, at))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / MARK).write_text(gone)
    os.utime(tmp_path / "elsewhere", (yesterday, yesterday))
    (base / "link").symlink_to(tmp_path / "elsewhere")
    status, out, err = finish(start(shell, path, base, "cat", text=b"a\n"))
    assert (status, out, err) == (0, b"a\n", b"")
    kept = ["foreign", "link", "running", "young"]
    until(lambda: sorted(one.name for one in base.iterdir()) == kept)
    assert (tmp_path / "elsewhere" / MARK).exists()


def test_the_end_of_standard_input_ends_the_whole_group(shell: list[str], path: str, tmp_path: Path) -> None:
    """Cancelling does not rely on signals over SSH, and reaches what the program started."""
    process = start(shell, path, tmp_path / "w", "sh", "-c", "sleep 31415 & sleep 31415; echo no")
    until(lambda: len(pids("sleep 31415")) == 2)
    assert cut(process) == 128 + signal.SIGTERM
    until(lambda: not pids("sleep 31415"))
    until(lambda: not list((tmp_path / "w").iterdir()))


@pytest.mark.slow
def test_a_program_that_ignores_term_is_killed_after_five_seconds(
    shell: list[str], path: str, tmp_path: Path
) -> None:
    """TERM, then KILL after 5 s."""
    process = start(shell, path, tmp_path / "w", "sh", "-c", "trap '' TERM; sleep 27182; sleep 27182")
    until(lambda: bool(pids("sleep 27182")))
    assert cut(process) == 128 + signal.SIGKILL
    until(lambda: not pids("sleep 27182"))


def test_what_a_program_leaves_running_is_ended_with_it(shell: list[str], path: str, tmp_path: Path) -> None:
    """A command that succeeds leaves no process either."""
    process = start(shell, path, tmp_path / "w", "sh", "-c", "sleep 16180 >/dev/null 2>&1 & echo done")
    assert finish(process)[:2] == (0, b"done\n")
    until(lambda: not pids("sleep 16180"))


def test_a_text_that_ends_early_never_reaches_the_program(
    shell: list[str], path: str, tmp_path: Path
) -> None:
    """Half a segment is not translated."""
    words = request(["cat"], id="abc", size_bytes=10, base=str(tmp_path / "w"), traceparent=None).line
    asked = words.rpartition("translation-worker 1 ")[2].split()
    done = subprocess.run(
        [*shell, WRAPPER, "1", *asked], input=b"half", capture_output=True, env={"PATH": path}, check=False
    )
    assert (done.returncode, done.stdout) == (74, b"")
    said = complaint(done.stderr.decode(), "abc")
    assert said is not None
    assert said.failure is Failure.LOST


def test_the_watcher_outlives_a_wrapper_that_is_killed(shell: list[str], path: str, tmp_path: Path) -> None:
    """Even a wrapper that is killed leaves nothing once its connection ends."""
    process = start(shell, path, tmp_path / "w", "sleep", "14142")
    until(lambda: bool(pids("sleep 14142")))
    process.kill()
    assert cut(process) == -signal.SIGKILL
    until(lambda: not pids("sleep 14142"))
    until(lambda: not list((tmp_path / "w").iterdir()))


def test_a_folder_of_somebody_else_is_not_used(shell: list[str], path: str, tmp_path: Path) -> None:
    """In /tmp anybody can be first."""
    need(os.geteuid() == 0, "giving a folder away needs root")
    base = tmp_path / "w"
    base.mkdir()
    os.chown(base, 65534, 65534)
    status, out, err = finish(start(shell, path, base, "cat", text=b"secret\n"))
    assert (status, out) == (73, b"")
    assert b"belongs to another user" in err
    assert list(base.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("translation-worker 1 abc 0 /tmp/w % cat /etc/passwd", "may not run cat"),
        ("cat /etc/passwd", "runs translation-worker only"),
        ("translation-worker 1 abc 0 /tmp/w % tr;id", "may not run"),
        ("translation-worker 1 ../x 0 /tmp/w % tr", "a bad id"),
        ("translation-worker 1 - 0 / % tr", "a bad id"),
        ("translation-worker 1 abc 0$(id) /tmp/w % tr", "a bad size"),
        ("translation-worker 1 abc 0 w % tr", "not absolute"),
        ("translation-worker 2 abc 0 /tmp/w % tr", "runs translation-worker only"),
        ("translation-worker 1 abc", "not a request"),
        ("internal-sftp", "may not run sftp"),
        ("", "runs translation-worker only"),
    ],
)
def test_a_forced_wrapper_runs_only_what_it_allows(
    shell: list[str], path: str, asked: str, words: str
) -> None:
    """The documented `restrict,command=` target takes nothing on trust."""
    done = subprocess.run(
        [*shell, WRAPPER, "--allow", "tr", "env"],
        env={"PATH": path, "SSH_ORIGINAL_COMMAND": asked},
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 126
    assert words in done.stderr.decode()
    assert " refused: " in done.stderr.decode()


def test_a_forced_wrapper_reads_the_same_request(shell: list[str], path: str, tmp_path: Path) -> None:
    """Plain account or forced command: the client asks alike, and the script it brings is not run."""
    line = request(
        ["tr", "a-z", "A-Z"], id="abc", size_bytes=3, base=str(tmp_path / "w"), traceparent=None
    ).line
    process = subprocess.Popen(
        [*shell, WRAPPER, "--allow", "tr"],
        env={"PATH": path, "SSH_ORIGINAL_COMMAND": line.replace("umask 077", "echo intruder")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b"abc")
    process.stdin.flush()
    assert finish(process) == (0, b"ABC", b"")


def test_encoding_leaves_nothing_for_a_shell() -> None:
    """Every byte that some shell could interpret is written as an octal number."""
    assert encode("eng-spa") == "eng-spa"
    assert encode("") == "%"
    assert encode("a b$") == "a%040b%044"
    assert encode("ч") == "%321%207"


def test_only_a_trace_context_is_passed_on() -> None:
    """What is not one could be anything."""
    assert is_traceparent(TRACE)
    assert not is_traceparent(TRACE + "\n")
    assert not is_traceparent("00-$(id)-x-01")


def pids(pattern: str) -> list[int]:
    """Processes of this machine with exactly this command line."""
    found = subprocess.run(["pgrep", "-x", "-f", pattern], capture_output=True, check=False)
    return [int(pid) for pid in found.stdout.split()]
