"""What a venue's driver does wrong stays that venue's, or that market's, trouble."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from portfoliod.errors import KeysRefused
from portfoliod.model import Halt, Intent, IntentStatus, Standing
from portfoliod.reconciler.decider import Decider
from portfoliod.switches import HaltSwitch
from portfoliod.venues import Filled, OrderReport
from portfoliod.workspace import Workspace
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, ETH, Trading, fill_of, trade


def test_an_unexpected_exception_while_sizing_one_market_leaves_the_others_decided(files: Files) -> None:
    files.state("other", 0.5, symbol="ETHUSDT")

    async def scenario(trading: Trading) -> None:
        trading.venue.trouble["price", BTC.symbol] = KeyError("last")
        trading.want(trend=0.5)
        await trading.reconciler.once()
        assert [intent.key for intent in trading.venue.placed] == [ETH]

    trade(files, scenario, weights={"trend": 0.5, "other": 0.5})


def test_keys_that_are_refused_when_the_equity_is_read_to_size_halt(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.reconciler.once()
        trading.venue.trouble["equity", ""] = KeysRefused("revoked", where="venue main")
        trading.want(trend=0.5)
        await Decider(trading.desk).decide("main")
        assert trading.halted() == "keys refused: venue main"

    trade(files, scenario, settings='capital = "equity"')


def test_a_trip_does_not_undo_a_flatten_of_the_same_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's command runs between the daemon's look at var/HALT and its writing of it."""
    workspace = Workspace(tmp_path)
    workspace.create()
    fsync = os.fsync

    def flatten_first(descriptor: int) -> None:
        monkeypatch.undo()
        HaltSwitch(workspace).trip("operator", flatten=True)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", flatten_first)
    switch = HaltSwitch(workspace)
    switch.trip("max_drawdown")
    assert switch.read() == Halt("operator", flatten=True)


def test_an_order_that_the_stream_filled_before_the_look_up_is_not_called_unfilled(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        venue = trading.venue

        def working(intent: Intent) -> OrderReport:
            venue.filled(intent)
            return OrderReport(intent.client_id, IntentStatus.WORKING, Decimal(0))

        venue.answers.append(working)
        trading.want(trend=1.0)
        worker = await trading.decided(BTC)
        await worker.look()
        (intent,) = venue.placed
        await trading.reconciler.happened("main", Filled(fill_of(intent)))
        venue.found.append(OrderReport(intent.client_id, IntentStatus.DONE, intent.quantity, (fill_of(intent),)))
        look = await worker.look()
        assert look.standing is not Standing.REFUSED

    trade(files, scenario)
