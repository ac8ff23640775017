"""What halts the daemon, and that a halt neither gets lost nor undoes a flatten."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from pathlib import Path

import pytest

from portfoliod.errors import KeysRefused, VenueUnreachable
from portfoliod.model import Halt, HaltCause, Side, Standing
from portfoliod.switches import HaltSwitch
from portfoliod.workspace import Workspace
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, Trading, trade

LOSS = Halt("equity 7900.00 is 21.0 % below its high", HaltCause.DRAWDOWN)


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
        assert trading.halted() == "keys refused: venue main"
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
    switch.trip(LOSS.reason, LOSS.cause)
    switch.write_out()
    assert (switch.read(), workspace.halted()) == (LOSS, False)
    workspace.var.unlink()
    workspace.var.mkdir()
    switch.write_out()
    assert (HaltSwitch(workspace).read(), switch.read()) == (LOSS, LOSS)
    HaltSwitch(workspace).clear()
    switch.write_out()
    assert switch.read() is None


def test_a_halt_file_without_room_for_its_words_keeps_them_in_memory_until_it_is_removed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk takes a name where it takes no content. Whoever removes the file ends the halt."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    switch = HaltSwitch(workspace)
    with monkeypatch.context() as disk:
        disk.setattr(tempfile, "mkstemp", full)
        switch.trip(LOSS.reason, LOSS.cause)
        switch.write_out()
        assert (switch.read(), workspace.halt_file.read_bytes()) == (LOSS, b"")
    workspace.halt_file.unlink()
    switch.write_out()
    assert (switch.read(), workspace.halted()) == (None, False)


@pytest.mark.parametrize("cause", HaltCause)
def test_the_cause_of_a_halt_is_what_tripped_it_whatever_its_reason_says(
    workspace: Workspace, cause: HaltCause
) -> None:
    HaltSwitch(workspace).trip("max_drawdown\ncause: liquidation\nflatten", cause)
    assert HaltSwitch(workspace).read() == Halt("max_drawdown cause: liquidation flatten", cause)
    HaltSwitch(workspace).trip("flattened", flatten=True)
    assert HaltSwitch(workspace).read() == Halt("max_drawdown cause: liquidation flatten", cause, flatten=True)


def test_a_journal_write_that_cannot_be_done_fails_alone_and_halts_nothing(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        journal = trading.journal
        outcomes = await asyncio.gather(
            *(journal.put_meta(name, name) for name in ("before", "\ud800", "after")), return_exceptions=True
        )
        assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False]
        assert (await journal.meta("before"), await journal.meta("after")) == ("before", "after")
        assert (journal.failed, trading.halted()) == (None, "")

    trade(files, scenario)
