"""Markets through ccxt: their names, rules and units, and that changes of them are noticed."""

from __future__ import annotations

import json
import time
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
import msgspec
import pytest

from portfoliod.errors import MarketGone, OrderRefused, UnknownSymbol, VenueUnreachable
from portfoliod.model import Intent, Key, Side
from portfoliod.venues.ccxtpro.client import make_client
from portfoliod.venues.ccxtpro.markets import Markets
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from portfoliod.venues.ccxtpro.venue import RELOAD_EVERY
from tests.emulators.faults import Answer, Reset
from tests.venues.scenes import BINANCE, BOTH, OKX, On, Scene, equity_of, name_of, play

pytestmark = pytest.mark.slow  # an exchange and its client in each test

on_both = pytest.mark.parametrize("on", BOTH, ids=name_of)


def everything(on: On) -> dict[str, object]:
    """Return the options that load dated futures too."""
    return {"options": {"fetchMarkets": {"types": ["swap", "future"] if on is OKX else ["linear"]}}}


def dated(scene: Scene) -> tuple[str, str]:
    """Return the id and the unified symbol of the dated future."""
    market = next(market for market in scene.exchange.account.markets.values() if market.expiry)
    return market.id, f"BTC/USDT:USDT-{market.id[-6:]}"


@on_both
def test_symbols_in_every_form(tmp_path: Path, on: On) -> None:
    """A pair means the perpetual in the preferred quote; a settlement currency or an id says which one is meant."""

    async def scenario(scene: Scene) -> None:
        resolve = scene.venue.resolve
        for form in ("BTCUSDT", "btc/usdt", "BTC-USDT", "BTC/USDT:USDT"):
            assert resolve(form) == "BTC/USDT:USDT"
        for form in ("BTC/USDC", "BTC-USDC", "BTCUSDC", "BTC/USDC:USDC"):
            assert resolve(form) == "BTC/USDC:USDC"
        market_id, symbol = dated(scene)
        assert resolve(market_id) == resolve(symbol) == symbol

    play(on, tmp_path, scenario, options=everything(on))


@on_both
def test_an_unknown_symbol_names_its_nearest(tmp_path: Path, on: On) -> None:
    """The error has the text and, where there are any, candidates that do resolve."""

    async def scenario(scene: Scene) -> None:
        for text in ("BTC", "BTCUSTD", "BTC/EUR", "ETH/USDT:BTC", "BTC/USDT:USDT-990101"):
            with pytest.raises(UnknownSymbol) as caught:
                scene.venue.resolve(text)
            assert text in caught.value.found
            for near in caught.value.found.partition("nearest are ")[2].split(", "):
                assert near == "" or scene.venue.resolve(near) == near

    play(on, tmp_path, scenario)


def test_an_ambiguous_symbol_names_its_candidates(tmp_path: Path) -> None:
    """Of the futures in one pair none is preferred: which one is meant has to be said."""

    async def scenario(scene: Scene) -> None:
        account = scene.exchange.account
        market_id, symbol = dated(scene)
        market = account.markets[market_id]
        second = msgspec.structs.replace(market, id="BTCUSDT_990326", expiry=(market.expiry or 0) + 7_862_400_000)
        account.prices[second.id] = account.prices[market_id]
        account.replace_market(second)
        await scene.venue.connect()
        with pytest.raises(UnknownSymbol) as caught:
            scene.venue.resolve("BTC/USDT")
        assert symbol in caught.value.found
        assert caught.value.found.count("BTC/USDT:USDT-") == 2
        assert scene.venue.resolve(symbol) == symbol

    play(BINANCE, tmp_path, scenario, market_type="future")


def test_a_dated_future_is_traded(tmp_path: Path) -> None:
    """Under its own name, beside the perpetual, on both exchanges."""

    async def scenario(scene: Scene) -> None:
        market_id, symbol = dated(scene)
        assert scene.venue.resolve(market_id) == symbol
        report = await scene.order("0.02", symbol=symbol)
        assert report.filled == Decimal("0.02") == await scene.position(symbol)
        assert await scene.position("BTC/USDT:USDT") == 0
        unit = Decimal(1) if scene.on is BINANCE else Decimal("0.01")
        assert scene.exchange.account.position(market_id) * unit == Decimal("0.02")

    for on in BOTH:
        play(on, tmp_path, scenario, options=everything(on))


