"""All crash points of one way to change a position: found by a run without a death, then died at one by one."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import cast

import msgspec

from portfoliod.switches import HaltSwitch
from portfoliod.workspace import Workspace
from tests.crashes.forked import ForkedDaemon
from tests.emulators.faults import Reset
from tests.faults.world import World, symbol
from tests.harness.daemon import PATIENCE, Daemon
from tests.harness.exchange import venue_table
from tests.harness.forked import Zygote
from tests.harness.workspace import Files
from tests.tasks.evidence import journal
from tests.venues.exchanges import environment_of

BASE = "ETH"
SETTINGS = """
mode = "live"
default_venue = "main"

[reconciler]
resync_seconds = 0.5

[risk]
max_orders_per_minute = 0
max_order_notional = {split}
"""
GRACE = 0.5
"""Seconds after which the emulator's "no such order" is proof: it forgets nothing."""
ATTEMPTS = 4
"""To reach a point: whether the reply or the stream tells a fill first is chance, and decides who journals it."""
ONCE = ("journal TakenOver", "journal Noted", "journal Marked")
"""What a workspace sees only once."""
NOW_AND_THEN = ("file status.json", "journal Believed", "venue positions")
"""What a timer does too: only its first passage belongs to the change."""


class Shape(msgspec.Struct, frozen=True):
    """A change of the position."""

    name: str
    before: str
    after: str
    split: int = 0
    """max_order_notional."""


SHAPES = (
    Shape("open", "0", "1"),
    Shape("scale", "1", "2"),
    Shape("reduce", "2", "1"),
    Shape("flip", "1", "-1"),
    Shape("close", "1", "0"),
    Shape("split", "0", "2", split=2_000),
    Shape("flatten", "1", "0"),
)
FIRST = Shape("first", "0", "1")


class Tally(msgspec.Struct):
    """What was done for one shape."""

    shape: str
    reply_lost: bool
    points: int = 0
    deaths: int = 0
    missed: list[str] = []
    """Points that no attempt reached."""


class CrashWorld(World):
    """An emulated Binance and forked daemons that die where they are told to."""

    def __init__(self, files: Files, zygote: Zygote, folder: Path, shape: Shape) -> None:
        super().__init__(files, "binanceusdm")
        self.shape = shape
        self._zygote = zygote
        self._folder = folder
        self._halt = HaltSwitch(Workspace(files.root))
        folder.mkdir()

    @property
    def daemon(self) -> ForkedDaemon:
        """The last one."""
        return cast("ForkedDaemon", self.daemons[-1])

    def fork(self) -> None:
        """Start a daemon, and wait until it looked at the positions; the last one must have ended."""
        since = len(self.exchange.requests)
        self.begin()
        self.exchange.wait_for(lambda: self._positions_read(since), PATIENCE)

    def begin(self) -> None:
        """Start a daemon; the last one must have ended."""
        table = venue_table(self.exchange, self.kind, {"absence_grace_seconds": GRACE})
        self.files.settings(f"{SETTINGS.format(split=self.shape.split)}\n{table}")
        environment = environment_of(self.exchange.credentials)
        log, root = self._folder / "log", self.files.root
        daemon = ForkedDaemon(self._zygote, root, log, self._folder, environment, "--live")
        self.daemons.append(cast("Daemon", daemon))

    def _positions_read(self, since: int) -> bool:
        return any(request.kind == "positions" and request.status for request in self.exchange.requests[since:])

    def arm(self, point: str) -> None:
        """Let the daemon die at a point from now on; at none: only note what it passes."""
        (self._folder / "trail").write_text("")
        new = self._folder / "new"
        new.write_text(point)
        new.rename(self._folder / "armed")

    def disarm(self) -> list[str]:
        """Return what was passed since `arm`, and let the daemon live."""
        (self._folder / "armed").unlink()
        return (self._folder / "trail").read_text().split("\n")[:-1]

    def prepare(self) -> None:
        """Bring the position to where the change starts from."""
        self._halt.clear()
        self.want(BASE, self.shape.before)
        self.nudge()
        self.until_held(BASE, self.shape.before)
        self.assert_sound()

    def change(self) -> None:
        """Ask for the change."""
        if self.shape.name == "flatten":
            self._halt.trip("flattened by the operator", flatten=True)
            self.nudge()
        else:
            self.want(BASE, self.shape.after)

    def nudge(self) -> None:
        """Let a running daemon look at the switches, as the commands do."""
        (self.files.root / "var").mkdir(exist_ok=True)
        (self.files.root / "var/wake").write_text(str(time.time()))

    def until_settled(self) -> None:
        """Wait for the change to be done, and see that the world is sound."""
        self.until_held(BASE, self.shape.after)
        self.assert_sound()

    def decisions(self) -> int:
        """Return how many decisions the market had."""
        return int(journal(self.files.root, "SELECT count(*) FROM decisions WHERE symbol = ?", symbol(BASE))[0][0])


