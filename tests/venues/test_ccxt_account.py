"""What an account holds, through ccxt: missing is not flat, both legs count, and what the exchange does by itself."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

import pytest

from portfoliod.errors import OrderRefused, VenueStopped, VenueUnreachable
from portfoliod.venues import Liquidated, PositionMoved
from tests.emulators.account_records import Position
from tests.emulators.binance import BinanceFutures
from tests.emulators.faults import (
    Answer,
    BusinessError,
    HidePositions,
    Lag,
    Lose,
    ShowPosition,
    Truncate,
    WalletLooks,
    empty,
    garbled,
    html,
)
from tests.venues.scenes import BINANCE, BOTH, OKX, On, Scene, equity_of, name_of, play

pytestmark = pytest.mark.slow  # an exchange and its client in each test

on_both = pytest.mark.parametrize("on", BOTH, ids=name_of)
UNREADABLE = (
    garbled(),
    empty(),
    html(200),
    html(502),
    Answer(body="null"),
    Answer(body='{"positions": null}'),
    Answer(status=500, body="{}"),
    Truncate(),
)


@on_both
def test_an_answer_that_cannot_be_read_is_no_flat_account(tmp_path: Path, on: On) -> None:
    """Whatever came instead of positions, also at the first look: VenueUnreachable, and the next answer is right."""

    async def scenario(scene: Scene) -> None:
        scene.manual("0.3")
        for fault in UNREADABLE:
            scene.exchange.faults.add("positions", fault)
            with pytest.raises(VenueUnreachable):
                await scene.position()
        assert await scene.position() == Decimal("0.3")

    play(on, tmp_path, scenario)


@on_both
def test_a_balance_that_cannot_be_read_is_no_equity(tmp_path: Path, on: On) -> None:
    """Neither zero nor a part of it."""

    async def scenario(scene: Scene) -> None:
        for fault in (*UNREADABLE, Answer(body="[]"), WalletLooks("USDT", Decimal("NaN"))):
            scene.exchange.faults.add("balance", fault)
            with pytest.raises(VenueUnreachable):
                await scene.venue.equity()
        assert await scene.venue.equity() == 100_000

    play(on, tmp_path, scenario)


@on_both
def test_rows_that_vanish_from_one_answer_are_asked_for_again(tmp_path: Path, on: On) -> None:
    """All of them or one: what was held a moment ago and did not move is believed to be gone at a second look only."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.account.trade("BTCUSDT" if on is BINANCE else "BTC-USDT-SWAP", "buy", "1")
        scene.manual("0.3")
        before = (await scene.venue.positions(time.monotonic())).quantities
        assert len(before) == 2
        for hidden in (None, frozenset({on.eth})):
            rule = scene.exchange.faults.add("positions", HidePositions(hidden))
            with pytest.raises(VenueUnreachable, match="cannot be right"):
                await scene.position()
            assert rule.hits == 1
            assert (await scene.venue.positions(time.monotonic())).quantities == before

    play(on, tmp_path, scenario)


@on_both
def test_an_empty_answer_against_used_margin_is_never_flat(tmp_path: Path, on: On) -> None:
    """However often it comes, and at the first look of a process: the balance says that positions use margin."""

    async def scenario(scene: Scene) -> None:
        scene.manual("0.3")
        scene.exchange.faults.add_lasting("positions", HidePositions())
        for _ in range(3):
            with pytest.raises(VenueUnreachable):
                await scene.position()

    play(on, tmp_path, scenario)


@on_both
def test_a_position_that_is_really_gone_is_flat(tmp_path: Path, on: On) -> None:
    """Closed by hand: two answers agree, and that is believed."""

    async def scenario(scene: Scene) -> None:
        scene.manual("0.3")
        assert await scene.position() == Decimal("0.3")
        scene.manual("-0.3")
        assert await scene.position() == 0

    play(on, tmp_path, scenario)


