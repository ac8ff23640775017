"""A disk that fails under the daemon: nothing leaves that is not in the journal, and a person ends the halt."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.faults.file_world import COIN, FileWorld, market, until
from tests.harness.daemon import Daemon, run_command
from tests.tasks.evidence import journal, query

pytestmark = pytest.mark.slow  # a daemon that waits for its resyncs

OFTEN = """
[optimizer]
apply = "propose"
[reconciler]
resync_seconds = 0.5
[risk]
max_orders_per_minute = 0
"""
JUST_NOW = 1
"""Byte that a file may still grow by."""


class Failing(Protocol):
    """A disk that can be made to fail."""

    root: Path
    """The workspace."""

    def fail(self, daemon: Daemon) -> None:
        """Let nothing be written any more."""

    def mend(self, daemon: Daemon) -> None:
        """Let everything be written again."""


class NoFileMayGrow:
    """The operating system refuses to let the daemon's files grow: it works for every user."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "workspace"
        self.root.mkdir()

    def fail(self, daemon: Daemon) -> None:
        """Set the limit."""
        _, most = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (JUST_NOW, most))

    def mend(self, daemon: Daemon) -> None:
        """Lift the limit."""
        _, most = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (most, most))


class SmallDisk:
    """A file system of its own, which needs root."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "disk"
        self.root.mkdir()
        self._mount("-t", "tmpfs", "-o", "size=3m", "tmpfs")

    def _mount(self, *arguments: str) -> None:
        done = subprocess.run(["mount", *arguments, self.root], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


class FullDisk(SmallDisk):
    """A disk without room."""

    def fail(self, _daemon: Daemon) -> None:
        """Fill it."""
        with (self.root / "ballast").open("wb", buffering=0) as ballast:
            for size in (4096, 1):
                try:
                    while ballast.write(b"x" * size):
                        pass
                except OSError:
                    continue

    def mend(self, _daemon: Daemon) -> None:
        """Make room."""
        (self.root / "ballast").unlink()


class ReadOnlyDisk(SmallDisk):
    """A disk that the kernel made read-only, as it does with one that fails; nobody may have it open for writing."""

    def fail(self, _daemon: Daemon) -> None:
        """Make it so."""
        self._mount("-o", "remount,ro")

    def mend(self, _daemon: Daemon) -> None:
        """Make it writable again."""
        self._mount("-o", "remount,rw")


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Failing]:
    """A disk of the kind that a test asks for, unmounted at the end."""
    kind: Callable[[Path], Failing] = request.param
    made = kind(tmp_path)
    yield made
    if os.path.ismount(made.root):
        subprocess.run(["umount", "--lazy", made.root], check=True)


def outside(world: FileWorld, folder: Path) -> Path:
    """Let the strategy's folder be a link to one on another disk, and return that."""
    folder.mkdir()
    world.folder("one").parent.mkdir(parents=True, exist_ok=True)
    world.folder("one").symlink_to(folder)
    return folder


def assert_journaled(world: FileWorld) -> None:
    """See that each trade of the account belongs to an order in the journal, and is a fill there."""
    trades = query(world.root / "var/paper-paper.db", "SELECT client_id, quantity FROM trades ORDER BY id")
    fills = journal(world.root, "SELECT client_id, quantity FROM fills")
    known = {client_id for (client_id,) in journal(world.root, "SELECT client_id FROM intents")}
    assert {client_id for client_id, _ in trades} <= known
    assert sorted(trades) == sorted(fills)


