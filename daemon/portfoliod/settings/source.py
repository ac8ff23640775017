"""The file portfoliod.toml: read only where nobody else may have written it, in bounded time and memory."""

from __future__ import annotations

import os
import shlex
import stat
import tomllib
from pathlib import Path

from portfoliod.errors import SettingsError

LARGEST_FILE = 256 * 1024
MOST_DOTS = 400
LONGEST_SHOWN = 200
"""How much of what was found is told."""
KEPT = "a running daemon keeps the settings that it has"


def read_toml(path: Path) -> dict[str, object]:
    """Return what the file holds, nothing where there is none.

    Raises:
        SettingsError: it cannot be read, is no TOML, or somebody else may have written it.
    """
    return parse_toml(_read(path), path)


def _read(path: Path) -> bytes:
    """Return the file's content, b"" where there is none.

    Raises:
        SettingsError: it cannot be read, or somebody else may have written it.
    """
    try:
        _require_guarded(path.parent, path.parent.stat())
        _require_fit(path, path.stat())  # before it is opened: to open a device may do something
        with open(path, "rb", opener=_open_at_once) as file:
            _require_fit(path, os.fstat(file.fileno()))
            content = file.read(LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        raise SettingsError(
            "portfoliod.toml cannot be read",
            where=str(path),
            found=error.strerror or str(error),
            kept=KEPT,
            mend="make it readable for the user that runs portfoliod",
        ) from error
    if len(content) > LARGEST_FILE:
        mend = f"write at most {LARGEST_FILE} bytes"
        raise SettingsError("portfoliod.toml is too large", where=str(path), kept=KEPT, mend=mend)
    return content


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; what became a FIFO or a terminal meanwhile must neither hang the daemon nor own it."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _require_fit(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise SettingsError(
            "portfoliod.toml is not a regular file",
            where=str(path),
            found=stat.filemode(found.st_mode),
            kept=KEPT,
            mend="put a regular file in its place",
        )
    if found.st_uid not in {os.geteuid(), 0}:
        raise SettingsError(
            "the settings belong to somebody else",
            where=str(path),
            found=f"user {found.st_uid}, who is neither this one nor root",
            kept=KEPT,
            mend=f"chown {os.geteuid()} {shlex.quote(str(path))}",
        )
    _require_guarded(path, found)


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
        # The parser takes time and memory by the square of the number of a key's parts.
        if any(line.count(b".") > MOST_DOTS for line in raw.split(b"\n")):
            raise ValueError(f"a line with more than {MOST_DOTS} dots")  # noqa: TRY301 - one way to say it
        table: dict[str, object] = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            "portfoliod.toml is not TOML",
            where=str(path),
            found=str(error)[:LONGEST_SHOWN],
            kept=KEPT,
            mend="mend the line, then: portfoliod check",
        ) from error
    return table
