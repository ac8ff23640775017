"""What our orders and look-ups become in the requests of ccxt's classes, by each exchange's documented fields."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portfoliod.errors import OrderRefused
from portfoliod.model import Side
from portfoliod.venues.ccxtpro.client import make_client
from portfoliod.venues.ccxtpro.dialects import DIALECTS, at_path, dialect_of
from portfoliod.venues.ccxtpro.markets import Markets
from portfoliod.venues.ccxtpro.outcomes import Outcome, outcome_of
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from tests.venues.ccxt_requests import CLIENT_ID, Bench, Kind, caught_from, look_up_requests, order_request

pytestmark = pytest.mark.slow  # an exchange and its client in each test

ZEROS = f"0000{CLIENT_ID}"
UUID = "00003f2a-9c0d-1e4b-5a69-78876543210f"

ORDERS: list[tuple[str, Kind, str]] = [
    ("binanceusdm", "swap", f"newClientOrderId={CLIENT_ID}"),
    ("okx", "swap", f'"clOrdId":"{CLIENT_ID}"'),
    ("bybit", "swap", f'"orderLinkId":"{CLIENT_ID}"'),
    ("bitget", "swap", f'"clientOid":"{CLIENT_ID}"'),
    ("gate", "swap", f'"text":"t-{CLIENT_ID}"'),
    ("kucoinfutures", "swap", f'"clientOid":"{CLIENT_ID}"'),
    ("hyperliquid", "swap", f'"c":"0x{ZEROS}"'),
    ("krakenfutures", "swap", f"cliOrdId={ZEROS}"),
    ("deribit", "swap", f"label={CLIENT_ID}"),
    ("mexc", "swap", f'"externalOid":"{CLIENT_ID}"'),
    ("htx", "swap", '"client_order_id":2665797705212175'),
    ("bingx", "swap", f"clientOrderID={CLIENT_ID}"),
    ("phemex", "swap", f'"clOrdID":"{CLIENT_ID}"'),
    ("woo", "swap", '"clientOrderId":"1903184840455561487"'),
    ("bitfinex", "swap", '"cid":"26969798549775"'),
    ("cryptocom", "swap", f'"client_oid":"{CLIENT_ID}"'),
    ("whitebit", "swap", f'"clientOrderId":"{CLIENT_ID}"'),
    ("poloniex", "swap", f'"clOrdId":"{CLIENT_ID}"'),
    ("backpack", "swap", '"clientId":1698898191'),
    ("aster", "swap", f"newClientOrderId={CLIENT_ID}"),
    ("btse", "swap", f'"clOrderId":"{CLIENT_ID}"'),
    ("binance", "spot", f"newClientOrderId={CLIENT_ID}"),
    ("okx", "spot", f'"clOrdId":"{CLIENT_ID}"'),
    ("bybit", "spot", f'"orderLinkId":"{CLIENT_ID}"'),
    ("bitget", "spot", f'"clientOid":"{CLIENT_ID}"'),
    ("gate", "spot", f'"text":"t-{CLIENT_ID}"'),
    ("kucoin", "spot", f'"clientOid":"{CLIENT_ID}"'),
    ("kraken", "spot", f"cl_ord_id={ZEROS}"),
    ("mexc", "spot", f"newClientOrderId={CLIENT_ID}"),
    ("htx", "spot", '"client-order-id":"2665797705212175"'),
    ("bingx", "spot", f"newClientOrderId={CLIENT_ID}"),
    ("woo", "spot", '"clientOrderId":"1903184840455561487"'),
    ("bitvavo", "spot", f'"clientOrderId":"{UUID}"'),
    ("coinbase", "spot", f'"client_order_id":"{UUID}"'),
    ("cryptocom", "spot", f'"client_oid":"{CLIENT_ID}"'),
    ("whitebit", "spot", f'"clientOrderId":"{CLIENT_ID}"'),
    ("bitstamp", "spot", f"client_order_id={CLIENT_ID}"),
    ("poloniex", "spot", f'"clientOrderId":"{CLIENT_ID}"'),
]

LOOK_UPS: list[tuple[str, Kind, str]] = [
    ("binanceusdm", "swap", f"origClientOrderId={CLIENT_ID}"),
    ("binance", "spot", f"origClientOrderId={CLIENT_ID}"),
    ("okx", "swap", f"clOrdId={CLIENT_ID}"),
    ("bybit", "swap", f"order/realtime?symbol=ETHUSDT&category=linear&orderLinkId={CLIENT_ID}"),
    ("bitget", "swap", f"clientOid={CLIENT_ID}"),
    ("gate", "swap", f"orders/t-{CLIENT_ID}"),
    ("gate", "spot", f"orders/t-{CLIENT_ID}"),
    ("kucoinfutures", "swap", f"byClientOid?clientOid={CLIENT_ID}"),
    ("kucoin", "spot", f"client-order/{CLIENT_ID}"),
    ("hyperliquid", "swap", f'"oid":"0x{ZEROS}"'),
    ("mexc", "spot", f"origClientOrderId={CLIENT_ID}"),
    ("htx", "swap", "client_order_id=2665797705212175"),
    ("bingx", "swap", f"clientOrderId={CLIENT_ID}"),
    ("phemex", "swap", f"clOrdID={CLIENT_ID}"),
    ("woo", "swap", "clientOrderId=1903184840455561487"),
    ("cryptocom", "swap", f'"client_oid":"{CLIENT_ID}"'),
    ("bitvavo", "spot", f"clientOrderId={UUID}"),
    ("bitstamp", "spot", f"client_order_id={CLIENT_ID}"),
]

HEDGES: list[tuple[str, str, str]] = [
    ("binanceusdm", "positionSide=LONG", "positionSide=SHORT"),
    ("okx", '"posSide":"long"', '"posSide":"short"'),
    ("bybit", '"positionIdx":1', '"positionIdx":2'),
    ("kucoinfutures", '"positionSide":"LONG"', '"positionSide":"SHORT"'),
    ("htx", '"position_side":"long"', '"position_side":"short"'),
    ("bingx", "positionSide=LONG", "positionSide=SHORT"),
    ("phemex", '"posSide":"Long"', '"posSide":"Short"'),
    ("woo", '"positionSide":"LONG"', '"positionSide":"SHORT"'),
    ("whitebit", '"positionSide":"LONG"', '"positionSide":"SHORT"'),
    ("poloniex", '"posSide":"LONG"', '"posSide":"SHORT"'),
    ("aster", "positionSide=LONG", "positionSide=SHORT"),
]
"""How an order says that it moves the long leg, the short leg."""

REDUCTIONS = [
    ("binanceusdm", "reduceOnly=true"),
    ("okx", '"reduceOnly":true'),
    ("bybit", '"reduceOnly":true'),
    ("bitget", '"reduceOnly":"YES"'),
    ("gate", '"reduce_only":true'),
    ("kucoinfutures", '"reduceOnly":true'),
    ("hyperliquid", '"r":true'),
    ("krakenfutures", "reduceOnly=true"),
    ("deribit", "reduce_only=true"),
    ("mexc", '"side":4'),
    ("htx", '"reduce_only":1'),
    ("bingx", "reduceOnly=true"),
    ("phemex", '"reduceOnly":true'),
    ("woo", '"reduceOnly":true'),
    ("bitfinex", '"flags":1024'),
]


@pytest.mark.parametrize(("exchange", "kind", "expected"), ORDERS, ids=lambda value: str(value)[:24])
def test_an_order_carries_its_client_id_in_the_exchanges_own_field(exchange: str, kind: Kind, expected: str) -> None:
    """The id stands where the exchange documents it, in a form that it takes, whatever ccxt parses it as."""
    assert expected in order_request(exchange, kind)


@pytest.mark.parametrize(("exchange", "kind", "expected"), LOOK_UPS, ids=lambda value: str(value)[:24])
def test_a_look_up_asks_for_the_client_id_and_for_nothing_that_is_not_known(
    exchange: str, kind: Kind, expected: str
) -> None:
    """No `orderId=None` beside it: exchanges that look at the id first would say that there is no such order."""
    requests = look_up_requests(exchange, kind)
    assert expected in requests
    assert "None" not in requests
    assert ":null" not in requests


@pytest.mark.parametrize(("exchange", "long", "short"), HEDGES, ids=lambda value: str(value)[:24])
def test_in_hedge_mode_an_order_names_the_leg_that_it_moves(exchange: str, long: str, short: str) -> None:
    """A purchase opens the long leg or closes the short one, a sale the reverse; ccxt's `hedged` never goes out."""
    wanted = {(Side.BUY, False): long, (Side.SELL, True): long, (Side.SELL, False): short, (Side.BUY, True): short}
    for (side, reduce_only), leg in wanted.items():
        request = order_request(exchange, "swap", side, "hedge", reduce_only=reduce_only)
        assert leg in request, (side, reduce_only)
        assert "hedged" not in request