@pytest.mark.parametrize("disk", [NoFileMayGrow, FullDisk], indirect=True)
def test_fault_40_a_disk_without_room_halts_until_there_is_some_and_a_person_resumes(
    disk: Failing, tmp_path: Path
) -> None:
    """No order leaves meanwhile; the halt, first only in memory, is in var/HALT as soon as it fits."""
    world = FileWorld(disk.root)
    world.files.settings(OFTEN)
    outside(world, tmp_path / "outside")
    daemon = world.start({"one": (1.0, COIN)}, weight=0.5)
    held = world.held()
    disk.fail(daemon)
    since = daemon.mark()
    world.files.state("one", 2.0, f"{COIN}USDT")
    tripped = daemon.wait_for("halt.tripped", since=since)
    assert "journal" in tripped["reason"]
    assert not [event for event in daemon.events[since:] if event["event"] == "order.sent"]
    disk.mend(daemon)
    until((world.root / "var/HALT").exists, "the halt was never written out")
    assert world.held() == held
    assert run_command(world.root, "resume").returncode == 0
    daemon.wait_for("order.filled", since=since, symbol=market(COIN))
    until(lambda: world.held() != held, "never traded")
    assert daemon.terminate() == 0
    assert_journaled(world)


@pytest.mark.parametrize("disk", [FullDisk], indirect=True)
def test_fault_40_a_kill_while_the_disk_is_full_loses_nothing(disk: Failing, tmp_path: Path) -> None:
    """The next daemon does not start without room, and goes on where the journal ends once there is some."""
    world = FileWorld(disk.root)
    world.files.settings(OFTEN)
    outside(world, tmp_path / "outside")
    daemon = world.start({"one": (1.0, COIN)}, weight=0.5)
    held = world.held()
    disk.fail(daemon)
    since = daemon.mark()
    world.files.state("one", 2.0, f"{COIN}USDT")
    daemon.wait_for("halt.tripped", since=since)
    daemon.kill()
    disk.mend(daemon)
    assert world.held() == held
    world.restart()
    if (world.root / "var/HALT").exists():
        assert run_command(world.root, "resume").returncode == 0
    world.daemon.wait_for("order.filled", symbol=market(COIN))
    until(lambda: world.held() != held, "never traded")
    assert world.daemon.terminate() == 0
    assert_journaled(world)


@pytest.mark.parametrize("disk", [ReadOnlyDisk], indirect=True)
def test_fault_40_a_daemon_does_not_start_on_a_disk_that_it_may_not_write(disk: Failing, tmp_path: Path) -> None:
    """It says why, and nothing is traded; what was there is as it was."""
    world = FileWorld(disk.root)
    world.files.settings(OFTEN)
    outside(world, tmp_path / "outside")
    daemon = world.start({"one": (1.0, COIN)}, weight=0.5)
    held = world.held()
    assert daemon.terminate() == 0
    disk.fail(daemon)
    before = (world.root / "var/journal.db").read_bytes()
    world.files.state("one", 2.0, f"{COIN}USDT")
    refused = world.restart()
    assert refused.wait() == 1
    assert any("read" in line.lower() for line in refused.other_output), refused.other_output
    assert (world.root / "var/journal.db").read_bytes() == before
    disk.mend(daemon)
    world.restart().wait_for("order.filled", symbol=market(COIN))
    until(lambda: world.held() != held, "never traded")
    assert world.daemon.terminate() == 0
    assert_journaled(world)


@pytest.mark.parametrize("way", ["removed", "replaced", "the whole folder"])
def test_fault_40_a_journal_that_is_taken_away_from_a_running_daemon_halts_it(world: FileWorld, way: str) -> None:
    """What is written into a file without a name no restart would read."""
    held = world.held()
    var = world.root / "var"
    if way == "the whole folder":
        var.rename(world.root / "away")
    else:
        (var / "journal.db").rename(world.root / "journal.db")
        if way == "replaced":
            shutil.copy(world.root / "journal.db", var / "journal.db")
    since = world.daemon.mark()
    world.files.state("one", 2.0, f"{COIN}USDT")
    tripped = world.daemon.wait_for("halt.tripped", since=since)
    assert "journal" in tripped["reason"]
    assert not [event for event in world.daemon.events[since:] if event["event"] == "order.sent"]
    world.daemon.kill()
    if way == "the whole folder":
        shutil.rmtree(var)
        (world.root / "away").rename(var)
    assert world.held() == held
