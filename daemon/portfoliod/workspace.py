"""The folder that a daemon works in: its paths, safe reads and atomic writes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from portfoliod.errors import FileRejected, LockHeld
from portfoliod.safe_read import read_regular

STRATEGY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LARGEST_FILE = 64 * 1024 * 1024
LOOK_AGAIN_SECONDS = 0.02
"""Between two tries to get a lock that another process has."""


class Signature(NamedTuple):
    """What a stat tells of a file's content: a change of it asks for a read, nothing more."""

    inode: int
    size: int
    modified_ns: int


UNREADABLE = Signature(0, 0, 0)
"""Of what may be there, but cannot be looked up."""


class Unsettled(FileRejected):
    """The file changed while it was read, or is not whole yet. A writer may be at work: read again shortly."""


class Workspace:
    """The paths of SPEC's workspace below one root."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.strategies = self.root / "strategies"
        self.config = self.root / "config"
        self.var = self.root / "var"
        self.settings_file = self.config / "portfoliod.toml"
        self.portfolio_file = self.config / "portfolio_config.json"
        self.journal_file = self.var / "journal.db"
        self.status_file = self.var / "status.json"
        self.lock_file = self.var / "lock"
        self.halt_file = self.var / "HALT"
        self.proposal_file = self.var / "proposal.json"
        self.backtest_folder = self.var / "backtest"
        self.portfolio_lock_file = self.var / "portfolio.lock"
        self.wake_file = self.var / "wake"
        """Touched by a command that changed the journal, so that a running daemon looks at it."""

    def create(self) -> None:
        """Make the folders that are missing. What stands in the place of strategies/ is the watcher's to tell of."""
        for folder in (self.config, self.var):
            folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self.strategies.mkdir()

    @contextlib.contextmanager
    def sole_optimizer(self, patience: float) -> Iterator[None]:
        """Wait until no other process optimizes, and let none while the block runs: neither writes over the other.

        Raises:
            LockHeld: another process still does after `patience` seconds.
            OSError: var/ cannot be written.
        """
        if not self.var.exists():  # nothing ever ran here
            yield
            return
        with self.portfolio_lock_file.open("a") as file:
            deadline = time.monotonic() + patience
            while not _locked(file):
                if time.monotonic() > deadline:
                    raise LockHeld(
                        "another process optimizes",
                        where=self.shown(self.portfolio_lock_file),
                        found=f"it has not ended within {patience:g} s",
                        kept="the weights in force",
                        mend="let it end, or end it",
                    )
                time.sleep(LOOK_AGAIN_SECONDS)
            yield

    def state_file(self, name: str) -> Path:
        """Return the path of a strategy's state.json."""
        return self.strategies / name / "state.json"

    def stats_file(self, name: str) -> Path:
        """Return the path of a strategy's stats.json."""
        return self.strategies / name / "stats.json"

    def shown(self, path: Path) -> str:
        """Return a path as it is shown to a person: relative to the root where it lies below it."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    def folders(self) -> Iterator[tuple[str, bool]]:
        """Yield the name of each folder in strategies/ that is not hidden, and whether the name is allowed."""
        try:
            entries = sorted(os.scandir(os.fsencode(self.strategies)), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for entry in entries:
            name = os.fsdecode(entry.name)
            if name.startswith((".", "_")) or not _is_folder(entry):
                continue
            yield name, STRATEGY_NAME.fullmatch(name) is not None

    def halted(self) -> bool:
        """Return whether var/HALT exists. What cannot be looked up counts as halted."""
        try:
            self.halt_file.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def signature(path: Path) -> Signature | None:
    """Return a file's signature, None where it does not exist, and UNREADABLE where that cannot be told."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return UNREADABLE
    return Signature(found.st_ino, found.st_size, found.st_mtime_ns)


def is_folder_of(path: Path, inode: int | None) -> bool:
    """Return whether a folder has an inode, or may have: where one of the two could not be looked up."""
    found = signature(path)
    return inode is not None and found is not None and (found.inode == inode or 0 in {found.inode, inode})


def read_settled(path: Path, shown: str) -> tuple[bytes, float]:
    """Return a regular file's content and its modification time in epoch seconds.

    Raises:
        FileNotFoundError: where there is none.
        Unsettled: where it changed during the read.
        FileRejected: where it is too large, not a regular file or not readable.
    """
    content, before, after = read_regular(path, shown, LARGEST_FILE)
    same = (before.st_ino, before.st_size, before.st_mtime_ns) == (after.st_ino, after.st_size, after.st_mtime_ns)
    if not same or len(content) != after.st_size:
        raise Unsettled(
            "the file changes while it is read", where=shown, mend="write it atomically: a temporary file, then rename"
        )
    return content, after.st_mtime


def create_atomically(path: Path, content: bytes) -> None:
    """Create a file, whole, where there is none.

    Raises:
        FileExistsError: there is one; it is as it was.
        OSError: nothing was created.
    """
    whole = path.with_name(f".{path.name}.{os.getpid()}.{id(content)}.tmp")
    try:
        write_atomically(whole, content)
        os.link(whole, path)
    finally:
        whole.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes, mode: int = 0o644, *, durable: bool = True) -> None:
    """Replace a file so that a reader sees the old content or the new one, whole.

    A temporary file in the same folder is written, flushed to disk, renamed, and the folder is flushed. Without
    `durable` nothing is flushed: for what may be lost with the machine.

    Raises:
        OSError: the file is as it was.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if durable:
                os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
    if durable:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
