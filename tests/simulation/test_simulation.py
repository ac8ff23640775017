"""Hundreds of simulated hours, the proof that mistakes would be found in them, and that a seed says what happens."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulation.actions import Action
from tests.simulation.mutations import MISTAKES
from tests.simulation.occasions import deaths_after_orders, states_of_the_retired
from tests.simulation.process import HOURS_A_RUN, simulate
from tests.simulation.shrink import shrink

SEEDS = (*range(1, 20), 57)
"""In the last one somebody trades by hand after an order that died before it was sent, where none can be looked up."""
LONG_ENOUGH = 8
"""Hours, within which most mistakes show."""
SEED_OF = {"a position that moves decides": 3}
"""With which a mistake shows, where the first does not do."""
OCCASIONS = {
    "what is read of the retired is kept": states_of_the_retired,
    "trades that are not told yet are drift": deaths_after_orders,
}
"""For mistakes that seldom show."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_invariants_hold_at_every_step_of_simulated_hours(seed: int) -> None:
    """Two hundred hours together, an action in each half minute of them, with the real tasks."""
    outcome = simulate(seed, HOURS_A_RUN)
    assert not outcome.violation, f"{outcome.violation}\nmake simulate SEED={seed} HOURS={HOURS_A_RUN}"
    assert outcome.counts["hours"] == HOURS_A_RUN
    for happened in ("orders", "kills", "event order.unknown", "event symbol.locked", "event weights.optimized"):
        assert outcome.counts[happened] > 0, happened


@pytest.mark.slow
def test_a_seed_says_everything_that_happens() -> None:
    """The same events at the same times, twice."""
    assert simulate(5, 2).digest == simulate(5, 2).digest


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str) -> None:
    """Each of them would cost money."""
    seed = SEED_OF.get(mistake, 1)
    actions = OCCASIONS[mistake](seed, LONG_ENOUGH) if mistake in OCCASIONS else None
    assert simulate(seed, LONG_ENOUGH, actions, mutation=mistake).violation


@pytest.mark.slow
@pytest.mark.parametrize("actions_of", OCCASIONS.values(), ids=OCCASIONS)
def test_the_invariants_hold_on_bad_occasions(actions_of: Callable[[int, int], list[Action]]) -> None:
    """Where a mistake was found once, the daemon is driven to the same place again and again."""
    outcome = simulate(1, LONG_ENOUGH, actions_of(1, LONG_ENOUGH))
    assert not outcome.violation
    assert outcome.counts["hours"] == LONG_ENOUGH


@given(st.lists(st.integers(0, 30), min_size=1, unique=True), st.randoms(use_true_random=False))
def test_a_failing_list_is_cut_down_to_what_makes_it_fail(numbers: list[int], chance: random.Random) -> None:
    """Nothing else is left, in whatever order it was."""
    needed = set(chance.sample(numbers, chance.randint(1, len(numbers))))
    actions = [Action(float(number), "state", number) for number in numbers]
    kept = shrink(actions, lambda part: needed <= {action.draw for action in part})
    assert [action.draw for action in kept] == [number for number in numbers if number in needed]
