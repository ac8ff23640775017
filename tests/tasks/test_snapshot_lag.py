"""A venue whose positions lag behind our own fills: nothing is corrected twice, and drift is still found."""

from __future__ import annotations

import random
import time
from decimal import Decimal

import pytest

from portfoliod.model import Intent, Side, Standing
from portfoliod.venues import Filled, OrderReport, PositionMoved, Positions
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, ScriptedVenue, Trading, fill_of, trade, until

MODES = ["lock", "adopt"]
LAGS = "the venue's positions do not show our last fill yet"


def on_drift(mode: str) -> str:
    return f'[reconciler]\non_drift = "{mode}"\nresync_seconds = 0.05\nno_trade_band = 0.0\n'


class LaggingVenue(ScriptedVenue):
    """Shows each fill in its positions only after a while."""

    snapshot_lag = 0.4

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self._shown_from: list[tuple[float, dict[str, Decimal]]] = []

    def filled(self, intent: Intent) -> OrderReport:
        """Fill an order, and show it later."""
        before = dict(self.held)
        report = super().filled(intent)
        self._shown_from.append((time.monotonic() + self._chance.uniform(0, 0.2), before))
        return report

    async def positions(self, newer_than: float) -> Positions:
        """Return what was held before the first fill that is not shown yet."""
        found = await super().positions(newer_than)
        for shown_from, before in self._shown_from:
            if time.monotonic() < shown_from:
                return Positions(found.at, before)
        return found


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(3))
def test_targets_that_change_while_positions_lag_are_each_traded_once(files: Files, mode: str, seed: int) -> None:
    """Whatever is seen when: what is sent adds up to the target, without drift."""
    chance = random.Random(seed)
    venue = LaggingVenue(chance)

    async def scenario(trading: Trading) -> None:
        async with trading.running():
            for _ in range(4):
                wanted = Decimal(chance.randrange(-10, 11)) / 10
                trading.want(trend=float(wanted))
                trading.reconciler.mailbox.put("decide")
                await until(lambda: venue.held.get(BTC.symbol, 0) == wanted / 5)  # noqa: B023 - awaited in this turn
                trading.reconciler.look_at_everything()
            worker = trading.reconciler.worker(BTC)
            await until(lambda: worker.last.standing is Standing.IN_STEP)
        sent = [intent.signed for intent in venue.placed]
        assert sum(sent) == venue.held[BTC.symbol] == trading.journal.books[BTC].expected
        assert len(venue.placed) <= 8, "at most a close and an open for each target"
        assert trading.journal.locks == {}

    trade(files, scenario, venue, settings=on_drift(mode))


@pytest.mark.parametrize("mode", MODES)
def test_a_snapshot_without_the_last_fill_is_read_again_ever_more_slowly(files: Files, mode: str) -> None:
    """Each time from a snapshot that is made anew, until it shows the fill."""

    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        venue.snapshot_lag = 60.0
        trading.want(trend=1.0)
        worker = await trading.decided()
        venue.shown.extend([{}] * 8)
        assert (await worker.look()).reason == "open"
        looks, asked = [], []
        for _ in range(7):
            venue.asked_newer_than.clear()
            before = time.monotonic()
            looks.append(await worker.look())
            asked.append(before - min(venue.asked_newer_than) < 0.001 or len(looks) == 1)
        assert {(look.standing, look.reason) for look in looks} == {(Standing.WORKING, LAGS)}
        pauses = [look.again for look in looks]
        assert pauses[:4] == [0.05, 0.1, 0.2, 0.4]
        assert pauses[-1] == 0.5
        assert all(asked), "never from a snapshot that was read before"
        assert (await worker.look()).standing is Standing.IN_STEP
        assert len(venue.placed) == 1

    trade(files, scenario, settings=on_drift(mode))


def test_what_moves_the_position_after_the_lag_is_drift(files: Files) -> None:
    """And a fill of ours that only the stream tells begins the lag anew."""

    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        venue.snapshot_lag = 0.1
        trading.want(trend=1.0)
        await trading.reconciler.once()
        worker = trading.reconciler.worker(BTC)
        venue.held[BTC.symbol] = Decimal("0.3")
        await trading.reconciler.happened("main", PositionMoved(BTC.symbol))
        looks = [await worker.look()]
        while looks[-1].standing is Standing.WORKING:
            looks.append(await worker.look())
        assert looks[-1].standing is Standing.LOCKED
        assert trading.journal.locks[BTC].actual == Decimal("0.3")
        assert len(venue.placed) == 1

    trade(files, scenario)


def test_a_fill_that_the_stream_tells_begins_the_lag_anew(files: Files) -> None:
    """The order was not final when it was sent; its fill comes by itself, and the snapshot shows it later."""

    async def scenario(trading: Trading) -> None:
        venue = trading.venue
        venue.snapshot_lag = 60.0
        trading.want(trend=1.0)
        await trading.reconciler.once()
        worker = trading.reconciler.worker(BTC)
        (intent,) = venue.placed
        late = fill_of(intent, "0.5", "late")
        await trading.reconciler.happened("main", Filled(late))
        look = await worker.look()
        assert (look.standing, look.reason) == (Standing.WORKING, LAGS)
        venue.held[BTC.symbol] += late.quantity
        await worker.look()
        assert [sent.side for sent in venue.placed] == [Side.BUY, Side.SELL]
        assert venue.held == {BTC.symbol: Decimal("0.2")}

    trade(files, scenario)


@pytest.mark.parametrize("mode", MODES)
def test_a_restart_right_after_a_fill_trusts_no_snapshot_that_lags(files: Files, mode: str) -> None:
    """The process before this one may have filled an order a moment ago."""

    async def first(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.reconciler.once()

    async def second(trading: Trading) -> None:
        venue = trading.venue
        venue.snapshot_lag = 60.0
        venue.held[BTC.symbol] = Decimal("0.2")
        venue.shown.append({})
        worker = await trading.decided()
        assert (await worker.look()).reason == LAGS
        assert (await worker.look()).standing is Standing.IN_STEP
        assert venue.placed == []

    trade(files, first, settings=on_drift(mode))
    trade(files, second, settings=on_drift(mode))