@on_both
@pytest.mark.parametrize("signed", ["0.3", "-0.3"])
def test_legs_of_a_hedge_are_summed(tmp_path: Path, on: On, signed: str) -> None:
    """The empty leg comes first; both legs open give their sum."""

    async def scenario(scene: Scene) -> None:
        if isinstance(scene.exchange, BinanceFutures):
            scene.exchange.pages.empty_legs = True
        leg = "long" if Decimal(signed) > 0 else "short"
        scene.manual(signed, leg=leg)
        assert await scene.position() == Decimal(signed)
        scene.manual("0.5", leg="long")
        scene.manual("-0.1", leg="short")
        assert await scene.position() == Decimal(signed) + Decimal("0.4")

    play(on, tmp_path, scenario, hedged=True)


@on_both
def test_orders_in_a_hedge_name_their_leg(tmp_path: Path, on: On) -> None:
    """Opening, scaling, reducing, closing, on either side: the leg is named, and what only reduces closes its leg."""

    async def scenario(scene: Scene) -> None:
        steps = [("0.4", False, "long"), ("0.2", False, "long"), ("-0.1", True, "long"), ("-0.5", True, "long")]
        steps += [("-0.4", False, "short"), ("0.1", True, "short"), ("0.3", True, "short")]
        held = Decimal(0)
        for signed, reduce_only, leg in steps:
            await scene.order(signed, reduce_only=reduce_only)
            held += Decimal(signed)
            fields = scene.sent_fields()
            assert fields["positionSide" if on is BINANCE else "posSide"].lower() == leg
            assert on is OKX or "reduceOnly" not in fields
            assert scene.exchange.account.leg(on.eth, leg).quantity * on.unit == held == await scene.position()  # type: ignore[arg-type]

    play(on, tmp_path, scenario, hedged=True)


@on_both
def test_orders_in_one_way_mode_name_no_leg(tmp_path: Path, on: On) -> None:
    """A reduction is told as one."""

    async def scenario(scene: Scene) -> None:
        await scene.order("0.4")
        assert scene.sent_fields().get("reduceOnly", "false").lower() == "false"
        await scene.order("-0.4", reduce_only=True)
        fields = scene.sent_fields()
        assert fields["reduceOnly"].lower() == "true"
        assert fields.get("positionSide", "BOTH") == "BOTH"
        assert fields.get("posSide", "net") == "net"

    play(on, tmp_path, scenario)


@on_both
@pytest.mark.parametrize("hedged", [False, True])
def test_a_mode_that_is_toggled_stops_the_venue_until_it_is_set_back(tmp_path: Path, on: On, hedged: bool) -> None:
    """No order is a guess at a side: the resync or the first order notices, and no further order leaves."""

    async def scenario(scene: Scene) -> None:
        assert scene.venue.position_mode == ("hedge" if hedged else "one_way")
        for notice in ("resync", "order"):
            scene.exchange.account.set_hedged(not hedged)
            if notice == "resync":
                with pytest.raises(VenueStopped) as caught:
                    await scene.venue.verify()
                assert "set it back" in caught.value.mend
            else:
                with pytest.raises((VenueStopped, OrderRefused)):
                    await scene.venue.place(scene.intent("0.2"))
            sent = scene.exchange.count("place")
            with pytest.raises(VenueStopped):
                await scene.position()
            with pytest.raises((OrderRefused, VenueStopped)):
                await scene.venue.place(scene.intent("0.2"))
            assert scene.exchange.count("place") == sent
            assert not scene.exchange.account.trades
            scene.exchange.account.set_hedged(hedged)
            await scene.venue.verify()
            assert await scene.position() == 0
        assert (await scene.order("0.2")).filled == Decimal("0.2")

    play(on, tmp_path, scenario, hedged=hedged)


@on_both
def test_a_phantom_row_is_gone_at_the_next_look(tmp_path: Path, on: On) -> None:
    """Nothing of it is kept; a stale row likewise."""

    async def scenario(scene: Scene) -> None:
        scene.manual("0.3")
        stale = Position(on.eth, "net", Decimal(9), Decimal(2500))
        scene.exchange.faults.add("positions", ShowPosition(stale))
        assert await scene.position() == 9 * on.unit
        assert await scene.position() == Decimal("0.3")

    play(on, tmp_path, scenario)


