"""The limits on the weights of the strategies in a window: from settings to arrays, or why they cannot all be kept."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from portfoliod.allocation.arrays import Floats
from portfoliod.allocation.rules import Group, Rules
from portfoliod.errors import AllocationError

_SLACK = 1e-9

_SHOWN = 1e-6
"""A weight this close to its limit is at it."""


class Limits(NamedTuple):
    """lower <= w <= upper, members @ w <= ceilings, sum 1: some w keeps them all."""

    lower: Floats
    upper: Floats
    members: Floats
    """K x N, entries 1 and -1 (a group's minimum is a ceiling on the negative sum)."""
    ceilings: Floats
    plain: bool = False
    """Whether they allow every portfolio."""


@lru_cache(maxsize=8)
def caps(strategies: int, max_weight: float) -> Limits:
    """Return the limits of a cap on each weight; too small a one leaves no portfolio, which is not looked at here."""
    upper = np.full(strategies, min(max_weight, 1.0))
    return Limits(np.zeros(strategies), upper, np.zeros((0, strategies)), np.zeros(0), max_weight >= 1.0)


def limits(names: tuple[str, ...], rules: Rules) -> Limits:
    """Return the limits on the weights of these strategies; settings for others have no effect.

    Raises:
        AllocationError: no portfolio keeps them all; it names those that are in each other's way.
    """
    found = _collected(names, rules)
    if not _feasible(found):
        raise _conflict(names, rules)
    return found


def _collected(names: tuple[str, ...], rules: Rules) -> Limits:
    lower, upper = np.zeros(len(names)), np.full(len(names), min(rules.max_weight, 1.0))
    for column, name in enumerate(names):
        if name in rules.bounds:
            low, high = rules.bounds[name]
            lower[column], upper[column] = low, min(high, upper[column])
    rows, ceilings = [], []
    for group in rules.groups.values():
        row = _members(group, names).astype(np.float64)
        if group.max < 1.0:
            rows.append(row)
            ceilings.append(group.max)
        if group.min > 0.0:
            rows.append(-row)
            ceilings.append(-group.min)
    plain = not rows and not lower.any() and bool((upper >= 1.0).all())
    return Limits(lower, upper, np.array(rows).reshape(len(rows), len(names)), np.array(ceilings), plain)


def notes(names: tuple[str, ...], weights: Floats, rules: Rules) -> list[str]:
    """Return a sentence for each limit that bites, and for each whose strategies are not in the window."""
    by_name = dict(zip(names, weights.tolist(), strict=True))
    said = _cap_notes(by_name, rules)
    for name, (low, high) in rules.bounds.items():
        if name not in by_name:
            said.append(f"optimizer.bounds.{name} has no effect: no included strategy is called so")
        elif low > 0.0 and by_name[name] <= low + _SHOWN:
            said.append(f"optimizer.bounds lifts {name} to its minimum {low:g}")
        elif high < rules.max_weight and by_name[name] >= high - _SHOWN:
            said.append(f"optimizer.bounds cuts {name} to its maximum {high:g}")
    for label, group in rules.groups.items():
        members = _members(group, names)
        total = float(weights[members].sum())
        if not members.any():
            said.append(f"optimizer.groups.{label} has no effect: no included strategy fits its members")
        elif group.max < 1.0 and total >= group.max - _SHOWN:
            said.append(f"optimizer.groups.{label} bites: its strategies have the maximum of {group.max:g}")
        elif group.min > 0.0 and total <= group.min + _SHOWN:
            said.append(f"optimizer.groups.{label} bites: its strategies have the minimum of {group.min:g}")
    return said


def _cap_notes(weights: Mapping[str, float], rules: Rules) -> list[str]:
    cap = rules.max_weight
    if cap >= 1.0:
        return []
    if len(weights) * cap < 1.0 - _SHOWN:
        return [
            f"max_weight {cap:g} leaves {1.0 - sum(weights.values()):.2%} of the portfolio in cash: "
            f"{len(weights)} strategies at that cap do not fill it"
        ]
    capped = [name for name, weight in weights.items() if weight >= cap - _SHOWN]
    return [f"max_weight {cap:g} bites: {', '.join(capped)}"] if capped else []


def _members(group: Group, names: tuple[str, ...]) -> NDArray[np.bool_]:
    return np.array([any(fnmatchcase(name, pattern) for pattern in group.members) for name in names], dtype=bool)


def _feasible(found: Limits) -> bool:
    lower, upper, members, ceilings, _ = found
    if (lower > upper + _SLACK).any() or lower.sum() > 1.0 + _SLACK or upper.sum() < 1.0 - _SLACK:
        return False
    if not ceilings.size:
        return True
    from scipy.optimize import linprog  # here, so that only a daemon with groups pays for it

    answer = linprog(
        np.zeros(lower.size),
        A_ub=members,
        b_ub=ceilings + _SLACK,
        A_eq=np.ones((1, lower.size)),
        b_eq=np.ones(1),
        bounds=list(zip(lower.tolist(), np.maximum(lower, upper).tolist(), strict=True)),
        method="highs-ds",
    )
    return answer.x is not None


def _conflict(names: tuple[str, ...], rules: Rules) -> AllocationError:
    """Return the error that names a smallest set of settings that no portfolio keeps: without any of them one does."""

    def kept(bounds: Mapping[str, tuple[float, float]], groups: Mapping[str, Group], max_weight: float) -> bool:
        return _feasible(_collected(names, Rules(bounds=bounds, groups=groups, max_weight=max_weight)))

    bounds, groups, max_weight = rules.bounds, rules.groups, rules.max_weight
    for label in rules.bounds:
        fewer = {name: bound for name, bound in bounds.items() if name != label}
        bounds = bounds if kept(fewer, groups, max_weight) else fewer
    for label in rules.groups:
        others = {name: group for name, group in groups.items() if name != label}
        groups = groups if kept(bounds, others, max_weight) else others
    said = [f"optimizer.bounds.{name} = [{low:g}, {high:g}]" for name, (low, high) in bounds.items()]
    said += [f"optimizer.groups.{label} = {_worded(group)}" for label, group in groups.items()]
    if kept(bounds, groups, 1.0):
        said.append(f"optimizer.max_weight = {max_weight:g}")
    return AllocationError(
        "no portfolio keeps all the limits on weights",
        where="optimizer",
        found=f"{' and '.join(said)}, with {len(names)} included strategies whose weights add up to 1",
        mend="widen one of them",
    )


def _worded(group: Group) -> str:
    low = f", min {group.min:g}" if group.min > 0.0 else ""
    return f"{', '.join(group.members)}: max {group.max:g}{low}"