def test_where_only_the_direction_names_the_leg_a_close_closes_the_right_one() -> None:
    """MEXC has numbers for the four cases; ccxt's `hedged` would close the short leg with a sale. Gate has a flag."""
    cases = {(Side.BUY, False): 1, (Side.BUY, True): 2, (Side.SELL, False): 3, (Side.SELL, True): 4}
    for (side, reduce_only), number in cases.items():
        assert f'"side":{number},' in order_request("mexc", "swap", side, "hedge", reduce_only=reduce_only)
    assert '"size":-3' in order_request("gate", "swap", Side.SELL, "hedge", reduce_only=True)
    assert "hedged" not in order_request("gate", "swap", Side.SELL, "hedge", reduce_only=True)


@pytest.mark.parametrize(("exchange", "expected"), REDUCTIONS)
def test_reduce_only_arrives(exchange: str, expected: str) -> None:
    """In one-way mode a reduction says so in the exchange's own words."""
    assert expected in order_request(exchange, "swap", Side.SELL, reduce_only=True)
    assert expected not in order_request(exchange, "swap", Side.SELL)


def test_a_market_purchase_on_spot_is_of_the_quantity_that_was_meant() -> None:
    """By base quantity where the exchange takes one, else by its cost: one and a half at 2,000."""
    by_base = {"okx": '"sz":"1.5"', "bybit": '"marketUnit":"baseCoin","qty":"1.5"', "kucoin": '"size":"1.5"'}
    by_cost = {
        "gate": '"amount":"3000"', "htx": '"amount":"3000"', "woo": '"amount":"3000"', "bitget": '"size":"3000"',
        "coinbase": '"quote_size":"3000"', "poloniex": '"amount":"3000"',
    }  # fmt: skip
    for exchange, expected in (by_base | by_cost).items():
        assert expected in order_request(exchange, "spot"), exchange


