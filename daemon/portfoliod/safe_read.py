"""Reading files that somebody else may have put there: regular ones, at most so much of them, and without a wait."""

from __future__ import annotations

import os
import shlex
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

from portfoliod.errors import FileRejected, SettingsError

LARGEST_TOML = 256 * 1024
MOST_DOTS = 400
"""In a line: the parser takes time and memory by the square of the number of a key's parts."""
Require = Callable[[os.stat_result], None]
"""Raises where a file must not be read for its owner or its mode."""


def parse_toml(raw: bytes) -> dict[str, object]:
    """Return what a TOML file's content holds.

    Raises:
        ValueError: it is no TOML, or has a key of so many parts that the parser would take minutes.
    """
    if any(line.count(b".") > MOST_DOTS for line in raw.split(b"\n")):
        raise ValueError(f"a line with more than {MOST_DOTS} dots")
    try:
        return tomllib.loads(raw.decode())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_regular(
    path: Path, shown: str, largest: int, require: Require | None = None
) -> tuple[bytes, os.stat_result, os.stat_result]:
    """Return a regular file's content, and what is told of the file before the read and after it.

    Raises:
        FileNotFoundError: there is none.
        FileRejected: it is too large, not a regular file or not readable.
    """
    try:
        _require_regular(path.stat(), shown)  # before it is opened: to open a device may do something
        # It may have become a FIFO meanwhile, which must not hang the daemon, or a terminal, which must not own it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:
            before = os.fstat(descriptor)
            _require_regular(before, shown)
            if require is not None:
                require(before)
            content = b"" if before.st_size > largest else _read_at_most(file.fileno(), largest + 1)
            after = os.fstat(descriptor)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(shown) from error
    except OSError as error:
        found, mend = error.strerror or str(error), "make it readable for the user that runs portfoliod"
        raise FileRejected("the file cannot be read", where=shown, found=found, mend=mend) from error
    size = max(before.st_size, len(content))
    if size > largest:
        mend = f"write at most {largest} bytes"
        raise FileRejected("the file is too large", where=shown, found=f"{size} bytes", mend=mend)
    return content, before, after


def read_settings(path: Path, require: Require | None, kept: str) -> bytes | None:
    """Return the content of a file of settings, None where there is none.

    Args:
        path: the file.
        require: refuses it for its owner or its mode.
        kept: what stays in force where it is refused.

    Raises:
        SettingsError: it cannot be read, or is refused.
    """
    try:
        return read_regular(path, str(path), LARGEST_TOML, require)[0]
    except FileNotFoundError:
        return None
    except FileRejected as error:
        raise SettingsError(error.what, where=error.where, found=error.found, kept=kept, mend=error.mend) from error


def require_owner(path: Path, found: os.stat_result, kept: str) -> None:
    """Refuse a file that is neither this user's nor root's.

    Raises:
        SettingsError: it is somebody else's.
    """
    if found.st_uid not in {os.geteuid(), 0}:
        raise SettingsError(
            "the file belongs to somebody else",
            where=str(path),
            found=f"user {found.st_uid}, who is neither this one nor root",
            kept=kept,
            mend=f"chown {os.geteuid()} {shlex.quote(str(path))}",
        )


def _require_regular(found: os.stat_result, shown: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        mode, mend = stat.filemode(found.st_mode), "put a regular file in its place"
        raise FileRejected("not a regular file", where=shown, found=mode, mend=mend)


def _read_at_most(descriptor: int, most: int) -> bytes:
    parts = []
    while most > 0 and (part := os.read(descriptor, min(most, 1 << 22))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)
