"""The report as one HTML file: errors first, then how it went, what it took and who did it.

Whatever an event said goes through `shown`. Source: docs/protocol.md, "HTTP".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

from service.report.chart import progress_chart
from service.report.course import Course, Step
from service.report.markup import NONE, UNKNOWN, clock, dollars, moment, number, shown, took

_GOOD: Final = ("running", "completed")
_WORDS: Final = {"completed_with_failures": "completed with failures", "timed_out": "timed out"}


@dataclass(frozen=True, slots=True)
class Report:
    """What a report is made of: a session as `/sessions/{id}` shows it, its course, and where and when.

    `left_out` tells that there are kept events before those of the course.
    """

    session: Mapping[str, Any]
    course: Course
    monitor_url: str
    version: str
    now: float
    left_out: bool = False

    def render(self) -> str:
        """The file."""
        title = f"Session {shown(self.session['session_id'])}"
        parts = [
            self._head(),
            self._errors(),
            self._progress(),
            self._steps(),
            self._usage(),
            self._workers(),
        ]
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<link rel="icon" href="data:,">\n'
            f"<title>{title}</title>\n<style>{style()}</style>\n</head>\n<body>\n"
            f"<main>\n{''.join(parts)}</main>\n{self._foot()}</body>\n</html>\n"
        )

    def _head(self) -> str:
        session = self.session
        status = session["status"]
        words = _WORDS.get(status, status)
        kind = shown(session["kind"] or "session")
        bad = "" if status in _GOOD else " bad"
        reason = f": {shown(session['reason'])}" if session["reason"] else ""
        total = f" of {number(session['total_items'])}" if session["total_items"] is not None else ""
        progress = UNKNOWN if session["progress"] is None else f"{int(session['progress'])} %"
        facts = {
            "Started": moment(session["started_at"]),
            "Ended": "not yet" if session["ended_at"] is None else moment(session["ended_at"]),
            "Took" if session["ended_at"] is not None else "So far": took(session["duration_s"]),
            "Progress": progress,
            "Items": f"{number(session['items_done'])}{total}",
            "Errors": number(session["errors"]),
            "Failed items": number(session["failed_items"]),
            "Engine": shown(session["engine"] or UNKNOWN, 256),
            "Model": shown(session["model"] or UNKNOWN, 256),
            "Cost": dollars(session["usage"]["cost_usd"]),
            "Attempt": number(session["attempt"]),
            "Trace": shown(session["trace_id"]),
        }
        link = f"{self.monitor_url.rstrip('/')}/monitor?session={quote(session['session_id'], safe='')}"
        return (
            f"<h1>{shown(session['session_id'])}</h1>\n"
            f'<p class="status{bad}">{kind.capitalize()} {shown(words)}{reason}</p>\n'
            f"{_facts(facts)}"
            f'<p>Live: <a href="{shown(link)}">{shown(link)}</a></p>\n'
        )

    def _errors(self) -> str:
        course, told = self.course, self.session["errors"]
        if not told and not course.errors:
            return "<h2>Errors</h2>\n<p>None was reported.</p>\n"
        rows = [
            (
                ("number wide", str(error.seq)),
                ("time", clock(error.at)),
                ("wide", shown(error.step or NONE, 128)),
                ("", shown(NONE if error.item is None else error.item, 128)),
                ("bad", shown(error.error_type)),
                ("said", shown(error.text or "no text was given")),
            )
            for error in reversed(course.errors)
        ]
        missing = max(0, told - len(course.errors))
        note = f"{number(missing)} more are not shown here." if missing else ""
        heads = ("Event", "Time", "Step", "Item", "Type", "What was said")
        return f"<h2>Errors</h2>\n{_note(note)}{_table('Errors, the newest first', heads, rows)}"

    def _progress(self) -> str:
        session = self.session
        end = session["ended_at"] or self.now
        chart = progress_chart(self.course.points, self.course.errors, session["started_at"], end)
        chart = chart or "<p>No progress was reported.</p>"
        return f"<h2>Progress</h2>\n{_note(self._trimmed())}{chart}\n"

    def _trimmed(self) -> str:
        first = self.course.first_seq
        if self.course.events == 0:
            return "None of its events is kept any more."
        if self.left_out or (first is not None and first > self._attempt_first_seq()):
            return f"Made of the newest {number(self.course.events)} events; older ones are not in it."
        return ""

    def _attempt_first_seq(self) -> int:
        # Of a later attempt only the session's first event is told; what is kept of it begins with it.
        first: int = self.session["first_seq"]
        return first if self.session["attempt"] == 1 else (self.course.first_seq or first)

    def _steps(self) -> str:
        steps = self.course.steps
        if not steps:
            return ""
        session = self.session
        start, end = session["started_at"], session["ended_at"] or self.now
        rows = [
            (
                ("", shown(step.name, 128)),
                ("time", clock(step.start)),
                ("time wide", clock(step.end) if step.end is not None else "no end was told"),
                ("number", took((end if step.end is None else step.end) - step.start)),
                ("track", _bar(step, start, end)),
            )
            for step in steps
        ]
        heads = ("Step", "From", "To", "Took", "")
        return f"<h2>Steps</h2>\n{_table('Steps in their order', heads, rows)}"

    def _usage(self) -> str:
        usage = self.session["usage"]
        if not usage["requests"]:
            return "<h2>Usage and cost</h2>\n<p>None was reported.</p>\n"
        facts = {
            "Requests": number(usage["requests"]),
            "Failed requests": number(usage["failed_requests"]),
            "Tokens in": number(usage["input_tokens"]),
            "Tokens out": number(usage["output_tokens"]),
            "Cost": dollars(usage["cost_usd"]),
            "Time in requests": took(usage["duration_s"]),
            "From cache": number(usage["cache_hits"]),
            "Not in cache": number(usage["cache_misses"]),
        }
        return f"<h2>Usage and cost</h2>\n{_facts(facts)}"

    def _workers(self) -> str:
        shares = {share.name: share for share in self.course.workers}
        names = list(dict.fromkeys([*shares, *self.session["workers"]]))
        if not names:
            return ""
        rows = []
        for name in names:
            share = shares.get(name)
            events, errors = (number(share.events), number(share.errors)) if share else (UNKNOWN, UNKNOWN)
            span = f"{clock(share.first)} – {clock(share.last)}" if share else UNKNOWN
            rows.append((("", shown(name, 256)), ("number", events), ("number", errors), ("time", span)))
        heads = ("Worker", "Events", "Errors", "Seen")
        return f"<h2>Workers</h2>\n{_table('Workers by when they were first named', heads, rows)}"

    def _foot(self) -> str:
        first, last = self.session["first_seq"], self.session["last_seq"]
        return (
            f"<footer><p>Events {first} to {last}; times are UTC. Made {moment(self.now)} by "
            f"translation-monitor {shown(self.version)}.</p></footer>\n"
        )


@cache
def style() -> str:
    """The style sheet inside the report, as the Content-Security-Policy has to know it."""
    return (files("service.report") / "report.css").read_text(encoding="utf-8")


def _facts(facts: Mapping[str, str]) -> str:
    return "<dl>" + "".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in facts.items()) + "</dl>\n"


def _note(text: str) -> str:
    return f'<p class="note">{text}</p>\n' if text else ""


Cells = Sequence[tuple[str, str]]


def _table(caption: str, heads: Sequence[str], rows: Sequence[Cells]) -> str:
    return "".join(_table_parts(caption, heads, rows))


def _table_parts(caption: str, heads: Sequence[str], rows: Sequence[Cells]) -> Iterator[str]:
    classes = [name for name, _ in rows[0]] if rows else [""] * len(heads)
    yield f'<div class="frame"><table><caption>{caption}</caption><thead><tr>'
    for head, name in zip(heads, classes, strict=True):
        # A heading is written like its column, but never as an error.
        plain = "" if name in ("bad", "said") else name
        yield f'<th scope="col" class="{plain}">{head}</th>' if head else "<td></td>"
    yield "</tr></thead><tbody>\n"
    for row in rows:
        yield "<tr>"
        for name, cell in row:
            yield f'<td class="{name}">{cell}</td>' if name else f"<td>{cell}</td>"
        yield "</tr>\n"
    yield "</tbody></table></div>\n"


def _bar(step: Step, start: float, end: float) -> str:
    whole = max(end - start, 1.0)
    left = min(100.0, max(0.0, (step.start - start) / whole * 100))
    until = end if step.end is None else step.end
    wide = min(100.0 - left, max(0.5, (until - step.start) / whole * 100))
    name = "bar open" if step.end is None else "bar"
    return (
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="{name}" x="{left:.2f}" y="1" width="{wide:.2f}" height="8"/></svg>'
    )