def test_an_order_pays_no_fee_to_a_builder() -> None:
    """By itself ccxt adds a hundredth of a per cent for its makers to each order on hyperliquid."""
    assert '"f":0}' in order_request("hyperliquid", "swap")


def test_an_order_of_kucoins_futures_carries_the_leverage_that_was_set() -> None:
    """Else ccxt says 1, and the margin is the whole notional."""

    def bench() -> Bench:
        return Bench("kucoinfutures", "swap", set_leverage=7)

    requests = caught_from(bench, lambda made: made.orders.place(made.intent(Side.BUY, reduce_only=False), made.market))
    assert any('"leverage":7' in request for request in requests)


def test_a_spot_purchase_that_reduces_is_refused_before_anything_is_sent() -> None:
    """There is nothing that it could reduce."""

    async def run() -> list[str]:
        bench = Bench("binance", "spot")
        try:
            with pytest.raises(OrderRefused):
                await bench.orders.place(bench.intent(Side.BUY, reduce_only=True), bench.market)
            return bench.caught
        finally:
            await bench.client.close()

    assert not asyncio.run(run())


@pytest.mark.parametrize(
    "exchange", ["woofipro", "coinbaseinternational", "krakenfutures", "kucoinfutures", "binancecoinm"]
)
def test_a_longer_name_wins(exchange: str) -> None:
    """An exchange whose id begins like another one's is not taken for it where it has a row of its own."""
    fitting = [prefix for prefix in DIALECTS if exchange.startswith(prefix)]
    assert dialect_of(exchange) is DIALECTS[max(fitting, key=len)]


