"""What a scan sees: names, links and signatures, and nothing of what the files hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from portfoliod.workspace import Signature, Workspace, signature


class Survey(msgspec.Struct, frozen=True):
    """The workspace at one moment."""

    strategies: frozenset[str]
    """Folders that hold a state or stats file; retired ones are among `retired` instead."""
    retired: frozenset[str]
    """Retired strategies whose folder is still the one that was retired."""
    misnamed: frozenset[str]
    links: frozenset[Path]
    """Strategies' folders that are links: watchfiles has to be told of them."""
    roots: tuple[Signature | None, ...]
    """The watched folders themselves: a replaced one is not watched any more."""
    files: Mapping[Path, Signature | None]
    """Every file that matters, None where it does not exist."""


def survey(workspace: Workspace, retired: Mapping[str, int | None], known: Iterable[str]) -> Survey:
    """Return what is there now. It may take a while with thousands of folders, and may run in any thread.

    Args:
        workspace: where to look.
        retired: the retired strategies, with the inode of the folder that bore the name then.
        known: strategies whose content is in force, whether or not their folders are there.
    """
    switches = (workspace.portfolio_file, workspace.halt_file, workspace.wake_file)
    files = {path: signature(path) for path in switches}
    strategies, still_retired, misnamed, links = set(), set(), set(), set()
    for name, allowed in workspace.folders():
        folder = workspace.strategies / name
        if not allowed:
            misnamed.add(name)
        elif _is_retired(name, folder, retired):
            still_retired.add(name)
        else:
            found = {path: signature(path) for path in (workspace.state_file(name), workspace.stats_file(name))}
            if any(found.values()):
                strategies.add(name)
                files.update(found)
            if folder.is_symlink():
                links.add(folder)
    for name in known:
        if name not in strategies:
            files.update({workspace.state_file(name): None, workspace.stats_file(name): None})
    return Survey(
        frozenset(strategies),
        frozenset(still_retired),
        frozenset(misnamed),
        frozenset(links),
        tuple(_identity(folder) for folder in (workspace.strategies, workspace.config, workspace.var)),
        files,
    )


def _is_retired(name: str, folder: Path, retired: Mapping[str, int | None]) -> bool:
    """Return whether the folder is the one that was retired; another one of that name is a new strategy."""
    inode = retired.get(name)
    found = signature(folder)
    return inode is not None and found is not None and found.inode == inode


def _identity(folder: Path) -> Signature | None:
    """Return a folder's inode only: its size and time change with every file in it."""
    found = signature(folder)
    return None if found is None else Signature(found.inode, 0, 0)
