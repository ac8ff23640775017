"""Limits on weights that no portfolio can keep, whichever strategies there are."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from portfoliod.errors import SettingsError
from portfoliod.settings.source import KEPT
from portfoliod.settings.tables import GroupSettings, OptimizerSettings

_ROUNDING = 1e-9


def check_limits(optimizer: OptimizerSettings, where: str) -> None:
    """Refuse limits that contradict each other.

    Raises:
        SettingsError: with all of them, one a line. Conflicts that depend on which strategies are included are found
            by the allocation.
    """
    conflicts = [*_of_bounds(optimizer), *_of_groups(optimizer)]
    if conflicts:
        raise SettingsError(
            "limits on weights contradict each other",
            where=f"{where}  {conflicts[0].split(' ')[0]}",
            found="\n         ".join(conflicts),
            kept=KEPT,
            mend="widen one of each, then: portfoliod check",
        )


def _of_bounds(optimizer: OptimizerSettings) -> Iterator[str]:
    minimums = {name: low for name, (low, _) in optimizer.bounds.items() if low > 0.0}
    for name, (low, high) in optimizer.bounds.items():
        if low > high:
            yield f"optimizer.bounds.{name} = [{low:g}, {high:g}]: the minimum is above the maximum"
        elif low > optimizer.max_weight:
            yield f"optimizer.bounds.{name} = [{low:g}, {high:g}] and optimizer.max_weight = {optimizer.max_weight:g}"
    total = sum(minimums.values())
    if total > 1.0 + _ROUNDING:
        together = ", ".join(f"optimizer.bounds.{name}" for name in minimums)
        yield f"{together}: their minimums add up to {total:g}, more than 1"


def _of_groups(optimizer: OptimizerSettings) -> Iterator[str]:
    for label, group in optimizer.groups.items():
        if group.min > group.max:
            yield f"optimizer.groups.{label}: min {group.min:g} is above max {group.max:g}"
        minimums = {name: low for name, (low, _) in optimizer.bounds.items() if low > 0.0 and _holds(group, name)}
        total = sum(minimums.values())
        if total > group.max + _ROUNDING:
            together = ", ".join(f"optimizer.bounds.{name}" for name in minimums)
            yield f"optimizer.groups.{label}: max {group.max:g}, but the minimums of {together} add up to {total:g}"


def _holds(group: GroupSettings, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in group.members)