@pytest.mark.parametrize("exchange", ["bitflyer", "digifinex", "btse", "bitso", "bitfinex", "bithumb", "zaif"])
def test_any_exchange_of_ccxts_makes_a_client(exchange: str) -> None:
    """With websockets or without, with options of its own or none."""

    async def run() -> None:
        client = make_client(CcxtSettings(exchange=exchange), None, "test")
        await client.close()

    asyncio.run(run())


def listed(exchange: str, quote: str, *raw: dict[str, Any]) -> set[str]:
    """Return which of some markets a venue of an exchange lists."""

    async def run() -> set[str]:
        client = make_client(CcxtSettings(exchange=exchange, quote=quote), None, "test")
        common = {
            "active": True, "quote": "USDT", "precision": {"amount": 1.0, "price": 1.0}, "limits": {}, "info": {},
            "option": False, "future": False, "contractSize": 1.0, "type": "swap",
        }  # fmt: skip
        client.markets = {row["symbol"]: {**common, "id": row["symbol"], "base": "ETH", **row} for row in raw}
        markets = Markets("main", client, "swap", quote)
        await client.close()
        return set(markets.directory.listings)

    return asyncio.run(run())


SPOT: dict[str, Any] = {"symbol": "ETH/USDT", "spot": True, "swap": False}
LINEAR: dict[str, Any] = {"symbol": "ETH/USDT:USDT", "spot": False, "swap": True, "inverse": False, "settle": "USDT"}
OTHER: dict[str, Any] = {**LINEAR, "symbol": "ETH/USDC:USDC", "quote": "USDC", "settle": "USDC"}
INVERSE: dict[str, Any] = {**LINEAR, "symbol": "ETH/USD:ETH", "quote": "USD", "settle": "ETH", "inverse": True}


@pytest.mark.parametrize(
    ("exchange", "quote", "symbols"),
    [
        ("okx", "USDT", {"ETH/USDT:USDT", "ETH/USDC:USDC", "ETH/USD:ETH"}),
        ("binance", "USDT", {"ETH/USDT:USDT", "ETH/USDC:USDC"}),
        ("binance", "USD", {"ETH/USD:ETH"}),
        ("bybit", "USDT", {"ETH/USDT:USDT"}),
        ("bybit", "USDC", {"ETH/USDC:USDC"}),
        ("bybit", "USD", {"ETH/USD:ETH"}),
        ("gate", "USDT", {"ETH/USDT:USDT"}),
    ],
)
def test_only_markets_whose_positions_are_seen_are_listed(exchange: str, quote: str, symbols: set[str]) -> None:
    """A market that a snapshot of the positions does not cover would look flat for ever, and be bought for ever."""
    assert listed(exchange, quote, SPOT, LINEAR, OTHER, INVERSE) == symbols


def test_a_path_finds_the_row_of_the_quote_currency() -> None:
    """Lists of balances are in no order."""
    reply = {"data": [{"asset": "BTC", "equity": "1"}, {"asset": "USDT", "equity": "7"}]}
    assert at_path(reply, ("data", ("asset", "{quote}"), "equity"), "USDT") == "7"
    assert at_path(reply, ("data", ("asset", "{quote}"), "equity"), "EUR") is None
    assert at_path(reply, ("data", 5, "equity"), "USDT") is None


def test_an_order_that_does_not_fit_the_position_mode_is_known_as_such_by_its_words() -> None:
    """Bybit's and OKX's codes for it mean other things too."""
    import ccxt

    bybit = ccxt.BadRequest('bybit {"retCode":10001,"retMsg":"position idx not match position mode","result":{}}')
    okx = ccxt.BadRequest('okx {"code":"1","data":[{"sCode":"51000","sMsg":"Parameter posSide error"}],"msg":""}')
    other = ccxt.BadRequest('bybit {"retCode":10001,"retMsg":"Qty invalid","result":{}}')
    assert outcome_of("bybit", bybit) is Outcome.MODE
    assert outcome_of("okx", okx) is Outcome.MODE
    assert outcome_of("bybit", other) is Outcome.REFUSED
