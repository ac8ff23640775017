"""The Binance emulator can be trusted: the unmodified ccxt client trades on it, its rules hold, its faults strike."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from decimal import Decimal
from typing import Any, TypeVar

import ccxt.pro
import msgspec
import pytest

from tests.emulators.__main__ import snippet
from tests.emulators.account_records import Origin, Position
from tests.emulators.binance import API_KEY, SECRET, BinanceFutures, status_unknown
from tests.emulators.binance_markets import new_account
from tests.emulators.faults import (
    Action,
    BusinessError,
    Delay,
    Fills,
    Hang,
    HidePositions,
    Lag,
    Late,
    Lose,
    OrderLooks,
    OrderMissing,
    Reset,
    ShowPosition,
    Swap,
    Truncate,
    Twice,
    WalletLooks,
    empty,
    garbled,
    html,
    too_many_requests,
)

pytestmark = pytest.mark.slow  # an exchange and its client in each test

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
PATIENCE = 30.0
T = TypeVar("T")
Json = Any
Client = Any
"""ccxt is not typed."""
Scenario = Callable[[Client], Coroutine[Any, Any, T]]


@pytest.fixture
def exchange() -> Iterator[BinanceFutures]:
    """A fresh emulator."""
    with BinanceFutures() as running:
        yield running


def trade(exchange: BinanceFutures, scenario: Scenario[T], **options: object) -> T:
    """Run a scenario with a ccxt client on the emulator."""

    async def run() -> T:
        client = ccxt.pro.binanceusdm(
            {
                **exchange.options(),
                **exchange.credentials,
                **exchange.error_table(ccxt.pro.binanceusdm),
                "rateLimiterAlgorithm": "rollingWindow",
                "timeout_on_exit": 0,  # ccxt sleeps 250 ms in close()
                **options,
            }
        )
        try:
            await client.load_markets()
            return await asyncio.wait_for(scenario(client), PATIENCE)
        finally:
            await client.close()

    return asyncio.run(run())


def send(
    exchange: BinanceFutures,
    method: str,
    path: str,
    params: Mapping[str, object],
    *,
    key: str = API_KEY,
    secret: str = SECRET,
) -> Json:
    """Send a signed request as the documentation says, without what is None; return the JSON, whatever the status."""
    fields = {"timestamp": exchange.account.now(), **params}
    query = urllib.parse.urlencode({name: value for name, value in fields.items() if value is not None})
    signature = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    url = f"{exchange.url}{path}?{query}&signature={signature}"
    request = urllib.request.Request(url, method=method, headers={"X-MBX-APIKEY": key} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)


def call(exchange: BinanceFutures, method: str, path: str, **params: object) -> Json:
    """Send a request with the right key."""
    return send(exchange, method, path, params)


def place(exchange: BinanceFutures, symbol: str = "BTCUSDT", quantity: str = "0.01", **params: str | None) -> Json:
    """Place an order by hand: a market buy unless the parameters say otherwise; one that is None is left out."""
    fields = {"symbol": symbol, "side": "BUY", "type": "MARKET", "quantity": quantity, "newOrderRespType": "RESULT"}
    return send(exchange, "POST", "/fapi/v1/order", {**fields, **params})


async def listen(exchange: BinanceFutures, client: Client) -> None:
    """Open the user stream; what the first watches would wait for is dropped."""
    client.options["watchPositions"] = {"fetchPositionsSnapshot": False, "awaitPositionsSnapshot": False}
    watching = asyncio.ensure_future(client.watch_orders())
    await exchange.until(lambda: any(socket.kind == "user" for socket in exchange.sockets))
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


# The client runs unmodified.


def test_markets_are_the_venues_as_ccxt_reads_them(exchange: BinanceFutures) -> None:
    """Steps, minima and contract kinds arrive."""

    async def scenario(client: Client) -> None:
        bitcoin = client.market(BTC)
        assert (bitcoin["precision"]["amount"], bitcoin["precision"]["price"]) == (0.001, 0.1)
        assert (bitcoin["limits"]["amount"]["min"], bitcoin["limits"]["cost"]["min"]) == (0.001, 100.0)
        assert (bitcoin["linear"], bitcoin["contractSize"], bitcoin["swap"]) == (True, 1.0, True)
        dated = next(market for market in client.markets.values() if market["future"])
        assert dated["symbol"].startswith("BTC/USDT:USDT-")
        assert client.market("BTC/USDC:USDC")["settle"] == "USDC"
        assert client.market("DOGE/USDT:USDT")["precision"]["amount"] == 1.0

    trade(exchange, scenario)
    assert exchange.count("unknown") == 0


def test_a_flat_account_is_read(exchange: BinanceFutures) -> None:
    """Balance, positions, mode, prices, time, book and candles come back."""

    async def scenario(client: Client) -> None:
        assert (await client.fetch_balance())["USDT"] == {"free": 100000.0, "used": 0.0, "total": 100000.0}
        assert await client.fetch_positions() == []
        assert (await client.fetch_position_mode(BTC))["hedged"] is False
        assert (await client.fetch_ticker(BTC))["last"] == 50000.0
        assert (await client.fetch_bids_asks([BTC]))[BTC]["ask"] == 50000.1
        assert (await client.fetch_mark_price(ETH))["markPrice"] == 2500.0
        assert abs(await client.fetch_time() - client.milliseconds()) < 5000
        assert (await client.fetch_order_book(BTC))["bids"][0] == [50000.0, 10.0]
        assert len(await client.fetch_ohlcv(BTC, "1h", None, 5)) == 5
        assert (await client.fetch_trading_fee(BTC))["taker"] == 0.0005
        assert (await client.fetch_leverage(BTC))["longLeverage"] == 20
        assert (await client.sapi_get_account_apirestrictions())["enableWithdrawals"] is False

    trade(exchange, scenario)
    assert exchange.count("unknown") == 0


def test_a_market_order_fills_and_is_found_again(exchange: BinanceFutures) -> None:
    """The reply, the look-up by client id, the trades, the position and the wallet agree with the true account."""

    async def scenario(client: Client) -> None:
        order = await client.create_order(BTC, "market", "buy", 0.02, None, {"clientOrderId": "one"})
        assert (order["status"], order["filled"], order["average"]) == ("closed", 0.02, 50000.0)
        found = await client.fetch_order("", BTC, {"clientOrderId": "one"})
        assert (found["id"], found["status"], found["filled"]) == (order["id"], "closed", 0.02)
        (fill,) = await client.fetch_my_trades(BTC)
        assert (fill["order"], fill["amount"], fill["fee"]["cost"], fill["fee"]["currency"]) == (
            order["id"],
            0.02,
            0.5,
            "USDT",
        )
        (position,) = await client.fetch_positions()
        assert (position["symbol"], position["side"], position["contracts"]) == (BTC, "long", 0.02)
        assert position["entryPrice"] == 50000.0
        balance = (await client.fetch_balance())["USDT"]
        assert (balance["total"], balance["used"]) == (99999.5, 50.0)

    trade(exchange, scenario)
    assert exchange.account.position("BTCUSDT") == Decimal("0.02")
    assert exchange.account.wallet["USDT"] == Decimal("99999.5")


def test_profit_is_realized_when_a_position_flips(exchange: BinanceFutures) -> None:
    """The old position is closed at the new price, the rest is entered there."""
    account = exchange.account
    account.trade("BTCUSDT", "buy", "0.1")
    account.set_price("BTCUSDT", "51000")
    account.trade("BTCUSDT", "sell", "0.3")
    assert account.leg("BTCUSDT", "net").entry == 51_000
    assert account.position("BTCUSDT") == Decimal("-0.2")
    assert account.trades[-1].realized == 100
    assert account.wallet["USDT"] == 100_000 + 100 - sum(fill.fee for fill in account.trades)


def test_reduce_only_closes_and_never_opens(exchange: BinanceFutures) -> None:
    """It is clipped to what is held, below the minimum notional too, and refused when nothing is."""
    exchange.account.trade("BTCUSDT", "buy", "0.001")

    async def scenario(client: Client) -> None:
        closing = await client.create_order(BTC, "market", "sell", 0.005, None, {"reduceOnly": True})
        assert (closing["status"], closing["filled"], closing["reduceOnly"]) == ("closed", 0.001, True)
        with pytest.raises(ccxt.InvalidOrder, match="-2022"):
            await client.create_order(BTC, "market", "sell", 0.005, None, {"reduceOnly": True})

    trade(exchange, scenario)
    assert exchange.account.position("BTCUSDT") == 0


def test_hedge_mode_keeps_two_legs(exchange: BinanceFutures) -> None:
    """Orders name their side; a long and a short are held at once, and closed apart."""

    async def scenario(client: Client) -> None:
        await client.set_position_mode(True)
        assert (await client.fetch_position_mode(BTC))["hedged"] is True
        await client.create_order(BTC, "market", "buy", 0.02, None, {"hedged": True})
        await client.create_order(BTC, "market", "sell", 0.01, None, {"positionSide": "SHORT"})
        rows = {row["side"]: row["contracts"] for row in await client.fetch_positions()}
        assert rows == {"long": 0.02, "short": 0.01}
        await client.create_order(BTC, "market", "sell", 0.02, None, {"hedged": True, "reduceOnly": True})
        with pytest.raises(ccxt.InvalidOrder, match="-2022"):
            await client.create_order(BTC, "market", "buy", 0.02, None, {"positionSide": "SHORT"})  # it holds 0.01

    trade(exchange, scenario)
    assert exchange.account.position("BTCUSDT", "long") == 0
    assert exchange.account.position("BTCUSDT", "short") == Decimal("-0.01")


def test_a_limit_order_rests_fills_and_can_be_cancelled(exchange: BinanceFutures) -> None:
    """It is listed while it is open, fills when the price comes, and a cancelled one is gone."""

    async def scenario(client: Client) -> None:
        low = await client.create_order(BTC, "limit", "buy", 0.01, 40000)
        near = await client.create_order(BTC, "limit", "buy", 0.01, 49000)
        assert [order["id"] for order in await client.fetch_open_orders(BTC)] == [low["id"], near["id"]]
        exchange.account.set_price("BTCUSDT", "48900")
        assert (await client.fetch_order(near["id"], BTC))["average"] == 49000.0
        assert (await client.cancel_order(low["id"], BTC))["status"] == "canceled"
        assert await client.fetch_open_orders(BTC) == []
        with pytest.raises(ccxt.OrderNotFound, match="-2011"):
            await client.cancel_order(low["id"], BTC)

    trade(exchange, scenario)
    assert exchange.account.trades[-1].maker


def test_leverage_and_margin_mode_are_set(exchange: BinanceFutures) -> None:
    """And the stream tells the leverage."""

    async def scenario(client: Client) -> None:
        await client.set_leverage(7, BTC)
        await client.set_margin_mode("isolated", BTC)
        assert (await client.fetch_leverage(BTC))["longLeverage"] == 7

    trade(exchange, scenario)
    assert exchange.account.leverages == {"BTCUSDT": 7}
    assert exchange.account.margin_modes == {"BTCUSDT": "isolated"}


def test_prices_are_pushed_when_they_change(exchange: BinanceFutures) -> None:
    """Ticker, mark price, bid and ask, book and candle arrive, and the changed one again."""

    async def scenario(client: Client) -> None:
        assert (await client.watch_ticker(BTC))["last"] == 50000.0
        assert (await client.watch_mark_price(ETH))["markPrice"] == 2500.0
        assert (await client.watch_bids_asks([BTC]))[BTC]["bid"] == 50000.0
        assert (await client.watch_order_book(BTC))["asks"][0] == [50000.1, 10.0]
        assert (await client.watch_ohlcv(BTC, "1m"))[-1][4] == 50000.0
        exchange.account.set_price("ETHUSDT", "2600")
        while (await client.watch_mark_price(ETH))["markPrice"] != 2600.0:
            pass
        assert set(await client.watch_mark_prices([BTC, ETH])) <= {BTC, ETH}

    trade(exchange, scenario)


def test_the_user_stream_tells_of_orders_fills_positions_and_balance(exchange: BinanceFutures) -> None:
    """All four watches see one order, made by this client or by hand."""

    async def scenario(client: Client) -> None:
        await listen(exchange, client)
        watches: list[Awaitable[Any]] = [
            client.watch_orders(),
            client.watch_my_trades(),
            client.watch_positions(),
            client.watch_balance(),
        ]
        waiting = asyncio.gather(*watches)
        await asyncio.sleep(0)
        order = await client.create_order(BTC, "market", "buy", 0.02, None, {"clientOrderId": "two"})
        orders, fills, positions, balance = await waiting
        assert orders[-1]["clientOrderId"] == "two"
        assert (fills[-1]["order"], fills[-1]["amount"], fills[-1]["fee"]["cost"]) == (order["id"], 0.02, 0.5)
        assert (positions[0]["symbol"], positions[0]["contracts"]) == (BTC, 0.02)
        assert balance["USDT"]["total"] == 99999.5
        by_hand = asyncio.ensure_future(client.watch_my_trades())
        await asyncio.sleep(0)
        exchange.account.trade("ETHUSDT", "sell", "0.5")
        assert (await by_hand)[-1]["symbol"] == ETH

    trade(exchange, scenario)


# The rules of the venue.


def opened(exchange: BinanceFutures) -> None:
    exchange.account.trade("BTCUSDT", "buy", "0.01")


def hedged(exchange: BinanceFutures) -> None:
    exchange.account.set_hedged(True)


def resting(exchange: BinanceFutures) -> None:
    place(exchange, type="LIMIT", price="40000", timeInForce="GTC", newClientOrderId="taken")


def nothing(exchange: BinanceFutures) -> None:
    del exchange


@pytest.mark.parametrize(
    ("code", "before", "params"),
    [
        (-1121, nothing, {"symbol": "XYZUSDT"}),
        (-1102, nothing, {"symbol": None}),
        (-1102, nothing, {"quantity": None}),
        (-1117, nothing, {"side": "UP"}),
        (-1111, nothing, {"quantity": "0.0105"}),
        (-1100, nothing, {"quantity": "1e-2"}),
        (-1100, nothing, {"quantity": "NaN"}),
        (-4003, nothing, {"quantity": "0"}),
        (-4005, nothing, {"quantity": "121"}),
        (-4164, nothing, {"quantity": "0.001"}),
        (-4164, opened, {"quantity": "0.001", "side": "SELL"}),
        (-2019, nothing, {"quantity": "100"}),
        (-2022, nothing, {"reduceOnly": "true"}),
        (-2022, opened, {"reduceOnly": "true", "side": "BUY"}),
        (-4061, nothing, {"positionSide": "LONG"}),
        (-4061, hedged, {}),
        (-1106, hedged, {"positionSide": "LONG", "side": "SELL", "reduceOnly": "true"}),
        (-2022, hedged, {"positionSide": "LONG", "side": "SELL"}),
        (-4116, resting, {"newClientOrderId": "taken"}),
        (-1100, nothing, {"newClientOrderId": "with space"}),
        (-4015, nothing, {"newClientOrderId": "x" * 37}),
        (-1102, nothing, {"type": "LIMIT", "price": "50000"}),
        (-1111, nothing, {"type": "LIMIT", "price": "50000.05", "timeInForce": "GTC"}),
    ],
)  # fmt: skip
def test_an_order_that_breaks_a_rule_is_refused(
    exchange: BinanceFutures, code: int, before: Callable[[BinanceFutures], None], params: dict[str, str | None]
) -> None:
    """With the venue's code, and nothing happens to the account."""
    before(exchange)
    orders = len(exchange.account.orders)
    fields = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01", **params}
    assert send(exchange, "POST", "/fapi/v1/order", fields)["code"] == code
    assert len(exchange.account.orders) == orders


