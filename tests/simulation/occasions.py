"""Actions in which one mistake shows soon, where it would take chance many hours."""

from __future__ import annotations

import random

from tests.simulation.actions import HOUR, Action


def deaths_after_orders(seed: int, hours: int) -> list[Action]:
    """Return kills right after bursts of orders, all the time."""
    chance = random.Random(seed)
    actions = []
    for hour in range(hours):
        for turn in range(100):
            at, draw = hour * HOUR + 30 + turn * 31, chance.getrandbits(48)
            actions += [Action(at, "states at once", draw), Action(at + 2.5, "kill", draw)]
    return actions


def states_of_the_retired(seed: int, hours: int) -> list[Action]:
    """Return retirements of strategies that publish at that very moment, before a restart."""
    chance = random.Random(seed)
    actions = []
    for hour in range(hours):
        for turn in range(20):
            at, draw = hour * HOUR + 60 + turn * 20, chance.getrandbits(48)
            actions += [Action(at, "folder put back", draw), Action(at + 600, "retired", draw)]
            actions.append(Action(at + 600.002, "state", draw))
        actions.append(Action(hour * HOUR + 2000, "kill", 0))
    return sorted(actions, key=lambda action: action.at)
