"""The outbox of one receiver: order, bound, age."""

from __future__ import annotations

from service.notify.notice import Notice, Tone
from service.notify.outbox import MAX_AGE_S, Outbox


def notice(key: str, tone: Tone = Tone.BAD, at: float = 0.0) -> Notice:
    """A notice."""
    return Notice(key, at, 1, tone, "title", "body")


def keys(outbox: Outbox) -> list[str]:
    """What waits, by key."""
    return [one.key for one in outbox.waiting]


def test_the_oldest_goes_first_and_none_twice() -> None:
    """In the order in which things happened; a repeat of a key is the same notice."""
    outbox = Outbox([notice("a"), notice("b")])
    assert outbox.add(notice("a")) == 0
    first = outbox.next()
    assert first is not None
    assert first.key == "a"
    outbox.done(first)
    assert keys(outbox) == ["b"]


def test_a_full_one_gives_up_good_news_first() -> None:
    """Bounded, and what is bad is kept longest."""
    outbox = Outbox(most=2)
    given_up = [outbox.add(notice(key, tone)) for key, tone in (("a", Tone.BAD), ("b", Tone.GOOD))]
    given_up += [outbox.add(notice("c")), outbox.add(notice("d"))]
    assert given_up == [0, 0, 1, 1]
    assert keys(outbox) == ["c", "d"]


def test_what_is_a_day_old_is_given_up() -> None:
    """A receiver that comes back tells what is still news."""
    outbox = Outbox([notice("old", at=0.0), notice("new", at=10.0)])
    assert outbox.expire(MAX_AGE_S + 5.0) == 1
    assert keys(outbox) == ["new"]
