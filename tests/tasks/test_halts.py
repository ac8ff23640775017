"""What halts the daemon, and that a halt neither gets lost nor undoes a flatten."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from portfoliod.errors import KeysRefused, VenueUnreachable
from portfoliod.model import Side
from portfoliod.reconciler import Standing
from portfoliod.switches import HaltSwitch
from portfoliod.workspace import Workspace
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, Trading, trade


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty one."""
    workspace = Workspace(tmp_path)
    workspace.create()
    return workspace


@pytest.mark.parametrize(("method", "symbol"), [("positions", ""), ("price", BTC.symbol)])
def test_a_running_venue_that_refuses_the_keys_halts(files: Files, method: str, symbol: str) -> None:
    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        worker = await trading.decided()
        trading.venue.trouble[method, symbol] = KeysRefused("revoked", where="venue main")
        look = await worker.look()
        assert (look.standing, trading.venue.placed) == (Standing.UNKNOWN, [])
        assert look.again is not None
        assert trading.desk.halted() == "keys refused: venue main"
        assert trading.workspace.halted()

    trade(files, scenario)


def test_flatten_closes_without_a_price(files: Files) -> None:
    """Nor does a limit on an order's notional need one."""

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.reconciler.once()
        trading.venue.trouble["price", BTC.symbol] = VenueUnreachable("no ticker")
        HaltSwitch(trading.workspace).trip("enough", flatten=True)
        await trading.reconciler.worker(BTC).look()
        close = trading.venue.placed[-1]
        assert (close.side, close.reduce_only) == (Side.SELL, True)
        assert trading.venue.held == {BTC.symbol: 0}

    trade(files, scenario, settings="[risk]\nmax_order_notional = 20000")


def test_a_halt_held_in_memory_is_written_when_it_can_be_and_resumed_like_any(workspace: Workspace) -> None:
    workspace.var.rmdir()
    workspace.var.touch()  # a file in the folder's place: nothing can be written below it
    switch = HaltSwitch(workspace)
    switch.trip("max_drawdown")
    switch.write_out()
    assert (switch.reason(), workspace.halted()) == ("max_drawdown", False)
    workspace.var.unlink()
    workspace.var.mkdir()
    switch.write_out()
    assert (HaltSwitch(workspace).reason(), switch.reason()) == ("max_drawdown", "max_drawdown")
    HaltSwitch(workspace).clear()
    switch.write_out()
    assert switch.reason() == ""


def test_a_journal_write_that_cannot_be_done_fails_alone_and_halts_nothing(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        journal = trading.journal
        outcomes = await asyncio.gather(
            *(journal.put_meta(name, name) for name in ("before", "\ud800", "after")), return_exceptions=True
        )
        assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False]
        assert (await journal.meta("before"), await journal.meta("after")) == ("before", "after")
        assert (journal.failed, trading.desk.halted()) == (None, "")

    trade(files, scenario)
