"""What a scan sees: names, links and signatures, and nothing of what the files hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from portfoliod.workspace import Signature, Workspace, is_folder_of, signature


class Survey(msgspec.Struct, frozen=True):
    """The workspace at one moment."""

    strategies: frozenset[str] = frozenset()
    """Folders that hold a state or stats file; retired ones are among `retired` instead."""
    retired: frozenset[str] = frozenset()
    """Retired strategies whose folder is still the one that was retired."""
    misnamed: frozenset[str] = frozenset()
    links: frozenset[Path] = frozenset()
    """Strategies' folders that are links: watchfiles has to be told of them."""
    roots: tuple[Signature | None, ...] = ()
    """The watched folders themselves: a replaced one is not watched any more."""
    files: Mapping[Path, Signature | None] = {}
    """Every file that matters, None where it does not exist."""
    unreadable: str = ""
    """Why strategies/ cannot be read: nothing is known of what is in it."""


def survey(
    workspace: Workspace, retired: Mapping[str, int | None], known: Iterable[str], before: Survey | None = None
) -> Survey:
    """Return what is there now. It may take a while with thousands of folders, and may run in any thread.

    Args:
        workspace: where to look.
        retired: the retired strategies, with the inode of the folder that bore the name then.
        known: strategies whose content is in force, whether or not their folders are there.
        before: what was there before: what cannot be looked at now is as it was.
    """
    switches = (workspace.portfolio_file, workspace.halt_file, workspace.wake_file)
    files = {path: signature(path) for path in switches}
    roots = tuple(_identity(folder) for folder in (workspace.strategies, workspace.config, workspace.var))
    try:
        folders = list(workspace.folders())
        links = frozenset(folder for name, _ in folders if (folder := workspace.strategies / name).is_symlink())
    except OSError as error:
        unreadable = error.strerror or str(error)
        return msgspec.structs.replace(before or Survey(), roots=roots, files=files, unreadable=unreadable)
    strategies, still_retired, misnamed = set(), set(), set()
    for name, allowed in folders:
        folder = workspace.strategies / name
        if not allowed:
            misnamed.add(name)
        elif is_folder_of(folder, retired.get(name)):
            still_retired.add(name)
        else:
            found = {path: signature(path) for path in (workspace.state_file(name), workspace.stats_file(name))}
            if any(found.values()):
                strategies.add(name)
                files.update(found)
    for name in known:
        if name not in strategies:
            files.update({workspace.state_file(name): None, workspace.stats_file(name): None})
    return Survey(frozenset(strategies), frozenset(still_retired), frozenset(misnamed), links, roots, files)


def _identity(folder: Path) -> Signature | None:
    """Return a folder's inode only: its size and time change with every file in it."""
    found = signature(folder)
    return None if found is None else Signature(found.inode, 0, 0)
