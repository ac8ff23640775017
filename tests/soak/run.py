"""One soak: a crowd of strategies, an emulated Binance in trouble, the real daemon between them."""

from __future__ import annotations

import collections
import random
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.emulators.binance import BinanceFutures
from tests.faults.world import World
from tests.harness.workspace import Files
from tests.soak.counting import TaskCount
from tests.soak.crowd import Crowd
from tests.soak.samples import Sample, measure
from tests.soak.story import with_stories
from tests.soak.trouble import Trouble
from tests.tasks.evidence import journal

SETTINGS = """
[optimizer]
allocator = "inverse_vol"
target_vol = 0.1

[reconciler]
resync_seconds = 10

[risk]
max_orders_per_minute = 0
"""
EQUITY = "50000000"
"""Of the account, in USDT: enough for every position that the crowd may ask for."""
SETTLED_WITHIN = 180.0
"""Seconds after the last fault."""
TICK = 0.05


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    seconds: float
    samples: list[Sample]
    published: int
    faults: dict[str, int]
    events: dict[str, int]
    """How often each was logged."""
    orders: int
    fills: int
    outcomes: dict[str, int]
    """Intents by their status at the end."""
    settled_after: float | None
    """Seconds after the last fault, None: not within the time allowed."""
    unsettled: list[str]
    wrong: list[str]
    """What can never become right again."""
    tracebacks: list[str]
    exit_code: int


class Soak:
    """A workspace, an exchange, and what happens to both."""

    def __init__(
        self,
        folder: Path,
        *,
        strategies: int,
        seed: int,
        state_seconds: float = 15.0,
        stats_seconds: float = 15.0,
        fault_seconds: float = 1.5,
    ) -> None:
        self._files = Files(folder / "workspace")
        self._count = TaskCount(folder / "site")
        self._chance = random.Random(seed)
        self._fault_seconds = fault_seconds
        self._crowd = Crowd(self._files, strategies, seed, state_seconds=state_seconds, stats_seconds=stats_seconds)
        self._events: collections.Counter[str] = collections.Counter()
        self._tracebacks: list[str] = []
        self._samples: list[Sample] = []

    def run(self, seconds: float, told: Callable[[str], None], *, sample_seconds: float = 5.0) -> Result:
        """Let it run and return what came of it; `told` is handed a line now and then."""
        with World(self._files, "binanceusdm") as world:
            assert isinstance(world.exchange, BinanceFutures)
            world.account.set_wallet("USDT", EQUITY)
            self._files.portfolio({}, leverage=0.0, account_value=1_000_000)
            trouble = Trouble(world.exchange, self._chance.randrange(10**6))
            self._crowd.begin()
            self._start(world)
            began = time.monotonic()
            sampled = moved = began
            next_fault = began + 5.0
            while (now := time.monotonic()) < began + seconds:
                self._crowd.publish()
                if now >= next_fault:
                    trouble.make()
                    next_fault = now + self._chance.expovariate(1 / self._fault_seconds)
                if now >= moved + 1.0:
                    trouble.move_prices()
                    moved = now
                if now >= sampled + sample_seconds:
                    self._sample(world, began, told)
                    sampled = now
                time.sleep(TICK)
            trouble.end()
            return self._finish(world, trouble, began)

    def _start(self, world: World) -> None:
        options = {"options": {**world.exchange.options(), "rateLimit": 1}, "timeout_seconds": 3}
        daemon = world.start(settings=SETTINGS, venue=options, environment=self._count.environment)
        daemon.wait_for("order.filled")

    def _sample(self, world: World, began: float, told: Callable[[str], None]) -> None:
        self._read_log(world)
        (unresolved,) = journal(self._files.root, "SELECT count(*) FROM intents WHERE status = 'unknown'")[0]
        pid = world.daemons[-1].process.pid
        sample = measure(pid, self._files.root, began, self._count.read(), unresolved)
        self._samples.append(sample)
        filled = self._events["order.filled"]
        told(
            f"{sample.at:7.0f} s  {sample.resident:7.1f} MiB  {sample.descriptors} descriptors  "
            f"{sample.threads} threads  {sample.tasks} tasks  journal {sample.journal:.1f} MiB  "
            f"{filled} fills  {unresolved} unresolved"
        )

    def _read_log(self, world: World) -> None:
        events, others = world.daemons[-1].take()
        self._events.update(event["event"] for event in events)
        self._tracebacks += [line for line in others if line]
        self._tracebacks += [str(event["exception"]) for event in events if "exception" in event]

    def _finish(self, world: World, trouble: Trouble, began: float) -> Result:
        """Wait until everything is settled, stop the daemon, and count."""
        ended = time.monotonic()
        unsettled = world.unsettled()
        while unsettled and time.monotonic() < ended + SETTLED_WITHIN:
            time.sleep(0.5)
            unsettled = world.unsettled()
        settled_after = None if unsettled else time.monotonic() - ended
        wrong = with_stories(world, world.wrong())
        exit_code = world.daemons[-1].terminate()
        self._read_log(world)
        rows = journal(self._files.root, "SELECT status, count(*) FROM intents GROUP BY status")
        return Result(
            seconds=ended - began,
            samples=self._samples,
            published=self._crowd.published,
            faults=dict(trouble.made),
            events=dict(self._events),
            orders=len([order for order in world.account.orders if order.origin == "api"]),
            fills=len(world.account.trades),
            outcomes=dict(rows),
            settled_after=settled_after,
            unsettled=unsettled,
            wrong=wrong,
            tracebacks=self._tracebacks,
            exit_code=exit_code,
        )
