"""The file portfoliod.toml: read only where nobody else may have written it."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from pathlib import Path

from portfoliod.errors import SettingsError
from portfoliod.safe_read import parse_toml as parsed
from portfoliod.safe_read import read_settings, require_owner

LONGEST_SHOWN = 200
"""How much of what was found is told."""
KEPT = "a running daemon keeps the settings that it has"


def read_toml(path: Path) -> dict[str, object]:
    """Return what the file holds, nothing where there is none.

    Raises:
        SettingsError: it cannot be read, is no TOML, or somebody else may have written it.
    """

    def require(found: os.stat_result) -> None:
        require_owner(path, found, KEPT)
        _require_guarded(path, found)

    with contextlib.suppress(OSError):  # the file's own error tells more
        _require_guarded(path.parent, path.parent.stat())
    return parse_toml(read_settings(path, require, KEPT) or b"", path)


def _require_guarded(path: Path, found: os.stat_result) -> None:
    """Refuse a file or a folder that everybody may change: who writes the settings moves the money."""
    sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX  # nobody replaces another one's file in it
    if not found.st_mode & stat.S_IWOTH or sticky:
        return
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return  # a mounted configuration, whose modes mean nothing
    raise SettingsError(
        "everybody can write the settings",
        where=str(path),
        found=stat.filemode(found.st_mode),
        kept=KEPT,
        mend=f"chmod o-w {shlex.quote(str(path))}",
    )


def parse_toml(raw: bytes, path: Path) -> dict[str, object]:
    """Return what the file's content holds.

    Raises:
        SettingsError: it is no TOML.
    """
    try:
        return parsed(raw)
    except ValueError as error:
        raise SettingsError(
            "portfoliod.toml is not TOML",
            where=str(path),
            found=str(error)[:LONGEST_SHOWN],
            kept=KEPT,
            mend="mend the line, then: portfoliod check",
        ) from error
