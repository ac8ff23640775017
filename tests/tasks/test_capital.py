"""An equity that jumps sizes nothing until the venue says it again a resync later, or a person confirms it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Literal

import msgspec
import pytest
from structlog.testing import capture_logs

from portfoliod.commands import switches
from portfoliod.journal import Journal
from portfoliod.reconciler.capital import Capital
from portfoliod.reconciler.decider import Decider
from tests.harness.workspace import Files
from tests.journal.rows import new_fill
from tests.tasks.scripted_venue import BTC, Trading, trade, until

BY_EQUITY = 'capital = "equity"\n'
OFTEN = BY_EQUITY + "[reconciler]\nresync_seconds = 0.1\n"
SELDOM = BY_EQUITY + "[reconciler]\nresync_seconds = 3600\n"


async def sized(trading: Trading, position: float) -> list[Decimal]:
    """Return the account values of what is decided when the strategy wants another position."""
    trading.want(trend=position)
    return [decision.account_value for decision in await Decider(trading.desk).decide("main")]


@pytest.mark.parametrize("equity", ["5000", "11001", "0", "-3"])
def test_fault_30_an_equity_that_jumps_sizes_nothing_and_is_said_once(files: Files, equity: str) -> None:
    """The targets in force stay, and are traded towards."""

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        worker = await trading.decided()
        trading.venue.value = Decimal(equity)
        with capture_logs() as logs:
            assert await sized(trading, 0.5) == []
            assert await sized(trading, 0.25) == []
        assert [entry["event"] for entry in logs if entry["event"].startswith("equity")] == ["equity.doubted"]
        (problem,) = trading.desk.connections["main"].problems
        assert "the equity" in problem.what
        assert equity in problem.found
        assert "portfoliod resume" in problem.mend
        await worker.look()
        assert trading.venue.held == {BTC.symbol: Decimal("0.2")}

    trade(files, scenario, settings=SELDOM)


@pytest.mark.parametrize("equity", ["9000", "11000", "10000.5"])
def test_an_equity_within_a_tenth_is_believed_at_once(files: Files, equity: str) -> None:
    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.decided()
        trading.venue.value = Decimal(equity)
        assert await sized(trading, 0.5) == [Decimal(equity)]

    trade(files, scenario, settings=SELDOM)


def test_after_a_fill_of_ours_a_change_of_the_equity_is_explained(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        worker = await trading.decided()
        await worker.look()
        trading.venue.value = Decimal(8_000)
        assert await sized(trading, 0.5) == [Decimal(8_000)]

    trade(files, scenario, settings=SELDOM)


def test_a_fill_that_comes_while_the_equity_is_asked_for_explains_the_next_change(files: Files) -> None:
    """The figure that is on its way may be from before the fill: it does not use up what the fill explains."""

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.decided()
        connection, capital, venue = trading.desk.connections["main"], trading.desk.capital, trading.venue
        policy = msgspec.structs.replace(trading.desk.policy, resync_seconds=0.0)

        class FilledMeanwhile(asyncio.Event):
            async def wait(self) -> Literal[True]:
                await trading.journal.record_fills([new_fill("1", "0.1", key=BTC)])
                return True

        venue.waits["equity"] = FilledMeanwhile()
        assert await capital.read(connection, policy) == Decimal(10_000)
        del venue.waits["equity"]
        venue.value = Decimal(8_000)
        assert await capital.read(connection, policy) == Decimal(8_000)
        venue.value = Decimal(5_000)
        assert await capital.read(connection, policy) is None

    trade(files, scenario, settings=SELDOM)


def test_fault_30_the_same_figure_a_resync_later_is_believed_and_sized_by(files: Files) -> None:
    """A deposit takes effect by itself, one resync late."""

    async def scenario(trading: Trading) -> None:
        async with trading.running():
            await until(lambda: "main" in trading.journal.worths)
            trading.venue.value = Decimal(20_000)
            with capture_logs() as logs:
                trading.want(trend=1.0)
                trading.reconciler.mailbox.put("decide")
                await until(lambda: BTC in trading.journal.targets)
            assert trading.journal.targets[BTC].account_value == Decimal(20_000)
            told = [entry["event"] for entry in logs if entry["event"].startswith("equity")]
            assert told == ["equity.doubted", "equity.believed"]
            assert trading.desk.connections["main"].problems == []

    trade(files, scenario, settings=OFTEN)


def test_fault_30_a_figure_that_goes_back_was_never_sized_by_nor_remembered_as_a_high(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.decided()
        trading.venue.value = Decimal(90_000)
        assert await sized(trading, 0.5) == []
        trading.venue.value = Decimal(10_001)
        assert await sized(trading, 0.5) == [Decimal(10_001)]
        assert trading.desk.connections["main"].problems == []
        assert ("90000",) not in trading.rows("SELECT equity FROM equity")

    trade(files, scenario, settings=SELDOM)


def test_nothing_is_believed_while_the_figure_goes_on_jumping(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.decided()
        for equity in (5_000, 20_000, 40_000, 5_000):
            trading.venue.value = Decimal(equity)
            assert await sized(trading, 0.5) == []

    trade(files, scenario, settings=OFTEN.replace("0.1", "0.001"))


@pytest.mark.parametrize("equity", ["5000", "0"])
def test_fault_30_a_person_confirms_with_resume(files: Files, equity: str) -> None:
    """Also an account that is really empty: then nothing can be sized, and nobody doubts it any more."""

    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.decided()
        trading.venue.value = Decimal(equity)
        assert await sized(trading, 0.5) == []
        said = switches.resume(trading.workspace)
        assert said == f"not halted\nconfirmed: the equity of main, {equity} after 10000"
        assert await sized(trading, 0.5) == ([Decimal(equity)] if equity != "0" else [])
        assert trading.desk.connections["main"].problems == []
        trading.venue.value = Decimal(20_000)
        assert await sized(trading, 0.25) == [], "an earlier word is no word for a later jump"

    trade(files, scenario, settings=SELDOM)


def test_a_doubt_and_what_was_believed_survive_a_restart(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.decided()
        trading.venue.value = Decimal(5_000)
        assert await sized(trading, 0.5) == []
        async with Journal(trading.workspace.journal_file) as next_process:
            again = Capital(next_process)
            policy = trading.desk.policy
            assert await again.read(trading.desk.connections["main"], policy) is None
            at_once = msgspec.structs.replace(policy, resync_seconds=0.0)
            assert await again.read(trading.desk.connections["main"], at_once) == Decimal(5_000)

    trade(files, scenario, settings=SELDOM)


def test_with_a_fixed_account_value_a_jump_is_only_said(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        trading.want(trend=1.0)
        await trading.decided()
        connection = trading.desk.connections["main"]
        await trading.desk.capital.read(connection, trading.desk.policy)
        trading.venue.value = Decimal(5_000)
        with capture_logs() as logs:
            await trading.desk.capital.read(connection, trading.desk.policy)
        assert [entry["log_level"] for entry in logs if entry["event"] == "equity.doubted"] == ["warning"]
        assert connection.problems == []
        assert await sized(trading, 0.5) == [Decimal(10_000)]

    trade(files, scenario)


MARKED = "[reconciler]\nresync_seconds = 0.05\n[risk]\nmax_drawdown = 0.2\n"


async def resynced(trading: Trading) -> None:
    """Let the account be read a few times more."""
    reads = trading.venue.equity_reads
    await until(lambda: trading.venue.equity_reads > reads + 2)


async def drawn_down(trading: Trading, equity: int) -> None:
    """Let the equity fall, and wait for the halt."""
    await until(lambda: trading.journal.high_water is not None)
    trading.venue.value = Decimal(equity)
    await until(lambda: "max_drawdown" in trading.halted())


Resume = Callable[[Trading], object]


@pytest.mark.parametrize(
    "resume",
    [
        pytest.param(lambda trading: switches.resume(trading.workspace), id="resume"),
        pytest.param(lambda trading: trading.workspace.halt_file.unlink(), id="rm HALT"),
    ],
)
def test_a_drawdown_halts_and_who_resumes_starts_the_mark_anew(files: Files, resume: Resume) -> None:
    """It does not trip again at once, but after the next loss from there."""

    async def scenario(trading: Trading) -> None:
        async with trading.running():
            await drawn_down(trading, 7_900)
            resume(trading)
            await resynced(trading)
            assert trading.halted() == ""
            await drawn_down(trading, 6_000)

    trade(files, scenario, settings=MARKED)


def test_a_resume_with_the_daemon_down_starts_the_mark_anew(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        async with trading.running():
            await drawn_down(trading, 7_900)
        switches.resume(trading.workspace)
        async with Journal(trading.workspace.journal_file) as next_process:
            assert next_process.high_water is None

    trade(files, scenario, settings=MARKED)


@pytest.mark.parametrize("reason", ["lunch", "max_drawdown looks tight, checking"])
def test_another_halt_that_is_resumed_leaves_the_mark(files: Files, reason: str) -> None:
    async def scenario(trading: Trading) -> None:
        async with trading.running():
            await until(lambda: trading.journal.high_water is not None)
            switches.halt(trading.workspace, reason)
            await resynced(trading)
            trading.venue.value = Decimal(9_500)
            switches.resume(trading.workspace)
            await resynced(trading)
            assert trading.journal.high_water is not None
            assert trading.journal.high_water.equity == Decimal(10_000)

    trade(files, scenario, settings=MARKED)


def test_an_equity_that_is_doubted_is_a_loss_but_never_a_high(files: Files) -> None:
    async def scenario(trading: Trading) -> None:
        async with trading.running():
            await until(lambda: trading.journal.high_water is not None)
            trading.venue.value = Decimal(0)
            await resynced(trading)
            assert trading.halted() == "", "no answer that can be one"
            await drawn_down(trading, 7_000)

    trade(files, scenario, settings=MARKED)
