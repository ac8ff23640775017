"""var/HALT: while it exists, nothing that adds exposure is sent. Its first line is the reason, for people."""

from __future__ import annotations

import contextlib

from portfoliod.workspace import Workspace, create_atomically, write_atomically

DRAWDOWN = "max_drawdown"
"""What the reason of such a halt begins with."""
FLATTEN = "flatten"
"""A later line of var/HALT with this word: managed positions are closed too."""


class HaltSwitch:
    """The file, and a halt in memory for when the file cannot be written."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._in_memory = ""

    def reason(self) -> str:
        """Return why the daemon is halted, or an empty string."""
        if not self._workspace.halted():
            return self._in_memory
        return next(iter(self._lines()), "") or self._in_memory or "var/HALT exists"

    def flattening(self) -> bool:
        """Return whether managed positions are to be closed."""
        return self._workspace.halted() and FLATTEN in self._lines()[1:]

    def trip(self, reason: str, *, flatten: bool = False) -> None:
        """Halt. Where the file cannot be created the halt holds in memory until `write_out` can put it there."""
        if self._workspace.halted() and (self.flattening() or not flatten):
            return
        lines = [self.reason() or " ".join(reason.split()) or "no reason given"]
        if flatten:
            lines.append(FLATTEN)
        try:
            self._workspace.var.mkdir(parents=True, exist_ok=True)
            content = "".join(f"{line}\n" for line in lines).encode()
            if flatten:
                write_atomically(self._workspace.halt_file, content)
            else:
                with contextlib.suppress(FileExistsError):  # somebody halted meanwhile, perhaps to flatten: that stands
                    create_atomically(self._workspace.halt_file, content)
        except OSError:
            self._in_memory = lines[0]
            with contextlib.suppress(OSError):
                # A full disk has no room for a reason, but perhaps for a name.
                self._workspace.halt_file.touch()

    def write_out(self) -> None:
        """Try again to put a halt that holds in memory into the file, which then is what counts."""
        if self._in_memory and not self._workspace.halted():
            self.trip(self._in_memory)
        if self._in_memory and self._workspace.halted():
            self._in_memory = ""

    def clear(self) -> bool:
        """Remove the halt and return whether there was one."""
        was = bool(self.reason())
        self._in_memory = ""
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
