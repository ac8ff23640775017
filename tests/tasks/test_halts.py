"""What halts the daemon, and that a halt neither gets lost nor undoes a flatten."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from portfoliod.commands import switches
from portfoliod.errors import KeysRefused, VenueUnreachable
from portfoliod.model import Halt, HaltCause, Side, Standing
from portfoliod.optimizer import Optimizer
from portfoliod.service import _adopt
from portfoliod.switches import HaltSwitch
from portfoliod.watcher import Watcher
from portfoliod.workspace import Workspace
from tests.harness.workspace import Files
from tests.tasks.scripted_venue import BTC, Trading, trade, until

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


def test_who_resumes_ends_a_halt_that_the_daemon_could_not_write_down(files: Files) -> None:
    """It is held in memory only: removing a file that never was ends nothing, and the daemon must not halt again."""

    async def scenario(trading: Trading) -> None:
        blocked = trading.workspace.var.parent / "var.away"
        switch = trading.workspace.halt_file
        trading.workspace.halt_file = blocked / "HALT"
        trading.desk.halt.trip(LOSS.reason, LOSS.cause)
        assert trading.halted() == LOSS.reason
        trading.workspace.halt_file = switch
        switches.resume(trading.workspace)
        await trading.journal.reread_switches()
        assert trading.desk.halt.note() is None
        assert (trading.halted(), trading.workspace.halted()) == ("", False)
        assert trading.desk.halt.after_drawdown

    trade(files, scenario)


def test_once_halts_on_a_drawdown_before_it_trades(files: Files) -> None:
    """For those who run it by cron: nothing else ever looks at the account."""

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.reconciler.once()
        trading.venue.value = Decimal(7_000)
        trading.want(trend=2.0)
        (look,) = (await trading.reconciler.once()).values()
        assert trading.halted().startswith("max_drawdown: equity 7000.00")
        assert look.standing is Standing.REFUSED
        assert trading.venue.held == {BTC.symbol: Decimal("0.2")}

    trade(files, scenario, settings="[risk]\nmax_drawdown = 0.2\n")


def test_what_is_closed_needs_no_file_and_no_decision(files: Files) -> None:
    """`flatten` with the daemon down: neither an optimization nor a broken file may come between."""

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.reconciler.once()
        HaltSwitch(trading.workspace).trip("enough", flatten=True)
        trading.want(trend=2.0)
        trading.venue.trouble["equity", ""] = VenueUnreachable("timeout")
        trading.venue.trouble["verify", ""] = VenueUnreachable("timeout")
        decided = trading.journal.targets[BTC].number
        worker = trading.reconciler.worker(BTC)
        assert (await worker.look()).standing is Standing.WORKING
        assert (await worker.look()).standing is Standing.IN_STEP
        assert trading.venue.held == {BTC.symbol: 0}
        assert trading.journal.targets[BTC].number == decided

    trade(files, scenario)


def test_a_reload_swaps_the_policy_whole_and_wakes_every_market(files: Files) -> None:
    """A limit that was raised lets go at once what it refused, and not a resync later."""

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        async with trading.running():
            await until(lambda: BTC in trading.reconciler.workers)
            worker = trading.reconciler.worker(BTC)
            await until(lambda: worker.refused_by == "max_symbol_notional")
            before = trading.desk.policy
            risk = msgspec.structs.replace(trading.settings.risk, max_symbol_notional=0.0)
            optimizer = Optimizer(trading.settings, trading.desk.intake, trading.journal)
            watcher = Watcher(
                trading.desk.intake, trading.journal, changed=print, switched=lambda: None, retire_removed=False
            )
            _adopt(msgspec.structs.replace(trading.settings, risk=risk), trading.reconciler, optimizer, watcher)
            assert before.limits.max_symbol_notional == 1
            await until(lambda: trading.venue.held.get(BTC.symbol))

    trade(files, scenario, settings="[risk]\nmax_symbol_notional = 1\n[reconciler]\nresync_seconds = 3600\n")