@pytest.mark.parametrize(
    ("on", "change"),
    [
        (BINANCE, {"step": "0.05", "minimum": "0.05"}),
        (BINANCE, {"minimum": "0.5"}),
        (BINANCE, {"maximum": "70"}),
        (OKX, {"step": "0.05", "minimum": "0.05"}),
        (OKX, {"contract_size": "0.5"}),
    ],
    ids=lambda value: value.kind if isinstance(value, On) else "-".join(value),
)
def test_a_changed_market_is_noticed_by_the_resyncs(tmp_path: Path, on: On, change: dict[str, str]) -> None:
    """After the resyncs at the latest the rules are the new ones, and what is sent is counted by them."""

    async def scenario(scene: Scene) -> None:
        before = scene.venue.rules(scene.symbol)
        market = scene.exchange.account.markets[on.eth]
        scaled = {name: Decimal(value) for name, value in change.items()}
        market = msgspec.structs.replace(market, **scaled)
        scene.exchange.account.replace_market(market)
        for _ in range(RELOAD_EVERY):
            await scene.venue.verify()
        after = scene.venue.rules(scene.symbol)
        assert after != before
        unit = market.contract_size
        assert (after.step, after.min_quantity) == (market.step * unit, market.minimum * unit)
        assert after.max_quantity == market.maximum * unit
        await scene.order("5")
        assert scene.exchange.account.position(on.eth) * unit == await scene.position() == Decimal(5)

    play(on, tmp_path, scenario)


@on_both
@pytest.mark.parametrize("fault", [Answer(body="[]"), Answer(body="{}"), Reset(processed=False)], ids=str)
def test_markets_that_cannot_be_loaded_leave_the_old_ones(tmp_path: Path, on: On, fault: Answer | Reset) -> None:
    """An empty or broken answer is no answer: rules and symbols stay."""

    async def scenario(scene: Scene) -> None:
        before = scene.venue.rules(scene.symbol)
        await scene.order("0.2")
        scene.exchange.faults.add("markets", fault, times=2)
        for _ in range(RELOAD_EVERY - 1):
            await scene.venue.verify()
        with pytest.raises(VenueUnreachable):
            await scene.venue.verify()
        assert scene.venue.rules(scene.symbol) == before
        assert scene.venue.resolve("BTCUSDT") == "BTC/USDT:USDT"
        assert await scene.position() == Decimal("0.2"), "still seen"
        await scene.order("0.2")
        assert scene.truth == Decimal("0.4")

    play(on, tmp_path, scenario)


@on_both
def test_a_market_that_is_suspended_takes_no_order_and_its_position_is_seen(tmp_path: Path, on: On) -> None:
    """Missing is not flat: nothing is opened there, and what is held there is still held; other markets go on."""

    async def scenario(scene: Scene) -> None:
        await scene.order("0.3")
        market = scene.exchange.account.markets[on.eth]
        scene.exchange.account.replace_market(msgspec.structs.replace(market, active=False))
        await scene.venue.connect()
        assert scene.venue.resolve("ETHUSDT") == scene.symbol
        assert scene.venue.rules(scene.symbol).step > 0
        sent = scene.exchange.count("place")
        with pytest.raises(OrderRefused, match="suspended"):
            await scene.venue.place(scene.intent("0.1"))
        assert scene.exchange.count("place") == sent
        assert await scene.position() == Decimal("0.3")
        assert (await scene.order("0.01", symbol="BTC/USDT:USDT")).filled == Decimal("0.01")
        scene.exchange.account.replace_market(market)
        await scene.venue.connect()
        await scene.order("-0.3", reduce_only=True)
        assert scene.truth == 0

    play(on, tmp_path, scenario)


def without(url: str, market: str) -> str:
    """Return what binance tells of its markets, but for one."""
    with urllib.request.urlopen(f"{url}/fapi/v1/exchangeInfo") as reply:
        listed = json.load(reply)
    return json.dumps({**listed, "symbols": [row for row in listed["symbols"] if row["symbol"] != market]})


