"""Cutting a failing list of actions down to those that matter (delta debugging, Zeller and Hildebrandt 2002)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.simulation.actions import Action


def shrink(actions: Sequence[Action], fails: Callable[[Sequence[Action]], bool]) -> list[Action]:
    """Return a part of a failing list that still fails, and of which no single action can be left out.

    Args:
        actions: a list for which `fails` is true.
        fails: whether a list fails; asked a few hundred times.
    """
    kept = list(actions)
    parts = 2
    while len(kept) >= 2:
        size = -(-len(kept) // parts)
        for start in range(0, len(kept), size):
            rest = kept[:start] + kept[start + size :]
            if fails(rest):
                kept, parts = rest, max(2, parts - 1)
                break
        else:
            if size == 1:
                break
            parts = min(len(kept), 2 * parts)
    return kept