def walk(world: CrashWorld, *, reply_lost: bool, progress: Callable[[str], None] = lambda _: None) -> Tally:
    """Die at every crash point of the world's shape, once each, and converge after each death.

    Raises:
        AssertionError: the world was not sound after a death; the message names the point.
    """
    tally = Tally(world.shape.name, reply_lost)
    world.want(BASE, world.shape.before)
    world.fork()
    points = _points(world, reply_lost=reply_lost)
    tally.points = len(points)
    for point in points:
        progress(point)
        if any(_die_at(world, point, reply_lost=reply_lost) for _ in range(ATTEMPTS)):
            tally.deaths += 1
        else:
            tally.missed.append(point)
    code = world.daemon.terminate()
    assert code == 0, f"stopped with {code}"
    return tally


def walk_first_steps(
    open_world: Callable[[Shape], CrashWorld], *, reply_lost: bool, progress: Callable[[str], None] = lambda _: None
) -> Tally:
    """Die at every point of a first start, from an empty workspace to the first position, each in a new one.

    Args:
        open_world: makes an exchange and an empty workspace.
        reply_lost: whether the first order's reply gets lost.
        progress: called with each point.

    Raises:
        AssertionError: the world was not sound after a death; the message names the point.
    """
    tally = Tally("first", reply_lost)
    with open_world(FIRST) as world:
        trail = _first_steps(world, "", reply_lost=reply_lost)
    points = [point for point in dict.fromkeys(trail) if not point.startswith(NOW_AND_THEN) or point.endswith("#1")]
    tally.points = len(points)
    for point in points:
        progress(point)
        for _ in range(ATTEMPTS):
            with open_world(FIRST) as world:
                if _first_steps(world, point, reply_lost=reply_lost)[-1:] == [point]:
                    tally.deaths += 1
                    break
        else:
            tally.missed.append(point)
    return tally


def _first_steps(world: CrashWorld, point: str, *, reply_lost: bool) -> list[str]:
    """Start in an empty workspace, die at the point if it is reached, and return what was passed until then."""
    world.want(BASE, world.shape.after)
    if reply_lost:
        world.exchange.faults.add("place", Reset(processed=True))
    world.arm(point)
    world.begin()
    died = _until_dead_or_done(world)
    trail = world.disarm()
    if died:
        assert world.daemon.wait() == -9
        world.fork()
    try:
        world.until_settled()
        _assert_nothing_beyond(world, 0)
    except AssertionError as error:
        raise AssertionError(f"{world.shape.name}, died at {point}: {error}") from error
    assert world.daemon.terminate() == 0
    return trail


def _points(world: CrashWorld, *, reply_lost: bool) -> list[str]:
    world.prepare()
    world.arm("")
    _change(world, reply_lost=reply_lost)
    world.until_settled()
    trail = list(dict.fromkeys(world.disarm()))
    return [
        point
        for point in trail
        if not point.startswith(ONCE) and (not point.startswith(NOW_AND_THEN) or point.endswith("#1"))
    ]


def _die_at(world: CrashWorld, point: str, *, reply_lost: bool) -> bool:
    """Return whether the daemon died at the point, after the world was found sound again."""
    world.prepare()
    decided, traded = world.decisions(), len(world.account.trades)
    world.arm(point)
    _change(world, reply_lost=reply_lost)
    died = _until_dead_or_done(world)
    world.disarm()
    if died:
        assert world.daemon.wait() == -9
        world.fork()
    try:
        world.until_settled()
        _assert_nothing_beyond(world, traded)
        assert world.decisions() - decided == (world.shape.name != "flatten"), "decided anew without a reason"
        assert world.shape.name != "flatten" or world.status()["state"] == "halted"
    except AssertionError as error:
        raise AssertionError(f"{world.shape.name}, died at {point}: {error}") from error
    finally:
        world.exchange.faults.clear()
    return died


def _change(world: CrashWorld, *, reply_lost: bool) -> None:
    if reply_lost:
        world.exchange.faults.add("place", Reset(processed=True))
    world.change()


def _until_dead_or_done(world: CrashWorld) -> bool:
    """Wait until the daemon is dead, or for some time after everything is done, since some points come with a timer."""
    deadline = time.monotonic() + PATIENCE
    done_at = None
    while time.monotonic() < deadline:
        if not world.daemon.alive():
            return True
        if done_at is None and world.held(BASE) == Decimal(world.shape.after) and not world.unsettled():
            done_at = time.monotonic()
        if done_at is not None and time.monotonic() - done_at > 1.5:
            return False
        time.sleep(0.005)
    raise AssertionError(f"neither dead nor done: {world.unsettled()}")


def _assert_nothing_beyond(world: CrashWorld, traded: int) -> None:
    """See that the position stayed between where it was and where it was to be."""
    ends = sorted((Decimal(world.shape.before), Decimal(world.shape.after)))
    held = Decimal(world.shape.before)
    for trade in world.account.trades[traded:]:
        held += trade.quantity * (1 if trade.side == "buy" else -1)
        assert ends[0] <= held <= ends[1], f"the position was {held}"
