"""Which change of a file led to what: one id from the file over weights and targets to orders and fills.

Changes that nobody acted on yet share an id, so a folder that is dropped in is one cycle. What follows from several
cycles bears the ids of all of them, with spaces between.
"""

from __future__ import annotations

import secrets
from collections.abc import Hashable, Iterable

MOST = 8
"""Ids that one thing bears; of more than that the newest."""


class Cycles:
    """The last change of each source, in the order in which they came."""

    def __init__(self) -> None:
        self.number = 0
        """Of the last change."""
        self._changes: dict[Hashable, tuple[int, str]] = {}
        self._open = ""
        self._written = "", ""

    def change(self, source: Hashable, digest: str = "") -> None:
        """Note that a source changed.

        Args:
            source: whatever changed.
            digest: of its content; what this process wrote itself goes on with the cycle that it was written in.
        """
        self.number += 1
        written, cycle = self._written
        if not digest or digest != written:
            cycle = self._open = self._open or _new()
        self._changes[source] = self.number, cycle

    def wrote(self, digest: str, cycle: str) -> None:
        """Note that this process is about to write some content, as a part of a cycle."""
        self._written = digest, cycle

    def of(self, source: Hashable) -> str:
        """Return the cycle of a source's last change, an empty string where it never changed in this process."""
        return self._changes.get(source, (0, ""))[1]

    def since(self, number: int, sources: Iterable[Hashable]) -> str:
        """Return the cycle of what follows from the changes of some sources after one of that number.

        Where none of them changed it begins a cycle of its own: a clock or an account's equity is the cause.
        """
        self._open = ""
        changes = sorted(change for source in sources if (change := self._changes.get(source, (0, "")))[0] > number)
        ids = list(dict.fromkeys(part for _, cycle in changes for part in cycle.split()))
        return " ".join(ids[-MOST:]) or _new()


def _new() -> str:
    return secrets.token_hex(4)