def test_a_market_that_is_gone_is_said_to_be_and_keeps_no_other_from_being_seen(tmp_path: Path) -> None:
    """A position may be left in it: of that market nothing is said, of the others everything."""

    async def scenario(scene: Scene) -> None:
        await scene.order("0.3")
        await scene.order("0.01", symbol="BTC/USDT:USDT")
        assert await scene.position() == Decimal("0.3")
        scene.exchange.faults.add("markets", Answer(body=without(scene.exchange.url, BINANCE.eth)))
        await scene.venue.connect()
        snapshot = await scene.venue.positions(time.monotonic())
        assert snapshot.quantity("BTC/USDT:USDT") == Decimal("0.01")
        for ask in (scene.venue.rules, snapshot.quantity):
            with pytest.raises(MarketGone):
                ask(scene.symbol)
        with pytest.raises(UnknownSymbol):
            scene.venue.resolve(scene.symbol)
        with pytest.raises(OrderRefused, match="not listed"):
            await scene.venue.place(scene.intent("-0.3", reduce_only=True))
        await scene.venue.connect()
        assert await scene.position() == Decimal("0.3")

    play(BINANCE, tmp_path, scenario)


AMOUNTS = {
    BINANCE: [
        ("ETH/USDT:USDT", "0.2", "0.2"),
        ("ETH/USDT:USDT", str(Decimal("0.3") - Decimal("0.1")), "0.2"),
        ("ETH/USDT:USDT", "1.0010", "1.001"),
        ("ETH/USDT:USDT", "20", "20"),
        ("DOGE/USDT:USDT", "1E+3", "1000"),
        ("DOGE/USDT:USDT", "123457", "123457"),
        ("BTC/USDT:USDT", "0.007", "0.007"),
    ],
    OKX: [
        ("ETH/USDT:USDT", "0.2", "2"),
        ("ETH/USDT:USDT", "0.001", "0.01"),
        ("ETH/USDT:USDT", "0.579", "5.79"),
        ("BTC/USDT:USDT", "0.0001", "0.01"),
        ("BTC/USDT:USDT", "0.0579", "5.79"),
        ("DOGE/USDT:USDT", "1E+5", "100"),
        ("DOGE/USDT:USDT", "10", "0.01"),
        ("SOL/USDT:USDT", "7.29", "7.29"),
        ("BNB/USDT:USDT", "0.07", "7"),
    ],
}


@on_both
def test_amounts_arrive_exactly(tmp_path: Path, on: On) -> None:
    """A plain text on the exchange's step, in its units; never by way of a float."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.account.set_wallet("USDT", "10000000")
        held: dict[str, Decimal] = {}
        for symbol, quantity, sent in AMOUNTS[on]:
            report = await scene.order(quantity, symbol=symbol)
            assert scene.sent_fields()["quantity" if on is BINANCE else "sz"] == sent
            assert report.filled == Decimal(quantity)
            assert scene.exchange.account.orders[-1].quantity == Decimal(sent)
            held[symbol] = held.get(symbol, Decimal(0)) + Decimal(quantity)
        assert (await scene.venue.positions(0)).quantities == held

    play(on, tmp_path, scenario)


@on_both
def test_what_is_not_on_the_step_never_leaves(tmp_path: Path, on: On) -> None:
    """It is refused here: nothing is rounded behind the planner's back."""

    async def scenario(scene: Scene) -> None:
        for quantity in ("0.2001", "0.0001", "0.19999999999999998"):
            with pytest.raises(OrderRefused):
                await scene.venue.place(scene.intent(quantity))
        assert scene.exchange.count("place") == 0

    play(on, tmp_path, scenario)


