"""All workers lost in the middle of a document: the session, its trace, and how another worker goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests import fleet
from tests.alerting import until
from tests.cli.conftest import Run, Start
from tests.monitor_process import MonitorProcess
from tests.otlp_receiver import Received, attributes_of
from tests.sshd import Sshd, asked, words_program
from translation_events import semconv

LINES = [f"line {n} of the keeper and his long book" for n in range(12)]
TEXT = "\n\n".join(LINES) + "\n"


async def test_with_all_workers_lost_another_one_finishes_and_repeats_nothing(
    start: Start,
    run: Run,
    environ: dict[str, str],
    start_sshd: Callable[..., Sshd],
    traced_monitor: MonitorProcess,
    collector: Received,
    tmp_path: Path,
) -> None:
    """`lost`, exit 1, each lost command a span with its error; `--resume` elsewhere does the rest alone."""
    environ |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "PYTHONWARNINGS": "ignore",
    }
    monitor = traced_monitor
    dying = {"one": start_sshd(), "two": start_sshd()}
    workers = {
        name: fleet.worker(sshd, command=words_program(sshd, pause_s=0.4)) for name, sshd in dying.items()
    }
    config = fleet.write_config(tmp_path, dying, workers)
    (tmp_path / "in.md").write_text(TEXT)
    usual = [
        "translate", str(tmp_path / "in.md"), "-o", str(tmp_path / "out.md"), "--from", "en", "--to", "es",
        "--engine", "ssh", "--config", str(config), "--session-id", "book", "--monitor", monitor.url,
    ]  # fmt: skip
    command = await start(*usual, "--patience", "1")

    async def is_in_the_middle() -> bool:
        return all(len(asked(sshd)) > 2 for sshd in dying.values())

    await until(is_in_the_middle, "both workers are at work")
    for sshd in dying.values():
        sshd.cut()
    code, err = await fleet.ended(command.process, 60)
    assert code == 1, err
    assert "--resume" in err
    session = await monitor.get("/sessions/book")
    assert session["status"] == "lost"
    assert "no worker has taken work for 1 s: one is down" in session["last_error"]
    finished = 'translation_sessions_finished_total{kind="translation",result="lost"}'
    assert (await monitor.metrics())[finished] == 1
    before = fleet.done_by(await fleet.events_of(monitor, "book"))
    assert before
    await collector.until(lambda: bool(collector.named("translate")))
    commands = [
        attributes_of(span.attributes)
        for span in collector.named("ssh sh")
        if span.trace_id.hex() == session["trace_id"]
    ]
    assert sum(one.get("process.exit.code") == 0 for one in commands) == len(before)
    lost = {(one[semconv.SERVER_PORT], one.get(semconv.ERROR_TYPE)) for one in commands}
    assert {(sshd.port, "worker_lost") for sshd in dying.values()} <= lost

    fresh = start_sshd()
    workers = {"three": fleet.worker(fresh, command=words_program(fresh), model="another")}
    fleet.write_config(tmp_path, {"three": fresh}, workers)
    resumed = await run(*usual, "--resume")
    assert resumed.code == 0, resumed.err
    assert f"{len(before)} of {len(LINES)} segments were kept from an earlier run (ssh sh)" in resumed.err
    texts = [line.split(None, 3)[3] for line in asked(fresh)]
    assert sorted(texts) == sorted(line for n, line in enumerate(LINES, 1) if n not in before)
    assert (tmp_path / "out.md").read_text() == TEXT.upper()
    session = await monitor.get("/sessions/book")
    assert (session["status"], session["attempt"], session["errors"]) == ("completed", 2, 0)
    assert session["items_done"] == session["total_items"] == len(LINES)