def test_what_the_precision_allows_may_still_miss_a_step(exchange: BinanceFutures) -> None:
    """-4023, -4004 and -4014 appear when step, minimum and tick are no powers of ten."""
    market = exchange.account.markets["BTCUSDT"]
    exchange.account.replace_market(
        msgspec.structs.replace(market, step=Decimal("0.002"), minimum=Decimal("0.004"), tick=Decimal("0.2"))
    )
    assert place(exchange, quantity="0.011")["code"] == -4023
    assert place(exchange, quantity="0.002")["code"] == -4004
    assert place(exchange, type="LIMIT", price="50000.1", timeInForce="GTC")["code"] == -4014


def test_a_filled_client_id_may_be_used_again(exchange: BinanceFutures) -> None:
    """It is unique among open orders only, and a look-up finds the later order."""
    first = place(exchange, newClientOrderId="again")
    second = place(exchange, newClientOrderId="again")
    assert first["orderId"] != second["orderId"]
    found = call(exchange, "GET", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="again")
    assert found["orderId"] == second["orderId"]
    assert exchange.account.position("BTCUSDT") == Decimal("0.02")


def test_an_acknowledgement_shows_no_fill(exchange: BinanceFutures) -> None:
    """ACK is the default of the endpoint: NEW, though the order is filled."""
    reply = place(exchange, newOrderRespType="ACK")
    assert (reply["status"], reply["executedQty"]) == ("NEW", "0")
    assert call(exchange, "GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=reply["orderId"])["status"] == "FILLED"


def test_unknown_orders_have_their_codes(exchange: BinanceFutures) -> None:
    """-2013 for a look-up, -2011 for a cancel."""
    assert call(exchange, "GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=1)["code"] == -2013
    assert call(exchange, "DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=1)["code"] == -2011


def test_the_position_mode_changes_only_when_flat(exchange: BinanceFutures) -> None:
    """-4059 without need, -4067 with orders, -4068 with positions."""
    path = "/fapi/v1/positionSide/dual"
    assert call(exchange, "POST", path, dualSidePosition="false")["code"] == -4059
    resting(exchange)
    assert call(exchange, "POST", path, dualSidePosition="true")["code"] == -4067
    call(exchange, "DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
    opened(exchange)
    assert call(exchange, "POST", path, dualSidePosition="true")["code"] == -4068


def test_positions_v3_lists_open_ones_and_v2_all(exchange: BinanceFutures) -> None:
    """As do the two versions of the account."""
    opened(exchange)
    assert [row["symbol"] for row in call(exchange, "GET", "/fapi/v3/positionRisk")] == ["BTCUSDT"]
    assert len(call(exchange, "GET", "/fapi/v2/positionRisk")) == len(exchange.account.markets)
    assert len(call(exchange, "GET", "/fapi/v3/account")["positions"]) == 1
    assert len(call(exchange, "GET", "/fapi/v2/account")["positions"]) == len(exchange.account.markets)


def test_a_flat_hedge_leg_can_be_listed_first(exchange: BinanceFutures) -> None:
    """So that a reader who takes the first row of a symbol is caught."""
    exchange.pages.empty_legs = True
    hedged(exchange)
    exchange.account.trade("BTCUSDT", "sell", "0.01", leg="short")
    rows = call(exchange, "GET", "/fapi/v3/positionRisk")
    assert [(row["positionSide"], row["positionAmt"]) for row in rows] == [("LONG", "0"), ("SHORT", "-0.01")]


def test_every_request_is_authenticated(exchange: BinanceFutures) -> None:
    """Key, signature, window and permission are checked."""
    path = "/fapi/v3/positionRisk"
    assert send(exchange, "GET", path, {}, key="")["code"] == -2014
    assert send(exchange, "GET", path, {}, key="wrong")["code"] == -2015
    assert send(exchange, "GET", path, {}, secret="wrong")["code"] == -1022
    assert call(exchange, "GET", path, timestamp=exchange.account.now() - 6000)["code"] == -1021
    assert call(exchange, "GET", path, timestamp=exchange.account.now() + 2000)["code"] == -1021
    assert call(exchange, "GET", path, recvWindow=70_000)["code"] == -1131
    assert call(exchange, "GET", path, timestamp=exchange.account.now() - 6000, recvWindow=10_000) == []
    exchange.settings.permissions["enableFutures"] = False
    assert place(exchange)["code"] == -2015
    exchange.keys_revoked = True
    assert call(exchange, "GET", path)["code"] == -2015
    assert call(exchange, "POST", "/fapi/v1/listenKey")["code"] == -2015


def test_a_clock_that_is_off_is_mended_by_the_time_difference(exchange: BinanceFutures) -> None:
    """-1021 until the client asks for the time."""
    exchange.account.clock_offset = 60.0

    async def scenario(client: Client) -> None:
        with pytest.raises(ccxt.InvalidNonce, match="-1021"):
            await client.fetch_balance()
        await client.load_time_difference()
        assert (await client.fetch_balance())["USDT"]["total"] == 100000.0

    trade(exchange, scenario)


def test_too_many_requests_are_429_then_418(exchange: BinanceFutures) -> None:
    """Per minute, with the seconds to wait."""
    exchange.rate_limit = 2
    answers = [answer_to(f"{exchange.url}/fapi/v1/ping") for _ in range(6)]
    assert [status for status, _ in answers] == [200, 200, 429, 429, 418, 418]
    assert all(int(wait or 0) > 0 for status, wait in answers if status != 200)


def answer_to(url: str) -> tuple[int, str | None]:
    """Return the status and the Retry-After of an answer."""
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status, None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Retry-After"]


# Faults of the wire.


@pytest.mark.parametrize(
    ("action", "raised", "took_effect"),
    [
        (Hang(processed=True), ccxt.RequestTimeout, True),
        (Hang(processed=False), ccxt.RequestTimeout, False),
        (Reset(processed=True), ccxt.ExchangeNotAvailable, True),
        (Reset(processed=False), ccxt.ExchangeNotAvailable, False),
        (Truncate(), ccxt.ExchangeError, True),
        (html(502), ccxt.ExchangeNotAvailable, False),
        (status_unknown(processed=True), ccxt.OperationFailed, True),
        (status_unknown(processed=False), ccxt.OperationFailed, False),
        (too_many_requests(), ccxt.DDoSProtection, False),
        (too_many_requests(banned=True), ccxt.DDoSProtection, False),
        (BusinessError(code=-2019), ccxt.InsufficientFunds, False),
        (BusinessError(code=-1007, status=503, processed=True), ccxt.RequestTimeout, True),
    ],
)
def test_a_fault_raises_in_the_client_and_the_account_knows_the_truth(
    exchange: BinanceFutures, action: Action, raised: type[Exception], *, took_effect: bool
) -> None:
    """Whether the order took effect is what the fault says, and the next order is not hit."""
    exchange.faults.add("place", action)

    async def scenario(client: Client) -> None:
        with pytest.raises(raised):
            await client.create_order(BTC, "market", "buy", 0.01)
        assert (await client.create_order(BTC, "market", "buy", 0.02))["filled"] == 0.02

    trade(exchange, scenario, timeout=300)
    assert exchange.account.position("BTCUSDT") == (Decimal("0.03") if took_effect else Decimal("0.02"))


@pytest.mark.parametrize("action", [garbled(), empty(), html(200, processed=True)])
def test_a_200_that_is_not_json_comes_back_as_an_order_without_id(exchange: BinanceFutures, action: Action) -> None:
    """The client raises nothing, though the order filled."""
    exchange.faults.add("place", action)
    order = trade(exchange, lambda client: client.create_order(BTC, "market", "buy", 0.01))
    assert (order["id"], order["status"], order["filled"]) == (None, None, 0.0)
    assert exchange.account.position("BTCUSDT") == Decimal("0.01")


@pytest.mark.parametrize(
    ("late", "raised"),
    [
        (Late(seconds=0.2), ccxt.ExchangeNotAvailable),
        (Late(seconds=0.2, answer=status_unknown(processed=False)), ccxt.OperationFailed),
        (Late(seconds=0.2, answer=BusinessError(code=-1007, status=503)), ccxt.RequestTimeout),
    ],
)
def test_an_order_can_arrive_after_it_was_not_found(
    exchange: BinanceFutures, late: Late, raised: type[Exception]
) -> None:
    """OrderNotFound right after an error proves nothing."""
    exchange.faults.add("place", late)

    async def scenario(client: Client) -> None:
        with pytest.raises(raised):
            await client.create_order(BTC, "market", "buy", 0.01, None, {"clientOrderId": "late"})
        with pytest.raises(ccxt.OrderNotFound):
            await client.fetch_order("", BTC, {"clientOrderId": "late"})
        await exchange.until(lambda: exchange.account.trades)
        assert (await client.fetch_order("", BTC, {"clientOrderId": "late"}))["status"] == "closed"

    trade(exchange, scenario)


def test_rules_choose_their_requests(exchange: BinanceFutures) -> None:
    """By kind, by number, by content and until they are cleared."""
    faults = exchange.faults
    second = faults.add("place", BusinessError(code=-4001), skip=1)
    ether = faults.add(
        "place", BusinessError(code=-4002), times=2, where=lambda seen: seen.params["symbol"] == "ETHUSDT"
    )
    assert "orderId" in place(exchange)
    assert place(exchange)["code"] == -4001
    assert [place(exchange, "ETHUSDT")["code"] for _ in range(2)] == [-4002, -4002]
    assert "orderId" in place(exchange, "ETHUSDT")
    assert (second.hits, ether.hits) == (1, 2)
    faults.add("*", BusinessError(code=-1000), seconds=60)
    assert call(exchange, "GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=1)["code"] == -1000
    faults.clear()
    assert "orderId" in place(exchange)


def test_an_answer_can_be_delayed(exchange: BinanceFutures) -> None:
    """The order is filled while its answer is still on the way."""
    exchange.faults.add("place", Delay(after=0.5))

    async def scenario(client: Client) -> None:
        placing = asyncio.ensure_future(client.create_order(BTC, "market", "buy", 0.01))
        await exchange.until(lambda: exchange.account.trades)
        assert not placing.done()
        assert (await placing)["filled"] == 0.01

    trade(exchange, scenario)


# Faults of filling.


def test_an_order_can_fill_after_its_acknowledgement(exchange: BinanceFutures) -> None:
    """It is NEW first."""
    exchange.faults.add("place", Fills(after=0.1))
    assert place(exchange)["status"] == "NEW"
    exchange.wait_for(lambda: exchange.account.position("BTCUSDT") == Decimal("0.01"))


def test_an_order_can_fill_in_parts(exchange: BinanceFutures) -> None:
    """Each part is a trade of whole steps."""
    exchange.faults.add("place", Fills(parts=3))
    reply = place(exchange, quantity="0.010")
    assert (reply["status"], reply["executedQty"]) == ("FILLED", "0.010")
    assert [fill.quantity for fill in exchange.account.trades] == [
        Decimal(part) for part in ("0.003", "0.003", "0.004")
    ]


def test_an_order_can_fill_in_part_and_expire(exchange: BinanceFutures) -> None:
    """The rest never fills."""
    exchange.faults.add("place", Fills(share=Decimal("0.5")))
    reply = place(exchange, quantity="0.01")
    assert (reply["status"], reply["executedQty"]) == ("EXPIRED", "0.005")
    assert exchange.account.position("BTCUSDT") == Decimal("0.005")


def test_the_rest_of_a_partial_fill_can_stay_open(exchange: BinanceFutures) -> None:
    """Until it is cancelled, which the stream tells too."""
    exchange.faults.add("place", Fills(share=Decimal("0.3"), then="new"))
    reply = place(exchange, newClientOrderId="half")
    assert (reply["status"], reply["executedQty"]) == ("PARTIALLY_FILLED", "0.003")
    cancelled = call(exchange, "DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="half")
    assert (cancelled["status"], cancelled["executedQty"]) == ("CANCELED", "0.003")


# Faults of sight.


def test_positions_can_be_missing_stale_or_phantom(exchange: BinanceFutures) -> None:
    """Rows are hidden or shown, the true account does not change."""
    exchange.account.trade("BTCUSDT", "buy", "0.01")
    exchange.account.trade("ETHUSDT", "buy", "0.1")

    def seen() -> dict[str, str]:
        return {row["symbol"]: row["positionAmt"] for row in call(exchange, "GET", "/fapi/v3/positionRisk")}

    exchange.faults.add("positions", HidePositions())
    assert seen() == {}
    exchange.faults.add("positions", HidePositions(frozenset({"ETHUSDT"})))
    assert seen() == {"BTCUSDT": "0.01"}
    exchange.faults.add("positions", ShowPosition(Position("SOLUSDT", "net", Decimal(5), Decimal(150))))
    assert seen() == {"BTCUSDT": "0.01", "ETHUSDT": "0.1", "SOLUSDT": "5"}
    exchange.faults.add("positions", ShowPosition(Position("BTCUSDT", "net", Decimal(1), Decimal(150))))
    assert seen()["BTCUSDT"] == "1"
    assert seen() == {"BTCUSDT": "0.01", "ETHUSDT": "0.1"}


def test_rest_can_lag_behind_a_fill(exchange: BinanceFutures) -> None:
    """Position, wallet, order and trade are those of before."""
    exchange.faults.add_lasting("*", Lag(30.0))
    order = place(exchange)["orderId"]
    assert call(exchange, "GET", "/fapi/v3/positionRisk") == []
    assert call(exchange, "GET", "/fapi/v3/account")["totalWalletBalance"] == "100000"
    assert call(exchange, "GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=order)["code"] == -2013
    assert call(exchange, "GET", "/fapi/v1/userTrades", symbol="BTCUSDT") == []
    exchange.faults.clear()
    assert call(exchange, "GET", "/fapi/v3/account")["totalWalletBalance"] == "99999.7500000"


def test_an_order_can_look_dead_or_missing_though_it_filled(exchange: BinanceFutures) -> None:
    """The look-up lies, the position does not."""
    order = place(exchange)["orderId"]
    exchange.faults.add("order", OrderLooks("canceled"))
    seen = call(exchange, "GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=order)
    assert (seen["status"], seen["executedQty"]) == ("CANCELED", "0")
    exchange.faults.add("order", OrderMissing())
    assert call(exchange, "GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=order)["code"] == -2013


@pytest.mark.parametrize("amount", ["0", "NaN", "1000000"])
def test_the_wallet_can_be_absurd(exchange: BinanceFutures, amount: str) -> None:
    """In one answer, or in truth."""
    exchange.faults.add("balance", WalletLooks("USDT", Decimal(amount)))
    assert call(exchange, "GET", "/fapi/v3/account")["totalWalletBalance"] == amount
    assert call(exchange, "GET", "/fapi/v3/account")["totalWalletBalance"] == "100000"
    exchange.account.set_wallet("USDT", amount)
    assert call(exchange, "GET", "/fapi/v3/balance")[0]["balance"] == amount


# What others do to the account.


def test_a_liquidation_and_an_adl_are_told_as_the_venue_tells_them(exchange: BinanceFutures) -> None:
    """By the client ids that the venue gives such orders."""

    async def scenario(client: Client) -> None:
        await listen(exchange, client)
        prefixes: dict[Origin, str] = {"liquidation": "autoclose-", "adl": "adl_autoclose"}
        for origin, prefix in prefixes.items():
            exchange.account.trade("BTCUSDT", "buy", "0.01")
            exchange.account.force_close("BTCUSDT", origin=origin)
            await until_seen(client, prefix)

    trade(exchange, scenario)
    assert exchange.account.position("BTCUSDT") == 0


async def until_seen(client: Client, prefix: str) -> None:
    """Wait until the last order in the client's cache has such a client id."""
    while not (client.orders and client.orders[-1]["clientOrderId"].startswith(prefix)):
        await client.watch_orders()


def test_settings_can_change_behind_the_client(exchange: BinanceFutures) -> None:
    """Position mode and the rules of a market; a funding payment changes the wallet."""
    exchange.account.set_hedged(True)
    assert call(exchange, "GET", "/fapi/v1/positionSide/dual") == {"dualSidePosition": True}
    market = exchange.account.markets["BTCUSDT"]
    exchange.account.replace_market(msgspec.structs.replace(market, step=Decimal("0.01")))
    listed = call(exchange, "GET", "/fapi/v1/exchangeInfo")["symbols"][0]
    assert next(row for row in listed["filters"] if row["filterType"] == "LOT_SIZE")["stepSize"] == "0.01"
    exchange.account.pay_funding("BTCUSDT", "-3")
    assert exchange.account.wallet["USDT"] == 99_997


# Faults of the streams.


def test_a_cut_stream_is_reopened_and_its_gap_is_silent(exchange: BinanceFutures) -> None:
    """The waiting watch raises, the next one connects again, and what happened in between never comes."""

    async def scenario(client: Client) -> None:
        await listen(exchange, client)
        watching = asyncio.ensure_future(client.watch_my_trades())
        await asyncio.sleep(0)
        exchange.close_sockets("user")
        with pytest.raises(ccxt.NetworkError):
            await watching
        exchange.account.trade("BTCUSDT", "buy", "0.01")
        again = asyncio.ensure_future(client.watch_my_trades())
        await exchange.until(lambda: [socket for socket in exchange.sockets if socket.kind == "user"])
        exchange.account.trade("BTCUSDT", "buy", "0.02")
        assert [fill["amount"] for fill in await again] == [0.02]

    trade(exchange, scenario)


def test_a_silent_socket_is_noticed_by_its_missing_pongs(exchange: BinanceFutures) -> None:
    """The client gives it up once its keep-alive is not answered."""

    async def scenario(client: Client) -> None:
        await listen(exchange, client)
        exchange.silence("user")
        exchange.account.trade("BTCUSDT", "buy", "0.01")
        with pytest.raises(ccxt.RequestTimeout, match="ping-pong"):
            await client.watch_orders()

    trade(exchange, scenario, streaming={"keepAlive": 100, "maxPingPongMisses": 1.0})


def test_messages_can_be_lost_doubled_and_swapped(exchange: BinanceFutures) -> None:
    """Fills arrive as the faults say."""

    async def scenario(client: Client) -> None:
        await listen(exchange, client)
        faults = exchange.faults
        faults.add_stream(Lose(), socket="user", name="ORDER_TRADE_UPDATE", skip=1)  # the fill of the first order
        faults.add_stream(Twice(), socket="user", name="ORDER_TRADE_UPDATE", skip=2)  # the fill of the second
        for quantity in ("0.01", "0.02"):
            exchange.account.trade("BTCUSDT", "buy", quantity)
        while not client.myTrades or client.myTrades[-1]["amount"] != 0.02:
            await client.watch_my_trades()
        assert [fill["amount"] for fill in client.myTrades] == [0.02]
        faults.add_stream(Swap(), socket="user", name="ACCOUNT_UPDATE")
        exchange.account.trade("BTCUSDT", "buy", "0.03")
        while client.myTrades[-1]["amount"] != 0.03:
            await client.watch_my_trades()

    trade(exchange, scenario)


def test_a_dead_listen_key_is_told_and_then_deaf(exchange: BinanceFutures) -> None:
    """The old socket hears nothing, a renewal is refused, a new key works."""

    async def scenario(client: Client) -> None:
        await listen(exchange, client)
        (socket,) = exchange.sockets
        exchange.expire_listen_key()
        await exchange.until(lambda: socket.sent == 1)
        exchange.account.trade("BTCUSDT", "buy", "0.01")
        with pytest.raises(ccxt.AuthenticationError, match="-1125"):
            await client.fapiprivate_put_listenkey()
        client.options["linear"] = {"listenKey": None, "lastAuthenticatedTime": 0}
        again = asyncio.ensure_future(client.watch_my_trades())
        await exchange.until(lambda: any(each is not socket for each in exchange.sockets))
        exchange.account.trade("BTCUSDT", "buy", "0.02")
        assert [fill["amount"] for fill in await again] == [0.02]
        assert socket.sent == 1

    trade(exchange, scenario)


def test_clients_can_be_kept_out_of_the_streams(exchange: BinanceFutures) -> None:
    """The handshake is a request of the kind `socket`."""
    exchange.faults.add("socket", html(503))

    async def scenario(client: Client) -> None:
        with pytest.raises(ccxt.NetworkError):
            await client.watch_ticker(BTC)
        assert (await client.watch_ticker(BTC))["last"] == 50000.0

    trade(exchange, scenario)


def test_an_account_can_be_given(exchange: BinanceFutures) -> None:
    """And two emulators do not know each other."""
    with BinanceFutures(new_account(Decimal(500))) as other:
        place(other, "ETHUSDT", quantity="0.01")
        assert other.account.trades
        assert not exchange.account.trades
        assert other.account.wallet["USDT"] < 500


def test_a_toml_file_can_point_to_it(exchange: BinanceFutures) -> None:
    """What `python -m tests.emulators` prints is read back as the same options."""
    written = tomllib.loads(snippet(exchange, "binanceusdm"))["venues"]["binance"]
    assert written == {"exchange": "binanceusdm", "options": exchange.options()}