def test_an_inverse_market_counts_contracts(tmp_path: Path) -> None:
    """BTC/USD:BTC: quantities are contracts of 100 dollars, equity is in dollars."""

    async def scenario(scene: Scene) -> None:
        symbol = scene.venue.resolve("BTC/USD")
        rules = scene.venue.rules(symbol)
        assert symbol == "BTC/USD:BTC"
        assert rules.inverse
        assert (rules.contract_size, rules.step) == (Decimal(100), Decimal(1))
        report = await scene.order("-7", symbol=symbol)
        assert scene.sent_fields()["sz"] == "7"
        assert report.filled == filled_contracts(scene) == 7
        assert report.fills[0].fee_currency == "BTC"
        assert await scene.position(symbol) == -7
        closed = await scene.order("7", symbol=symbol, reduce_only=True)
        assert closed.filled == 7
        assert await scene.position(symbol) == 0
        assert abs(await equity_of(scene) - 100_000) < 10, "two coins"

    def filled_contracts(scene: Scene) -> Decimal:
        return scene.exchange.account.trades[0].quantity

    play(OKX, tmp_path, scenario, quote="USD", options={"options": {"defaultSubType": "inverse"}})


RAW: dict[str, Any] = {
    "id": "xyz",
    "symbol": "XYZ/USDT:USDT",
    "base": "XYZ",
    "quote": "USDT",
    "settle": "USDT",
    "baseId": "XYZ",
    "quoteId": "USDT",
    "settleId": "USDT",
    "type": "swap",
    "swap": True,
    "spot": False,
    "contract": True,
    "linear": True,
    "inverse": False,
    "active": True,
}


@pytest.mark.parametrize(
    ("precision", "size", "minimum", "rules"),
    [
        ((ccxt.DECIMAL_PLACES, 3), 1, 0.001, ("0.001", "0.001")),
        ((ccxt.DECIMAL_PLACES, 0), 1, None, ("1", "0")),
        ((ccxt.DECIMAL_PLACES, -1), 1, 10, ("10", "10")),
        ((ccxt.DECIMAL_PLACES, 2), 0.001, 0.05, ("0.00001", "0.00005")),
        ((ccxt.TICK_SIZE, 0.001), 1, 0.0015, ("0.001", "0.002")),
        ((ccxt.TICK_SIZE, 1e-8), 1, 0, ("0.00000001", "0")),
        ((ccxt.TICK_SIZE, 1), 1000, 1, ("1000", "1000")),
        ((ccxt.TICK_SIZE, 0.1), 0.1, 0.3, ("0.01", "0.03")),
    ],
)
def test_rules_in_each_way_to_write_a_precision(
    precision: tuple[int, float], size: float, minimum: float | None, rules: tuple[str, str]
) -> None:
    """Decimal places (negative: tens) and tick sizes mean exact steps; a minimum between two steps is the upper one."""
    client = make_client(CcxtSettings(exchange="bybit"), None, "here")
    client.precisionMode, amount = precision
    step, least = map(Decimal, rules)
    limits = {"amount": {"min": minimum, "max": None}, "cost": {"min": 5}}
    client.set_markets([{**RAW, "contractSize": size, "precision": {"amount": amount}, "limits": limits}])
    market = Markets("main", client, "swap", "USDT")["XYZ/USDT:USDT"]
    assert (market.rules.step, market.rules.min_quantity, market.rules.min_notional) == (step, least, Decimal(5))
    assert market.rules.max_quantity is None
    order = Intent(
        client_id="a" * 28,
        key=Key("main", "XYZ/USDT:USDT"),
        side=Side.BUY,
        quantity=step * 700,
        reduce_only=False,
        decision=1,
        at=0.0,
        reason="test",
    )
    sent = market.amount(order)
    assert "E" not in sent.upper()
    assert market.quantity(Decimal(sent)) == order.quantity


def test_a_market_whose_step_is_not_known_is_not_traded() -> None:
    """No precision, or nonsense: it is not listed, rather than guessed at."""
    client = make_client(CcxtSettings(exchange="bybit"), None, "here")
    for precision, mode in ((None, ccxt.TICK_SIZE), (0, ccxt.TICK_SIZE), (None, ccxt.DECIMAL_PLACES)):
        client.precisionMode = mode
        client.set_markets([{**RAW, "contractSize": 1, "precision": {"amount": precision}, "limits": {}}])
        assert len(Markets("main", client, "swap", "USDT")) == 0