@on_both
def test_a_position_elsewhere_is_harmless(tmp_path: Path, on: On) -> None:
    """In another market, and in one that the venue does not list: what is asked for is right, nothing is touched."""

    async def scenario(scene: Scene) -> None:
        account = scene.exchange.account
        account.trade("SOLUSDT" if on is BINANCE else "SOL-USDT-SWAP", "sell", "3")
        future = next(market.id for market in account.markets.values() if market.expiry)
        account.trade(future, "buy", "1")
        await scene.order("0.2")
        quantities = (await scene.venue.positions(time.monotonic())).quantities
        assert quantities[scene.symbol] == Decimal("0.2")
        assert quantities["SOL/USDT:USDT"] == -3
        assert account.position(future) == 1

    play(on, tmp_path, scenario)


@on_both
@pytest.mark.parametrize("origin", ["liquidation", "adl"])
@pytest.mark.parametrize("hedged", [False, True])
def test_what_the_exchange_closes_by_itself_is_told_as_such(tmp_path: Path, on: On, origin: str, hedged: bool) -> None:
    """A liquidation and an auto-deleveraging, once; an order of a person or of ours is none."""

    async def scenario(scene: Scene) -> None:
        leg = "long" if hedged else "net"
        async with scene.listening():
            await scene.order("0.4")
            scene.manual("0.1", leg=leg)
            await scene.hears(PositionMoved)
            assert not any(isinstance(event, Liquidated) for event in scene.heard)
            scene.exchange.account.force_close(on.eth, leg, origin=origin)  # type: ignore[arg-type]
            told = await scene.hears(Liquidated)
            assert told.symbol == scene.symbol
            assert ("liquidation" if origin == "liquidation" else "auto-deleveraging") in told.what
            assert await scene.position() == 0
            report = await scene.order("0.1")
            assert report.filled == Decimal("0.1")
            assert sum(isinstance(event, Liquidated) for event in scene.heard) == 1

    play(on, tmp_path, scenario, hedged=hedged)


@on_both
def test_a_snapshot_that_lags_behind_our_fill_is_not_trusted(tmp_path: Path, on: On) -> None:
    """REST shows the flat state of before: that contradicts the balance, and the venue says for how long to wait."""

    async def scenario(scene: Scene) -> None:
        await scene.order("0.2")
        scene.exchange.faults.add("positions", Lag(30.0), times=2)
        with pytest.raises(VenueUnreachable, match="use margin"):
            await scene.venue.positions(time.monotonic())
        assert scene.venue.snapshot_lag > 0
        scene.exchange.faults.clear()
        assert await scene.position() == Decimal("0.2")

    play(on, tmp_path, scenario)


@on_both
def test_a_lost_message_is_found_by_the_next_look(tmp_path: Path, on: On) -> None:
    """A manual trade of which no stream tells."""

    async def scenario(scene: Scene) -> None:
        async with scene.listening():
            assert await scene.position() == 0
            scene.exchange.faults.add_stream(Lose(), socket=on.socket, times=None)
            scene.manual("0.3")
            assert await scene.position() == Decimal("0.3")

    play(on, tmp_path, scenario)


@on_both
def test_equity_holds_the_open_profit(tmp_path: Path, on: On) -> None:
    """Cash, plus what open positions have gained; funding and deposits count."""

    async def scenario(scene: Scene) -> None:
        scene.manual("2")
        paid = 2 * 2500 * scene.exchange.account.taker
        scene.exchange.account.set_price(on.eth, "2600")
        assert abs(await equity_of(scene) - (100_200 - paid)) < Decimal("0.01")
        scene.exchange.account.pay_funding(on.eth, "-50")
        assert abs(await equity_of(scene) - (100_150 - paid)) < Decimal("0.01")

    play(on, tmp_path, scenario)


@on_both
def test_an_error_of_the_positions_is_no_answer(tmp_path: Path, on: On) -> None:
    """Of whatever code: an order that is missing and an unknown symbol too."""
    codes = (-1000, -1121, -2013, -1003) if on is BINANCE else (50001, 51001, 51603, 50026)

    async def scenario(scene: Scene) -> None:
        scene.manual("0.3")
        for code in codes:
            scene.exchange.faults.add("positions", BusinessError(code=code))
            with pytest.raises(VenueUnreachable):
                await scene.position()

    play(on, tmp_path, scenario)
