"""The check that no process and no test tells a secret: in what it prints, in its title, in the files it leaves."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.harness.canaries import WINDOW, traces

GIVEN = {"credentials.toml", "portfoliod.toml"}
"""Files that a user wrote, and may have written secrets into; so are all programs."""
CHUNK = 8 * 1024 * 1024


class SecretTold(AssertionError):
    """A secret, or a part of one, stands where anybody may read it."""


def assert_untold(told: Iterable[tuple[str, bytes]]) -> None:
    """Raise SecretTold if some data gives a secret away; the error names the place and the secret, without either."""
    found = [f"{place} holds {secret}" for place, data in told for secret in traces(data)]
    if found:
        raise SecretTold("\n".join(dict.fromkeys(found)))


def written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the content of every file below a folder that no user wrote, piece by piece, under the file's name."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if name in GIVEN or path.suffix == ".py":
                continue
            with contextlib.suppress(OSError):  # gone meanwhile
                if stat.S_ISREG(path.lstat().st_mode):
                    yield from ((str(path.relative_to(folder)), piece) for piece in _pieces(path))


def title(pid: int) -> Iterator[tuple[str, bytes]]:
    """Yield what a process list shows of a process, nothing once it has ended."""
    for name in ("cmdline", "comm"):
        with contextlib.suppress(OSError):
            yield f"the title of process {pid}", Path(f"/proc/{pid}/{name}").read_bytes()


def _pieces(path: Path) -> Iterator[bytes]:
    rest = b""
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield rest + piece
            rest = piece[-(WINDOW - 1) :]
