"""Waits between attempts, and memory with an end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from portfoliod.backoff import Backoff
from portfoliod.bounded import Bounded

SECONDS = st.floats(0.01, 100)


@given(first=SECONDS, longest=SECONDS, jitter=st.floats(0, 0.9), failures=st.integers(1, 40))
def test_waits_double_up_to_the_longest(first: float, longest: float, jitter: float, failures: int) -> None:
    """Each within its jitter, whatever is drawn."""
    for draw in (min, max):
        backoff = Backoff(first, longest, jitter=jitter, uniform=draw)
        waits = [backoff.after_failure() for _ in range(failures)]
        for number, wait in enumerate(waits):
            assert wait == min(first * 2.0**number, longest) * draw(1 - jitter, 1 + jitter)


@given(failures=st.integers(1, 10))
def test_what_worked_for_long_begins_a_new_row(failures: int) -> None:
    """As a reset does: the wait after it is the first one, and the next is its double."""
    for begin_anew in (True, False):
        backoff = Backoff(1, 60, jitter=0)
        for _ in range(failures):
            backoff.after_failure(worked_for=60)
        if begin_anew:
            backoff.reset()
        assert backoff.after_failure(worked_for=0 if begin_anew else 60.1) == 1
        assert backoff.after_failure() == 2


def test_those_who_failed_together_come_back_apart() -> None:
    """Without a draw of its own, jitter is random."""
    waits = {Backoff(1).after_failure() for _ in range(20)}
    assert len(waits) > 1
    assert all(0.8 <= wait <= 1.2 for wait in waits)


@given(names=st.lists(st.integers(0, 20)), most=st.integers(1, 5))
def test_a_bounded_dict_holds_what_was_added_last(names: list[int], most: int) -> None:
    """However a name is put in; a name that is put in again keeps its place."""
    bounded: Bounded[int, int] = Bounded(most)
    kept: list[int] = []
    for number, name in enumerate(names):
        if number % 3 == 0:
            bounded.setdefault(name, number)
        elif number % 3 == 1:
            bounded.update({name: number})
        else:
            bounded[name] = number
        kept = kept if name in kept else [*kept, name][-most:]
        assert list(bounded) == kept
