"""var/HALT: while it exists, nothing that adds exposure is sent.

Its first line is the reason, for people; nothing reads anything into it. Later lines are for programs: `cause: NAME`,
and `flatten` where managed positions are closed too.
"""

from __future__ import annotations

import contextlib
import time

import msgspec

from portfoliod.model import Halt, HaltCause
from portfoliod.workspace import Workspace, create_atomically, write_atomically

FLATTEN = "flatten"
CAUSE = "cause: "


class HaltSwitch:
    """The file, and a halt in memory for when the file cannot be written."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._in_memory: Halt | None = None
        self._since = 0.0
        """When it began, in epoch seconds."""
        self._named = False
        """Whether the file exists, without its words: they are in memory, and go with it."""

    def read(self) -> Halt | None:
        """Return the halt in force, None where there is none."""
        if not self._workspace.halted():
            if self._named:
                self._in_memory, self._named = None, False
            return self._in_memory
        reason, *words = self._lines() or [""]
        if not reason and self._in_memory is not None:
            return self._in_memory
        causes = [cause for cause in HaltCause if f"{CAUSE}{cause}" in words]
        return Halt(reason or "var/HALT exists", causes[0] if causes else HaltCause.OPERATOR, FLATTEN in words)

    def trip(self, reason: str, cause: HaltCause = HaltCause.OPERATOR, *, flatten: bool = False) -> None:
        """Halt. Where the file cannot be created the halt holds in memory until `write_out` can put it there."""
        before = self.read()
        if self._workspace.halted() and before is not None and (before.flatten or not flatten):
            return
        if before is not None:
            halt = msgspec.structs.replace(before, flatten=before.flatten or flatten)
        else:
            halt = Halt(" ".join(reason.split()) or "no reason given", cause, flatten)
        lines = [halt.reason, f"{CAUSE}{halt.cause}", *([FLATTEN] if halt.flatten else [])]
        content = "".join(f"{line}\n" for line in lines).encode()
        try:
            self._workspace.var.mkdir(parents=True, exist_ok=True)
            if flatten:
                write_atomically(self._workspace.halt_file, content)
            else:
                with contextlib.suppress(FileExistsError):  # somebody halted meanwhile, perhaps to flatten: that stands
                    create_atomically(self._workspace.halt_file, content)
        except OSError:
            self._in_memory, self._since = halt, time.time()
            with contextlib.suppress(OSError):
                # A full disk has no room for a reason, but perhaps for a name.
                self._workspace.halt_file.touch()
                self._named = True

    def write_out(self) -> None:
        """Try again to put a halt that holds in memory into the file, which then is what counts."""
        halt = self.read()
        if halt is not None and not self._workspace.halted():
            self.trip(halt.reason, halt.cause, flatten=halt.flatten)
        if self._workspace.halted() and self._lines():
            self._in_memory, self._named = None, False

    def resumed(self, at: float) -> None:
        """Take in when a person resumed last, in epoch seconds: a halt in memory that began before is over."""
        if at >= self._since and not self._workspace.halted():
            self._in_memory = None

    def clear(self) -> Halt | None:
        """Remove the halt and return what it was, None where there was none."""
        was = self.read()
        self._in_memory, self._named = None, False
        with contextlib.suppress(FileNotFoundError):
            self._workspace.halt_file.unlink()
        return was

    def _lines(self) -> list[str]:
        try:
            with self._workspace.halt_file.open("rb") as file:
                text = file.read(4096).decode(errors="replace")
        except OSError:
            return []
        return [line.strip() for line in text.splitlines()]
