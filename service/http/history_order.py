"""How `/sessions/history` can be sorted. Source: docs/protocol.md, "HTTP"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from service.query import Query, WrongParameter
from translation_events.session import Session

Figure = Callable[[Session], float | str | None]

FIGURES: Final[Mapping[str, Figure]] = {
    "ended": lambda session: session.attempt.ended_at,
    "started": lambda session: session.attempt.started_at,
    "took": lambda session: session.attempt.duration_s,
    "session": lambda session: session.session_id.casefold(),
    "status": lambda session: session.attempt.status.value,
    "items": lambda session: session.attempt.items_done,
    "errors": lambda session: session.attempt.errors,
    "cost": lambda session: session.attempt.usage.cost_usd or None,
}


@dataclass(frozen=True, slots=True)
class HistoryOrder:
    """An order by one figure; sessions of the same figure keep the order they came in."""

    figure: Figure
    descending: bool

    def sorted(self, sessions: Iterable[Session]) -> list[Session]:
        """In this order; those whose figure is not known come last, whichever way round."""
        known: list[tuple[float | str, Session]] = []
        unknown: list[Session] = []
        for session in sessions:
            figure = self.figure(session)
            if figure is None:
                unknown.append(session)
            else:
                known.append((figure, session))
        known.sort(key=lambda pair: pair[0], reverse=self.descending)
        return [*(session for _, session in known), *unknown]


def sort_of(query: Query) -> HistoryOrder | None:
    """The query's `sort`, "cost" or "-cost" for the largest first; None without. Raises: WrongParameter."""
    sort = query.get("sort", "")
    if not sort:
        return None
    name = sort.removeprefix("-")
    if name not in FIGURES:
        raise WrongParameter("sort", f"one of {', '.join(FIGURES)}, with a - before it for the largest first")
    return HistoryOrder(FIGURES[name], descending=sort.startswith("-"))
