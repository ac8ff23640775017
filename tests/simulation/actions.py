"""What people, strategies and bad luck do to a daemon: a list that a seed makes, and that can be cut down."""

from __future__ import annotations

import random

import msgspec

HOUR = 3600.0
QUIET = 420.0
"""Seconds at the end of each hour in which nothing happens, so that everything has to come right."""

HOW_OFTEN = {
    "state": 44,
    "states at once": 6,
    "weights by hand": 6,
    "stats": 3,
    "state in pieces": 4,
    "state corrupt": 4,
    "portfolio corrupt": 2,
    "folder removed": 2,
    "folder put back": 4,
    "retired": 1,
    "trade by hand": 3,
    "liquidation": 0.4,
    "exchange down": 3,
    "stream cut": 5,
    "pause": 3,
    "mode changed": 1,
    "keys refused": 0.6,
    "price jumps": 5,
    "kill": 3,
    "kill at a place": 5,
    "stop": 2,
    "halt": 1.5,
    "flatten": 0.8,
    "resume": 3,
    "unlock": 3,
    "settings": 2,
}
"""The kinds of actions, by weight."""


class Action(msgspec.Struct, frozen=True):
    """Something that happens once."""

    at: float
    """Seconds since the run began."""
    kind: str
    draw: int
    """Where the details come from: the same action does the same whatever else happens or is left out."""

    def chance(self) -> random.Random:
        """Return what decides the details."""
        return random.Random(self.draw)


def actions_of(seed: int, hours: int, an_hour: int) -> list[Action]:
    """Return what happens in some hours: `an_hour` actions in each, in their order."""
    chance = random.Random(f"actions {seed}")
    kinds = list(HOW_OFTEN)
    weights = [HOW_OFTEN[kind] for kind in kinds]
    actions = []
    for hour in range(hours):
        times = sorted(chance.uniform(0, HOUR - QUIET) for _ in range(an_hour))
        for at in times:
            kind = chance.choices(kinds, weights)[0]
            actions.append(Action(hour * HOUR + at, kind, chance.getrandbits(48)))
    return actions
